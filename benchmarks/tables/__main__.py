"""Make the paper's tables again, on its data or on yours: ``python -m benchmarks.tables --data FOLDER --out FOLDER``.

FOLDER holds train, val and test as JSON lines (``{"text": ..., "labels": [...]}``), or the files that AAPD or RCV1-v2 are
published in. Every system learns from the same documents; what is tuned is tuned on val; test is scored once. Each run
leaves a file, so that a call that was cut off goes on with --resume. ``results.json``, ``results.md`` and ``results.png``
gather them.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..command_line import natural, positive, shown
from ..output import claim
from ..systems import DEFAULT_SYSTEMS, SYSTEMS
from .data import Documents, data_name, load_documents
from .report import write_report
from .runs import Task, read_results, run

_DEFAULT_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for on the command line; return 1 where a system failed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parse(arguments)
    documents = load_documents(Path(options.data), options.train_size)
    settings = _settings(options, documents)
    out = Path(options.out)
    tasks = [_task(name, seed, options) for name in options.systems for seed in _seeds(name, options.seeds)]
    finished = claim(out, settings)
    if finished and not options.resume:
        raise SystemExit(f"{out} holds {finished} finished run(s) of these settings. Go on with --resume.")
    read_results(out, list(SYSTEMS))  # a damaged one is named before hours of training, not after
    failures: dict[str, str] = {}

    def report(is_last: bool) -> None:
        write_report(
            out,
            command=shown("tables", arguments),
            settings=settings,
            remarks=documents.remarks,
            results=read_results(out, list(SYSTEMS)),
            failures=failures,
            reference=options.reference,
            is_last=is_last,
        )

    for remark in documents.remarks:
        print(remark)
    waiting = [task for task in tasks if not task.file(out).is_file()]
    with tqdm(total=len(tasks), initial=len(tasks) - len(waiting), unit="run") as bar:
        for task in waiting:
            bar.set_description(f"{SYSTEMS[task.system].title}, seed {task.seed}")
            reason = run(task, out)
            if reason is not None:
                failures[f"{SYSTEMS[task.system].title}, seed {task.seed}"] = reason
                bar.write(f"{SYSTEMS[task.system].title}, seed {task.seed}, failed: {reason}")
            report(is_last=False)
            bar.update()
    report(is_last=True)
    print((out / "results.md").read_text(encoding="utf-8"))
    return int(bool(failures))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with train, val and test")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=list(SYSTEMS),
        default=list(DEFAULT_SYSTEMS),
        metavar="SYSTEM",
        help=f"out of {', '.join(SYSTEMS)} (default: all but the ablations of a detail)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=natural, default=[0], help="one run of every system for each (default: 0)"
    )
    parser.add_argument("--train-size", type=positive, help="use only so many training documents")
    parser.add_argument("--encoder", default=_DEFAULT_ENCODER, help="name or folder (default: %(default)s)")
    parser.add_argument("--max-length", type=positive, default=128, help="tokens that encoders read (default: %(default)s)")
    parser.add_argument("--epochs", type=natural, help="passes over the documents (default: each system's own number)")
    parser.add_argument("--threshold", choices=["0.5", "tuned"], default="0.5", help="tuned: one threshold, on val")
    parser.add_argument("--split", choices=["val", "test"], default="test", help="what to score on (default: %(default)s)")
    parser.add_argument("--reference", choices=list(SYSTEMS), default="label-wise", help="compare with (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on with the runs that are missing in --out")
    options = parser.parse_args(arguments)
    if options.split == "val" and options.threshold == "tuned":
        parser.error("a threshold that was tuned on val must not be scored on val")
    return options


def _seeds(name: str, seeds: list[int]) -> list[int]:
    return seeds if SYSTEMS[name].has_seed else [0]


def _task(name: str, seed: int, options: argparse.Namespace) -> Task:
    return Task(
        system=name,
        seed=seed,
        data=options.data,
        split=options.split,
        train_size=options.train_size,
        encoder=options.encoder,
        max_length=options.max_length,
        max_epochs=options.epochs,
        threshold=options.threshold,
    )


def _settings(options: argparse.Namespace, documents: Documents) -> dict[str, Any]:
    """Return all that results of one folder have in common."""
    return {
        "data": data_name(Path(options.data)),
        "documents": documents.describe(),
        "labels": len(documents.descriptions),
        "split": options.split,
        "encoder": _describe_encoder(options.encoder),
        "max_length": options.max_length,
        "epochs": options.epochs,
        "threshold": options.threshold,
    }


def _describe_encoder(encoder: str) -> str:
    """Return the name of an encoder; of a folder also its size, so that two of one name are told apart."""
    if not os.path.isdir(encoder):
        return encoder
    size = sum(file.stat().st_size for file in Path(encoder).rglob("*") if file.is_file())
    return f"{Path(encoder).resolve().name} ({size:,} bytes)"


if __name__ == "__main__":
    sys.exit(main())

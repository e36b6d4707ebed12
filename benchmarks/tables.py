"""Train systems on the same documents and compare them: ``python -m benchmarks.tables --data FOLDER --out FOLDER``.

Every run is a process of its own and leaves a JSON file, so that a second call with the same settings goes on where the
first one stopped. ``results.json`` and ``results.md`` gather the runs that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from .scoring import COLUMNS, evaluate, markdown_table, peak_memory_gb
from .systems import DEFAULT_SYSTEMS, TITLES, make_system


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    options = _parse(arguments)
    settings = {
        "data": Path(options.data).resolve().name,
        "split": options.split,
        "train_size": options.train_size,
        "encoder": Path(options.encoder).name if os.path.isdir(options.encoder) else options.encoder,
        "max_length": options.max_length,
        "max_epochs": options.epochs,
    }
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, settings)
    for name in options.systems:
        for seed in options.seeds:
            _run_once(out / "runs" / f"{name}-{seed}.json", name, seed, options)
            _write_results(out, settings, options.systems)
    print((out / "results.md").read_text(encoding="utf-8"))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder with train, val and test files of JSON lines")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--systems", nargs="+", choices=list(TITLES), default=list(DEFAULT_SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--split", choices=["val", "test"], default="val", help="what to score on (default: %(default)s)")
    parser.add_argument("--train-size", type=int, help="use only so many training documents")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="name or folder")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a document (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the documents (default: %(default)s)")
    return parser.parse_args(arguments)


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder that holds results of other settings."""
    file = out / "settings.json"
    if file.is_file():
        there = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key in settings if there.get(key) != settings[key]]
        if differing:
            changes = ", ".join(f"{key} {there.get(key)!r} there and {settings[key]!r} now" for key in differing)
            raise SystemExit(f"{out} holds results of other settings ({changes}). Choose another --out.")
    _write_atomically(file, settings)


def _run_once(file: Path, name: str, seed: int, options: argparse.Namespace) -> None:
    if file.is_file():
        return
    print(f"... {TITLES[name]}, seed {seed}", flush=True)
    file.parent.mkdir(exist_ok=True)
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        _write_atomically(file, pool.submit(_measure, name, seed, vars(options)).result())


def _measure(name: str, seed: int, options: dict[str, Any]) -> dict[str, float]:
    from sklearn_bertlam.datasets import load_jsonl_dir

    data = load_jsonl_dir(options["data"])
    if options["split"] not in data:
        raise SystemExit(f"{options['data']} has no file of the split {options['split']!r}.")
    texts, target = data.train.data, data.train.target
    if options["train_size"] is not None:
        rows = np.random.RandomState(0).permutation(len(texts))[: options["train_size"]]  # the same for all systems
        texts, target = [texts[row] for row in rows], target[rows]
    names = {name: data.label_descriptions.get(name, name) for name in data.target_names}
    system = make_system(
        name,
        encoder=options["encoder"],
        label_names=names,
        max_length=options["max_length"],
        max_epochs=options["epochs"],
        random_state=seed,
    )
    evaluation = data[options["split"]]
    results = evaluate(system, (texts, target), (evaluation.data, evaluation.target))
    return results | {"peak_memory_gb": peak_memory_gb()}


def _write_results(out: Path, settings: dict[str, Any], systems: list[str]) -> None:
    runs: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name in systems:
        for file in sorted((out / "runs").glob(f"{name}-[0-9]*.json")):
            runs[name].append(json.loads(file.read_text(encoding="utf-8")))
    means = {TITLES[name]: _mean_over_seeds(results) for name, results in runs.items()}
    command = shlex.join(["python", "-m", "benchmarks.tables", *_portable(sys.argv[1:])])
    described = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in settings.items() if value is not None)
    note = _AAPD_NOTE if settings["data"] == "aapd" else ""
    seeds = max(len(results) for results in runs.values())
    _write_atomically(out / "results.json", {"command": command, "settings": settings, "runs": runs})
    (out / "results.md").write_text(
        f"# {settings['data']}: scores on {settings['split']}\n\n`{command}`\n\n{described}\n- seeds: {seeds} "
        f"(means are shown)\n\n{note}{markdown_table(means, COLUMNS)}\n",
        encoding="utf-8",
    )


_AAPD_NOTE = (
    "Published AAPD validation and test sets, reconstructed train (39,474 documents): not to be set beside published "
    "figures, which come from another training set.\n\n"
)


def _portable(words: list[str]) -> list[str]:
    """Leave out where on this machine the folders lie."""
    return [Path(word).name if os.path.isabs(word) or word.startswith("..") else word for word in words]


def _mean_over_seeds(results: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([result[key] for result in results])) for key in results[0]}


def _write_atomically(file: Path, content: Any) -> None:
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)


if __name__ == "__main__":
    main()

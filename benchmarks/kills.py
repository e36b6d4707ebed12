"""Kill training, saving and the tables at random moments, and see what is left: ``python -m benchmarks.kills --kills 100``.

Training with a ``checkpoint_dir`` has to end with the model of an undisturbed run, a saved folder has to load as what it was
or as what it was to become, and the tables have to count every run once. Needs ``fork``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam._net import Checkpoints  # noqa: F401  (imported before forking, so that children start at once)

from .tables.__main__ import main as make_tables
from .tiny import LABELS, PARAMETERS, TEXTS, Y, make_encoder

_FORK = multiprocessing.get_context("fork")
_SYSTEMS = ("binary-relevance", "frozen")


def main() -> int:
    """Run what is asked for on the command line; return 1 where something was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    survived, lost = kill_everything(options.kills, options.seed)
    for name, number in survived.items():
        print(f"{name}: {number} kills survived")
    print(f"{sum(survived.values())} kills survived, {len(lost)} lost", *lost, sep="\n")
    return int(bool(lost))


def kill_everything(n_kills: int, seed: int = 0) -> tuple[dict[str, int], list[str]]:
    """Kill each of the three a number of times.

    Returns
    -------
    survived : dict of str to int
        Kills that lost nothing, by what was killed.
    lost : list of str
        What was lost otherwise.
    """
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    few = n_kills // 10  # the tables start a process for every run, which takes long
    plan = {
        "fit": (_kill_fit, n_kills // 2),
        "tables": (_kill_tables, few),
        "save": (_kill_save, n_kills - n_kills // 2 - few),
    }
    survived, lost = {}, []
    for name, (experiment, number) in plan.items():
        with tempfile.TemporaryDirectory() as folder:
            _in_child(make_encoder, Path(folder) / "encoder").join()
            failures = experiment(Path(folder), number, random)
        survived[name] = number - len(failures)
        lost += failures
    return survived, lost


def _in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    child = _FORK.Process(target=_quietly, args=(function, *arguments))
    child.start()
    return child


def _quietly(function: Callable[..., Any], *arguments: Any) -> None:
    os.setsid()  # so that what it starts is killed with it
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        warnings.simplefilter("ignore")
        function(*arguments)


def _killed_after(child: Any, seconds: float) -> bool:
    """Kill a child with everything that it started, unless it has ended by then."""
    child.join(seconds)
    if child.exitcode is not None:
        return False
    os.killpg(child.pid, signal.SIGKILL)
    child.join()
    return True


def _duration(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.monotonic()
    _in_child(function, *arguments).join()
    return time.monotonic() - start


# ------------------------------------------------------------------------------------------------------------- experiments


def _kill_fit(folder: Path, n_kills: int, random: np.random.Generator) -> list[str]:
    """Kill until training has ended, again and again, and compare the models."""
    expected = folder / "expected.npy"
    seconds = _duration(_fit, folder, None, expected)
    lost, killed, number = [], 0, 0
    while killed < n_kills:
        number += 1
        checkpoints, result = folder / f"checkpoints-{number}", folder / f"{number}.npy"
        in_this_training = 0
        while True:
            wait = float(random.uniform(0.1, 1.0)) * seconds if killed < n_kills else 60 + 10 * seconds
            child = _in_child(_fit, folder, checkpoints, result)
            if not _killed_after(child, wait):
                break
            killed, in_this_training = killed + 1, in_this_training + 1
        if child.exitcode != 0 or not np.array_equal(np.load(result), np.load(expected)):
            lost.append(f"fit: training {number}, killed {in_this_training} times, ended with another model")
    return lost


def _fit(folder: Path, checkpoints: Path | None, result: Path) -> None:
    clf = BertLamClassifier(
        str(folder / "encoder"), label_names=LABELS, checkpoint_dir=checkpoints, **(PARAMETERS | {"max_epochs": 30})
    )
    np.save(result, clf.fit(TEXTS, Y).predict_proba(TEXTS))


def _kill_save(folder: Path, n_kills: int, random: np.random.Generator) -> list[str]:
    """Kill a process that replaces a saved folder by another model, and read what is there."""
    _in_child(_make_two, folder).join()
    _in_child(_save_second, folder).join()
    seconds = float((folder / "seconds").read_text())
    lost, killed = [], 0
    while killed < n_kills:
        _in_child(_save_first, folder).join()
        (folder / "saving").unlink(missing_ok=True)
        child = _in_child(_save_second, folder)
        while child.is_alive() and not (folder / "saving").exists():
            time.sleep(0.001)
        if not _killed_after(child, float(random.uniform(0.0, 1.0)) * seconds):
            continue  # it was through
        killed += 1
        reader = _in_child(_check_saved, folder)
        reader.join()
        if reader.exitcode != 0:
            lost.append(f"save: after kill {killed} the folder is neither the old nor the new model")
    return lost


def _make_two(folder: Path) -> None:
    for name, y in (("first", Y), ("second", 1 - Y)):
        clf = BertLamClassifier(str(folder / "encoder"), label_names=LABELS, **PARAMETERS).fit(TEXTS, y)
        clf.save(folder / name)
        np.save(folder / f"{name}.npy", clf.predict_proba(TEXTS))


def _save_first(folder: Path) -> None:
    BertLamClassifier.load(folder / "first").save(folder / "model", overwrite=True)


def _save_second(folder: Path) -> None:
    clf = BertLamClassifier.load(folder / "second")
    (folder / "saving").touch()
    start = time.monotonic()
    clf.save(folder / "model", overwrite=True)
    (folder / "seconds").write_text(str(time.monotonic() - start))


def _check_saved(folder: Path) -> None:
    found = BertLamClassifier.load(folder / "model").predict_proba(TEXTS)
    assert any(np.allclose(found, np.load(folder / f"{name}.npy"), atol=1e-6) for name in ("first", "second"))


def _kill_tables(folder: Path, n_kills: int, random: np.random.Generator) -> list[str]:
    """Kill the command that makes tables, let it go on, and count the runs."""
    data = folder / "data"
    data.mkdir()
    for split in ("train", "val", "test"):
        lines = [json.dumps({"text": text, "labels": _names(row)}) for text, row in zip(TEXTS * 3, [*Y] * 3, strict=True)]
        (data / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    seconds = _duration(_tables, folder, "expected")
    expected = _scores(folder / "expected")
    lost, killed, number = [], 0, 0
    while killed < n_kills:
        number += 1
        while True:
            wait = float(random.uniform(0.1, 1.0)) * seconds if killed < n_kills else 60 + 10 * seconds
            if not _killed_after(_in_child(_tables, folder, f"out-{number}"), wait):
                break
            killed += 1
        if _scores(folder / f"out-{number}") != expected:
            lost.append(f"tables: table {number} differs from the undisturbed one")
    return lost


def _names(row: np.ndarray) -> list[str]:
    return [label for label, applies in zip(LABELS, row, strict=True) if applies]


def _tables(folder: Path, out: str) -> None:
    make_tables(
        [
            *("--data", str(folder / "data"), "--out", str(folder / out), "--resume"),
            *("--encoder", str(folder / "encoder"), "--max-length", "32", "--systems", *_SYSTEMS),
        ]
    )


def _scores(out: Path) -> dict[str, list]:
    """Return the per-document counts of every run that the results hold."""
    return {file.name: json.loads(file.read_text(encoding="utf-8"))["counts"] for file in sorted((out / "runs").iterdir())}


if __name__ == "__main__":
    sys.exit(main())

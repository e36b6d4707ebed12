"""Use one classifier from many threads and processes, and fit for hours: ``python -m benchmarks.load``.

Prints whether 8 threads get what one gets, whether worker processes (loky, and forked ones) do, what tokenizers print when
processes are forked, and how much memory is held after 100 and after 1,000 fits.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from sklearn_bertlam import BertLamClassifier

from .tiny import LABELS, PARAMETERS, TEXTS, Y, make_encoder

_N_THREADS, _N_PROCESSES = 8, 4
_MB = 1 << 20


def main() -> int:
    """Run what is asked for on the command line; return 1 where results differ."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=1000, help="for the memory (default: %(default)s)")
    results = measure(parser.parse_args().fits)
    print(json.dumps(results, indent=1))
    return int(not (results["threads_agree"] and results["loky_agrees"] and results["fork_agrees"]))


def measure(n_fits: int) -> dict[str, Any]:
    """Return what was found, for the table of ``benchmarks.trust``."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        encoder = make_encoder(Path(folder) / "encoder")
        clf = BertLamClassifier(encoder, label_names=LABELS, **PARAMETERS).fit(TEXTS, Y)
        texts = TEXTS * 20
        expected = clf.predict_proba(texts)
        clf.save(Path(folder) / "model")
        return {
            "threads": _N_THREADS,
            "threads_agree": _threads_agree(clf, texts, expected),
            "processes": _N_PROCESSES,
            "loky_agrees": _loky_agrees(clf, texts, expected),
            **_forked_server(Path(folder) / "model"),
            **_memory(encoder, n_fits),
        }


def _threads_agree(clf: BertLamClassifier, texts: list[str], expected: np.ndarray) -> bool:
    clf._prepared = None  # the first predictions make it, all at the same time
    with ThreadPoolExecutor(_N_THREADS) as pool:
        found = list(pool.map(clf.predict_proba, [texts] * 10 * _N_THREADS))
    return all(np.array_equal(one, expected) for one in found)


def _loky_agrees(clf: BertLamClassifier, texts: list[str], expected: np.ndarray) -> bool:
    found = Parallel(_N_PROCESSES, backend="loky")(delayed(clf.predict_proba)(texts) for _ in range(2 * _N_PROCESSES))
    return all(np.allclose(one, expected, atol=1e-6) for one in found)


def _forked_server(folder: Path) -> dict[str, Any]:
    """Let a process of its own predict, fork as web servers do, and predict in the children."""
    code = f"import sys; from benchmarks.load import serve; sys.exit(serve({str(folder)!r}, {_N_PROCESSES}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    return {"fork_agrees": done.returncode == 0, "fork_messages": len(done.stderr.splitlines())}


def serve(folder: str, n_processes: int) -> int:
    """Predict, fork, predict in every child; return how many children got something else."""
    clf = BertLamClassifier.load(folder, device="cpu")
    expected = clf.predict_proba(TEXTS)
    context = multiprocessing.get_context("fork")

    def child() -> None:
        os._exit(int(not np.allclose(clf.predict_proba(TEXTS), expected, atol=1e-6)))

    children: list[Any] = [context.Process(target=child) for _ in range(n_processes)]
    for one in children:
        one.start()
    for one in children:
        one.join(60)
    return sum(one.exitcode != 0 for one in children)


def _memory(encoder: str, n_fits: int) -> dict[str, Any]:
    """Return the resident memory after a tenth of the fits and after all of them."""
    held = {}
    for number in range(1, n_fits + 1):
        BertLamClassifier(encoder, label_names=LABELS, **(PARAMETERS | {"max_epochs": 1})).fit(TEXTS, Y).predict(TEXTS)
        if number in (max(1, n_fits // 10), n_fits):
            gc.collect()
            held[number] = _resident_mb()
    return {f"mb_after_{number}_fits": megabytes for number, megabytes in held.items()}


def _resident_mb() -> float:
    import psutil

    return psutil.Process().memory_info().rss / _MB


if __name__ == "__main__":
    sys.exit(main())

"""Memory and time of many documents, or of many labels.

``python -m benchmarks.many --documents 100000 1000000 --out docs/results/many``
``python -m benchmarks.many --documents 100000 --labels 50 500 5000 --out docs/results/many-labels``

The documents are short and the encoder tiny and untrained, so that what is measured is what the package keeps per document.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .command_line import positive, report_path, shown
from .output import report

_WORDS = 6


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", nargs="+", type=positive, default=[100_000, 1_000_000])
    parser.add_argument("--labels", nargs="+", type=positive, default=[50])
    parser.add_argument("--out", type=report_path, help="where measurements go: OUT.md and OUT.json")
    options = parser.parse_args(arguments)
    command = shown("many", sys.argv[1:] if arguments is None else arguments)
    with tempfile.TemporaryDirectory() as folder:
        _write_tiny_encoder(folder)
        rows = [_measure(folder, n, n_labels) for n_labels in options.labels for n in sorted(options.documents)]
    text = f"# Many documents and labels\n\n`{command}`\n\n{_table(rows)}\n"
    report(text, options.out, {"command": command, "measured": rows})


def _measure(encoder: str, n: int, n_labels: int) -> dict[str, float]:
    """Fit and predict once, with the memory that each needs beyond what it was given."""
    from sklearn_bertlam import BertLamClassifier
    from sklearn_bertlam.exceptions import LabelWithoutPositivesWarning

    warnings.simplefilter("ignore", LabelWithoutPositivesWarning)
    texts, targets = _documents(n, n_labels)
    clf = BertLamClassifier(
        encoder,
        label_names=[f"label number {label}" for label in range(n_labels)],
        max_length=32,
        max_epochs=1,
        head_init="random",
        batch_size=256,
        threshold=0.5,
        random_state=0,
    )
    clf.fit(texts[:1000], targets[:1000])  # imports and buffers of the libraries
    fit_seconds, fit_bytes = time_and_memory(lambda: clf.fit(texts, targets))
    predict_seconds, predict_bytes = time_and_memory(lambda: clf.predict_proba(texts))
    stream_seconds, stream_bytes = time_and_memory(lambda: sum(part.shape[0] for part in clf.predict_batches(iter(texts))))
    n_tokens = sum(len(ids) for ids in clf.tokenizer_(texts[:1000])["input_ids"]) / min(n, 1000) * n
    return {
        "documents": n,
        "labels": n_labels,
        "ids_mb": (4 * n_tokens + 8 * n) / 1e6,
        "targets_mb": (targets.data.nbytes + targets.indices.nbytes + targets.indptr.nbytes) / 1e6,
        "probabilities_mb": 4 * n * n_labels / 1e6,
        "fit_extra_mb": fit_bytes / 1e6,
        "predict_proba_extra_mb": predict_bytes / 1e6,
        "predict_batches_extra_mb": stream_bytes / 1e6,
        "fit_seconds": fit_seconds,
        "predict_proba_seconds": predict_seconds,
        "predict_batches_seconds": stream_seconds,
    }


def time_and_memory(function: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds, and the largest resident size while a function ran minus that at its start, in bytes."""
    before, largest, done = _resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal largest
        while not done.wait(0.02):
            largest = max(largest, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        result = function()
    finally:
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
    del result
    return seconds, max(largest - before, 0)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _documents(n: int, n_labels: int) -> tuple[list[str], sp.csr_array]:
    """Make texts of a few words of the support requests, and two random labels for each."""
    from sklearn_bertlam.datasets import load_support_requests

    rng = np.random.default_rng(0)
    words = np.array(sorted(set(" ".join(load_support_requests().data).split())))
    texts = [" ".join(row) for row in words[rng.integers(len(words), size=(n, _WORDS))]]
    rows = np.repeat(np.arange(n), 2)
    columns = (rng.integers(n_labels, size=n)[:, None] + [0, 7]).ravel() % n_labels
    targets = sp.csr_array((np.ones(2 * n, dtype=np.float32), (rows, columns)), shape=(n, n_labels))
    targets.data[:] = 1  # where there are so few labels that both are the same
    return texts, targets


def _write_tiny_encoder(folder: str) -> None:
    from transformers import BertConfig, BertModel

    from sklearn_bertlam._encoders import EMBEDDED_NAME, load_tokenizer

    tokenizer = load_tokenizer(EMBEDDED_NAME)
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)


def _table(rows: list[dict[str, float]]) -> str:
    names = list(rows[0])
    lines = [f"| {' | '.join(name.replace('_mb', ', MB').replace('_', ' ') for name in names)} |"]
    lines.append("|" + "---:|" * len(names))
    lines += [f"| {' | '.join(f'{row[name]:,.0f}' for name in names)} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

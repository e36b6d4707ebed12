"""Time to tune thresholds and to draw stratified splits: ``python -m benchmarks.selection --out docs/results/selection``.

Scores and labels are random: 100,000 documents with 500 labels for thresholds, 1,000,000 with 1,000 for splits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, ClassifierMixin

from sklearn_bertlam.model_selection import (
    MultilabelStratifiedKFold,
    MultilabelStratifiedShuffleSplit,
    MultilabelThresholdClassifierCV,
)

from .command_line import positive, report_path, shown
from .many import time_and_memory
from .output import report


class Scores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are the scores themselves."""

    def __init__(self, n_labels: int):
        self.n_labels = n_labels
        self.classes_ = np.arange(n_labels)

    def fit(self, X, y):
        """Learn nothing."""
        return self

    def predict_proba(self, X):
        """Return the inputs."""
        return X

    def predict(self, X):
        """Return what lies above one half."""
        return (X > 0.5).astype(int)


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scores", nargs=2, type=positive, default=[100_000, 500], metavar=("DOCUMENTS", "LABELS"))
    parser.add_argument("--splits", nargs=2, type=positive, default=[1_000_000, 1_000], metavar=("DOCUMENTS", "LABELS"))
    parser.add_argument("--out", type=report_path, help="where measurements go: OUT.md and OUT.json")
    options = parser.parse_args(arguments)
    command = shown("selection", sys.argv[1:] if arguments is None else arguments)
    rows = [*_thresholds(*options.scores), *_splits(*options.splits)]
    text = f"# Thresholds and splits\n\n`{command}`\n\n{_table(rows)}\n"
    report(text, options.out, {"command": command, "measured": rows})


def _thresholds(n: int, n_labels: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    labels = _labels(rng, n, n_labels)
    scores = rng.random((n, n_labels), dtype=np.float32)
    scores[labels.nonzero()] += 0.3
    scores /= scores.max()
    rows = []
    for scoring in ("f1_micro", "f1_macro"):
        for per_label in (False, True):
            tuner = MultilabelThresholdClassifierCV(
                Scores(n_labels), cv="prefit", refit=False, scoring=scoring, per_label=per_label
            )
            what = f"{scoring}, {'a threshold for each label' if per_label else 'one threshold'}"
            rows.append(_row(what, n, n_labels, partial(tuner.fit, scores, labels)))
    return rows


def _splits(n: int, n_labels: int) -> list[dict[str, Any]]:
    labels = _labels(np.random.default_rng(0), n, n_labels)
    texts = np.zeros(n)
    splitters: dict[str, Any] = {
        "5 folds": MultilabelStratifiedKFold(5),
        "5 folds, pairs of labels": MultilabelStratifiedKFold(5, order=2),
        "a tenth for testing": MultilabelStratifiedShuffleSplit(1, test_size=0.1, random_state=0),
    }
    return [_row(what, n, n_labels, partial(list, splitter.split(texts, labels))) for what, splitter in splitters.items()]


def _labels(rng: np.random.Generator, n: int, n_labels: int) -> sp.csr_array:
    """Draw three labels for each document, some of them far more often than others."""
    columns = (n_labels * rng.random((n, 3)) ** 3).astype(int)
    entries = np.ones(3 * n, dtype=np.int8), (np.repeat(np.arange(n), 3), columns.ravel())
    labels = sp.csr_array(entries, shape=(n, n_labels))
    labels.data[:] = 1  # some were drawn twice
    return labels


def _row(what: str, n: int, n_labels: int, function: Callable[[], Any]) -> dict[str, Any]:
    seconds, peak = time_and_memory(function)
    return {"what": what, "documents": n, "labels": n_labels, "seconds": seconds, "extra_gb": peak / 1e9}


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| what | documents | labels | seconds | memory beyond the input, GB |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {row['what']} | {row['documents']:,} | {row['labels']:,} | {row['seconds']:.1f} | {row['extra_gb']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

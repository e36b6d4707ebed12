"""Train a system, apply it, and say what came out."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, precision_score, recall_score

COLUMNS = {
    "f1_micro": "micro-F1",
    "f1_macro": "macro-F1",
    "precision_micro": "precision",
    "recall_micro": "recall",
    "hamming_loss": "Hamming loss",
    "average_precision_micro": "average precision",
    "fit_seconds": "seconds to fit",
    "fit_documents_per_second": "docs/s training",
    "predict_documents_per_second": "docs/s prediction",
    "peak_memory_gb": "peak memory, GB",
}


def evaluate(estimator, train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """Fit on ``train`` and score on ``test``, both pairs of texts and indicator.

    Returns
    -------
    results : dict of str to float
        One value for each key of ``COLUMNS`` but the memory. Documents per second of training count every pass.
    """
    start = time.perf_counter()
    estimator.fit(*train)
    fitted = time.perf_counter()
    scores = estimator.decision_function(test[0])
    predicted = time.perf_counter()
    epochs = getattr(estimator, "history_", [])
    training = sum(epoch["seconds"] for epoch in epochs) if epochs else fitted - start
    return {
        **score(test[1], scores > 0, scores),
        "fit_seconds": fitted - start,
        "fit_documents_per_second": len(train[0]) * max(1, len(epochs)) / training,
        "predict_documents_per_second": len(test[0]) / (predicted - fitted),
    }


def score(y_true: Any, y_pred: np.ndarray, y_score: np.ndarray) -> dict[str, float]:
    """Compute the metrics of the paper's tables, and two that do not depend on a threshold or on frequent labels."""
    y_true = y_true.toarray() if hasattr(y_true, "toarray") else np.asarray(y_true)
    return {
        "f1_micro": float(f1_score(y_true, y_pred, average="micro", zero_division=0)),
        "f1_macro": float(f1_score(y_true, y_pred, average="macro", zero_division=0)),
        "precision_micro": float(precision_score(y_true, y_pred, average="micro", zero_division=0)),
        "recall_micro": float(recall_score(y_true, y_pred, average="micro", zero_division=0)),
        "hamming_loss": float(hamming_loss(y_true, y_pred)),
        "average_precision_micro": float(average_precision_score(y_true, y_score, average="micro")),
    }


def peak_memory_gb() -> float:
    """Return the largest resident size that this process has had."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def markdown_table(rows: dict[str, dict[str, float]], columns: dict[str, str]) -> str:
    """Lay out one line per system; columns that no system has a value for are left out."""
    columns = {key: title for key, title in columns.items() if any(key in row for row in rows.values())}
    width = max(map(len, rows), default=0)
    lines = [
        f"| {'system':{width}} | " + " | ".join(columns.values()) + " |",
        f"|{'-' * (width + 2)}|" + "|".join("-" * (len(title) + 1) + ":" for title in columns.values()) + "|",
    ]
    for name, row in rows.items():
        cells = [_cell(key, row.get(key)).rjust(len(title)) for key, title in columns.items()]
        lines.append(f"| {name:{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    if "second" in key:
        return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return f"{value:.2f}" if key == "peak_memory_gb" else f"{value:.4f}" if key == "hamming_loss" else f"{value:.3f}"

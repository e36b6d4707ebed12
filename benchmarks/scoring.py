"""Train a system, apply it, and say what came out."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, precision_score, recall_score

from sklearn_bertlam import _thresholds
from sklearn_bertlam.model_selection import MultilabelThresholdClassifierCV

COLUMNS = {
    "precision_micro": "precision",
    "recall_micro": "recall",
    "f1_micro": "micro-F1",
    "f1_macro": "macro-F1",
    "hamming_loss": "Hamming loss",
    "average_precision_micro": "average precision",
    "fit_seconds": "seconds to fit",
    "fit_documents_per_second": "docs/s training",
    "predict_documents_per_second": "docs/s prediction",
    "parameters": "parameters",
    "peak_memory_gb": "peak memory, GB",
}


def timed_fit(estimator: Any, texts: Any, target: Any) -> dict[str, float]:
    """Fit, and return the time that it took and the number of parameters. Documents per second count every pass."""
    start = time.perf_counter()
    estimator.fit(texts, target)
    seconds = time.perf_counter() - start
    epochs = getattr(estimator, "history_", [])
    training = sum(epoch["seconds"] for epoch in epochs) if epochs else seconds
    return {
        "fit_seconds": seconds,
        "fit_documents_per_second": len(texts) * max(1, len(epochs)) / training,
        "parameters": count_parameters(estimator),
    }


def timed_scores(estimator: Any, texts: Any) -> tuple[np.ndarray, dict[str, float]]:
    """Return the scores (n, K) of a fitted estimator, and how fast they came."""
    start = time.perf_counter()
    scores = estimator.decision_function(texts)
    return scores, {"predict_documents_per_second": len(texts) / (time.perf_counter() - start)}


def evaluate(estimator: Any, train: tuple[Any, Any], test: tuple[Any, Any]) -> dict[str, float]:
    """Fit on ``train`` and score on ``test``, both pairs of texts and indicator.

    Returns
    -------
    results : dict of str to float
        One value for each key of ``COLUMNS`` but the memory.
    """
    fitting = timed_fit(estimator, *train)
    scores, predicting = timed_scores(estimator, test[0])
    return {**score(test[1], estimator.predict(test[0]), scores), **fitting, **predicting}


def dense(y: Any) -> np.ndarray:
    """Return an indicator as an ndarray."""
    return y.toarray() if hasattr(y, "toarray") else np.asarray(y)


def score(y_true: Any, y_pred: Any, y_score: np.ndarray) -> dict[str, float]:
    """Compute the metrics of the paper's tables, and two that do not depend on a threshold or on frequent labels."""
    y_true, y_pred = dense(y_true) == 1, dense(y_pred) == 1
    entries = y_true.ravel(), y_pred.ravel()  # "micro" means: entries as if of one label
    labels = [1] if y_true.shape[1] == 1 else None  # of a single column, scikit-learn would score "absent" as well
    return {
        "f1_micro": float(f1_score(*entries, zero_division=0)),
        "f1_macro": float(f1_score(y_true, y_pred, labels=labels, average="macro", zero_division=0)),
        "precision_micro": float(precision_score(*entries, zero_division=0)),
        "recall_micro": float(recall_score(*entries, zero_division=0)),
        "hamming_loss": float(hamming_loss(y_true, y_pred)),
        "average_precision_micro": float(average_precision_score(entries[0], y_score.ravel())),
    }


def best_threshold(y_true: Any, y_score: np.ndarray) -> np.float64:
    """Return the one threshold on all scores (n, K) above which predictions have the highest micro-F1, exactly."""
    return _thresholds.best_threshold(_thresholds.scored_entries(dense(y_true).astype(float), y_score))


def count_parameters(estimator: Any) -> int:
    """Count the numbers that a fitted estimator predicts from: weights of its network, or coefficients."""
    if isinstance(estimator, MultilabelThresholdClassifierCV):
        estimator = estimator.estimator_
    if hasattr(estimator, "module_"):
        words = getattr(estimator.module_, "words", None)
        counted = 0 if words is None else int(words.weight.count_nonzero()) + len(words.bias)
        return counted + sum(parameter.numel() for parameter in estimator.module_.parameters())
    return sum(np.size(one.coef_) + np.size(one.intercept_) for one in estimator.estimators_ if hasattr(one, "coef_"))


def peak_memory_gb() -> float:
    """Return the largest resident size that this process has had; NaN on Windows, which does not tell."""
    try:
        import resource
    except ModuleNotFoundError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def markdown_table(rows: dict[str, dict[str, Any]], columns: dict[str, str], head: str = "system") -> str:
    """Lay out one line per system; columns that no system has a value for are left out."""
    columns = {key: title for key, title in columns.items() if any(row.get(key) is not None for row in rows.values())}
    width = max(map(len, [head, *rows]))
    lines = [
        f"| {head:{width}} | " + " | ".join(columns.values()) + " |",
        f"|{'-' * (width + 2)}|" + "|".join("-" * (len(title) + 1) + ":" for title in columns.values()) + "|",
    ]
    for name, row in rows.items():
        cells = [_cell(key, row.get(key)).rjust(len(title)) for key, title in columns.items()]
        lines.append(f"| {name:{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(key: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if key == "parameters":
        return f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value:,.0f}"
    if "second" in key:
        return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
    return f"{value:.2f}" if key == "peak_memory_gb" else f"{value:.4f}" if key == "hamming_loss" else f"{value:.3f}"

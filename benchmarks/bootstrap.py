"""How sure a micro-F1 is, and a difference of two: documents drawn anew with replacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLES = 10_000
_DRAWS_AT_ONCE = 2_000_000


def document_counts(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Return (n, 2): of every document, the labels predicted and right, and those predicted plus those true."""
    y_true, y_pred = y_true == 1, y_pred == 1
    return np.stack([(y_true & y_pred).sum(axis=1), y_true.sum(axis=1) + y_pred.sum(axis=1)], axis=1)


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """Return micro-F1 (...) from sums of counts (..., 2); 0 where nothing is true or predicted."""
    return np.divide(2 * counts[..., 0], counts[..., 1], out=np.zeros(counts.shape[:-1]), where=counts[..., 1] > 0)


def bootstrap_micro_f1(counts: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """Return the micro-F1 of every system, its mean over seeds, in the same resamples of the documents.

    Parameters
    ----------
    counts : dict of str to ndarray of shape (n_seeds, n, 2)
        Of every system and each of its seeds, as from ``document_counts``, on the same n documents.
    seed : int, default=0
        Draws the resamples.

    Returns
    -------
    scores : dict of str to ndarray of shape (RESAMPLES,)
        Differences of two of them are paired.
    """
    n_documents = next(iter(counts.values())).shape[1]
    scores: dict[str, list[np.ndarray]] = {name: [] for name in counts}
    for times in _resamples(n_documents, np.random.default_rng(seed)):
        for name, count in counts.items():
            scores[name].append(np.mean([micro_f1(times @ of_seed) for of_seed in count], axis=0))
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def _resamples(n_documents: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each document is drawn (some resamples, n)."""
    at_once = max(1, min(RESAMPLES, _DRAWS_AT_ONCE // n_documents))
    for start in range(0, RESAMPLES, at_once):
        n = min(at_once, RESAMPLES - start)
        drawn = random.integers(n_documents, size=(n, n_documents)) + np.arange(n)[:, None] * n_documents
        yield np.bincount(drawn.ravel(), minlength=n * n_documents).reshape(n, n_documents).astype(np.float64)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the middle ``level`` of the resamples."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)

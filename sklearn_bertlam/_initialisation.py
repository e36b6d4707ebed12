"""Where training starts: the frozen encoder's document vectors, and a logistic regression per label on them.

A random head spends its first hundreds of updates on learning that most labels are absent. A head that starts from a logistic
regression starts where frozen embeddings end.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
_MOST_DOCUMENTS_TO_CHOOSE_ON = 4000


def logistic_head(
    vectors: np.ndarray, targets: sp.csr_array, sample_weight: np.ndarray, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one logistic regression per label.

    The inverse regularisation strength C is the same for all labels and chosen by the log-loss on held-out documents.

    Parameters
    ----------
    vectors : ndarray of shape (n, H)
        Document vectors of about unit length.
    targets : csr_array of shape (n, K)
        Stored entries are 1 or NaN (unknown).
    sample_weight : ndarray of shape (n,)
        Document weights.
    random_state : RandomState
        Draws the held-out documents.

    Returns
    -------
    weight : ndarray of float32, shape (K, H)
        Coefficients.
    bias : ndarray of float32, shape (K,)
        Intercepts.
    """
    columns = targets.tocsc()
    strength = _choose_strength(vectors, columns, sample_weight, random_state)
    everything = np.arange(len(vectors))
    heads = [_fit_label(vectors, columns, label, sample_weight, everything, strength) for label in range(targets.shape[1])]
    weight, bias = zip(*heads, strict=True)
    return np.asarray(weight, dtype=np.float32), np.asarray(bias, dtype=np.float32)


def _choose_strength(
    vectors: np.ndarray, columns: sp.csc_array, sample_weight: np.ndarray, random_state: np.random.RandomState
) -> float:
    rows = random_state.permutation(len(vectors))[:_MOST_DOCUMENTS_TO_CHOOSE_ON]
    held_out, rest = np.split(rows, [len(rows) // 4])
    if len(held_out) == 0:
        return _STRENGTHS[0]
    losses = [0.0] * len(_STRENGTHS)
    for label in range(columns.shape[1]):
        target = _column(columns, label)[held_out]
        known = ~np.isnan(target)
        for position, strength in enumerate(_STRENGTHS):
            weight, bias = _fit_label(vectors, columns, label, sample_weight, rest, strength)
            logits = vectors[held_out][known] @ weight + bias
            losses[position] += float(np.sum(np.logaddexp(0, logits) - target[known] * logits))
    return _STRENGTHS[int(np.argmin(losses))]


def _fit_label(
    vectors: np.ndarray, columns: sp.csc_array, label: int, sample_weight: np.ndarray, rows: np.ndarray, strength: float
) -> tuple[np.ndarray, float]:
    target = _column(columns, label)[rows]
    rows, target = rows[~np.isnan(target)], target[~np.isnan(target)]
    weights = sample_weight[rows]
    if len(np.unique(target[weights > 0])) < 2:
        return np.zeros(vectors.shape[1]), _smoothed_log_odds(target, weights)
    model = LogisticRegression(C=strength, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be the optimum
        model.fit(vectors[rows], target, sample_weight=weights)
    return model.coef_[0], float(model.intercept_[0])


def _column(columns: sp.csc_array, label: int) -> np.ndarray:
    dense = np.zeros(columns.shape[0], dtype=np.float32)
    entries = slice(columns.indptr[label], columns.indptr[label + 1])
    dense[columns.indices[entries]] = columns.data[entries]
    return dense


def _smoothed_log_odds(target: np.ndarray, weights: np.ndarray) -> float:
    """Return the log-odds of a label that always or never applies, with half an example added on both sides."""
    positive = float(weights[target == 1].sum())
    return float(np.log((positive + 0.5) / (float(weights.sum()) - positive + 0.5)))


def mean_vector_per_label(vectors: np.ndarray, targets: sp.csr_array) -> np.ndarray:
    """Return the mean (K, H) of the documents that carry each label, and of all documents for a label that none carries."""
    carries = sp.csr_array(targets == 1).astype(np.float32)
    counts = np.asarray(carries.sum(axis=0)).ravel()
    means = np.tile(vectors.mean(axis=0), (targets.shape[1], 1))
    present = counts > 0
    means[present] = (carries.T @ vectors)[present] / counts[present, None]
    return means.astype(np.float32)

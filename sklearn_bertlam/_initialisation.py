"""Where training starts: a logistic regression per label on what the last layer reads from the frozen encoder.

A random head spends its first hundreds of updates on learning that most labels are absent. A head that starts from a
logistic regression starts where frozen vectors end.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ._thresholds import best_threshold, f1, scored_entries, threshold_for_f1

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
_MOST_DOCUMENTS_TO_CHOOSE_ON = 2000
_MOST_LABELS_TO_CHOOSE_ON = 8
_WEIGHT_OF_LABEL_TEXT = 10.0  # a document has 1
_MOST_VALUES_FOR_UNIT = 2**26  # 256 MiB in float32
_in_one_thread = threadpool_limits.wrap(limits=1, user_api="blas")  # several wait for one another: up to ten times slower


class LogisticHead(NamedTuple):
    """One logistic regression per label."""

    weight: np.ndarray
    """Coefficients, float32 (K, H)."""
    bias: np.ndarray
    """Intercepts, float32 (K,)."""
    threshold: float
    """For the highest micro-F1, as far as held-out documents tell."""


@_in_one_thread
def logistic_head(
    features: np.ndarray,
    targets: sp.csr_array,
    sample_weight: np.ndarray,
    random_state: np.random.RandomState,
    label_vectors: np.ndarray | None = None,
) -> LogisticHead:
    """Fit one logistic regression per label.

    The inverse regularisation strength C is the same for all labels, and chosen by the log-loss of the most frequent ones
    on held-out documents. Where labels have texts, each is one more document, which has its own label only.

    Parameters
    ----------
    features : ndarray of shape (n, H) or (n, K, H)
        One vector per document, or one per document and label.
    targets : csr_array of shape (n, K)
        Stored entries are 1 or NaN (unknown).
    sample_weight : ndarray of shape (n,)
        Document weights.
    random_state : RandomState
        Draws the held-out documents.
    label_vectors : ndarray of shape (K, H), optional
        Vectors of the labels' own texts, of length 1.

    Returns
    -------
    head : LogisticHead
        What was fitted.
    """
    problems = _BinaryProblems(features, targets.tocsc(), sample_weight, label_vectors)
    held_out, rest = _split(len(features), random_state)
    strength = _choose_strength(problems, held_out, rest)
    return LogisticHead(*problems.fit_all(strength), _threshold(problems, held_out, rest, strength))


@_in_one_thread
def logistic_regressions(
    features: sp.csr_array, targets: sp.csr_array, sample_weight: np.ndarray, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one logistic regression per label to sparse features (n, V), in the way of ``logistic_head``.

    Returns
    -------
    weight, bias : ndarray of float32, shape (K, V) and (K,)
        Coefficients, all 0 for a label that never or always applies, and intercepts.
    """
    problems = _BinaryProblems(features, targets.tocsc(), sample_weight)
    return problems.fit_all(_choose_strength(problems, *_split(features.shape[0], random_state)))


def _split(n: int, random_state: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Draw documents to choose on: those to judge by, and those to learn from for that."""
    rows = random_state.permutation(n)[:_MOST_DOCUMENTS_TO_CHOOSE_ON]
    held_out, rest = np.split(rows, [len(rows) // 4])
    return held_out, rest


@dataclass
class _BinaryProblems:
    """One binary problem per label, on features scaled to a root mean square length of 1."""

    features: np.ndarray | sp.csr_array
    columns: sp.csc_array
    sample_weight: np.ndarray
    label_vectors: np.ndarray | None = None

    def __post_init__(self):
        values = 1 if self.features.ndim == 2 else math.prod(self.features.shape[1:])
        some = self.features[: max(1, min(1000, _MOST_VALUES_FOR_UNIT // values))].astype(np.float32)
        self.unit = float(np.sqrt(np.mean((some**2).sum(axis=-1)))) or 1.0
        if sp.issparse(self.features):
            self.features = self.features.astype(np.float32) / self.unit

    def data(self, label: int, rows: np.ndarray) -> tuple[np.ndarray | sp.csr_array, np.ndarray, np.ndarray]:
        """Return features, 0/1 targets and weights of the rows where the label is known."""
        target = np.zeros(self.columns.shape[0], dtype=np.float32)
        entries = slice(self.columns.indptr[label], self.columns.indptr[label + 1])
        target[self.columns.indices[entries]] = self.columns.data[entries]
        rows = rows[~np.isnan(target[rows])]
        return self.vectors(label, rows), target[rows], self.sample_weight[rows]

    def vectors(self, label: int, rows: np.ndarray) -> np.ndarray | sp.csr_array:
        """Return the scaled features of the rows."""
        if sp.issparse(self.features):
            is_all = len(rows) == self.features.shape[0] and (np.diff(rows) == 1).all()
            return self.features if is_all else self.features[rows]
        features = self.features[rows] if self.features.ndim == 2 else self.features[rows, label]
        return features.astype(np.float32) / self.unit

    def fit(self, label: int, rows: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
        """Return the coefficients (H,) and the intercept."""
        features, target, weights = self.data(label, rows)
        if not weights.any():
            return np.zeros(features.shape[1]), self._log_odds_of_all()
        if self.label_vectors is not None:
            n_labels = len(self.label_vectors)
            features = np.concatenate([features, self.label_vectors])
            target = np.r_[target, np.arange(n_labels) == label]
            weights = np.r_[weights, np.full(n_labels, _WEIGHT_OF_LABEL_TEXT)]
        if len(np.unique(target[weights > 0])) < 2:
            return np.zeros(features.shape[1]), _smoothed_log_odds(target, weights)
        model = LogisticRegression(C=strength, max_iter=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not be the optimum
            model.fit(features, target, sample_weight=weights)
        return model.coef_[0], float(model.intercept_[0])

    def _log_odds_of_all(self) -> float:
        """Return what is known of a label without a known entry: the log-odds of any label."""
        n_positive = int((self.columns.data == 1).sum())
        n_known = math.prod(self.columns.shape) - int(np.isnan(self.columns.data).sum())
        return float(np.log((n_positive + 0.5) / (n_known - n_positive + 0.5)))

    def fit_all(self, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients (K, H) and intercepts (K,) of all labels, for features that are not scaled."""
        everything = np.arange(self.features.shape[0])
        weight, bias = zip(*(self.fit(label, everything, strength) for label in range(self.columns.shape[1])), strict=True)
        return np.asarray(weight, dtype=np.float32) / self.unit, np.asarray(bias, dtype=np.float32)

    def loss(self, label: int, rows: np.ndarray, weight: np.ndarray, bias: float) -> float:
        """Return the sum of the log-losses over the rows."""
        features, target, weights = self.data(label, rows)
        logits = features @ weight + bias
        return float(np.sum(weights * (np.logaddexp(0, logits) - target * logits)))


def _choose_strength(problems: _BinaryProblems, held_out: np.ndarray, rest: np.ndarray) -> float:
    if len(held_out) == 0:
        return _STRENGTHS[0]
    counted = (problems.sample_weight > 0).astype(np.float32)
    n_positive = sp.csc_array(problems.columns == 1).astype(np.float32).T @ counted
    labels = np.argsort(-n_positive, kind="stable")[:_MOST_LABELS_TO_CHOOSE_ON]
    losses = [
        sum(problems.loss(label, held_out, *problems.fit(label, rest, strength)) for label in labels)
        for strength in _STRENGTHS
    ]
    return _STRENGTHS[int(np.argmin(losses))]


def _threshold(problems: _BinaryProblems, held_out: np.ndarray, rest: np.ndarray, strength: float) -> float:
    """Return the threshold that suits the micro-F1 of the held-out documents, those of no weight left out."""
    held_out = held_out[problems.sample_weight[held_out] > 0]
    known = problems.columns[held_out].toarray()
    scores = np.empty(known.shape)
    for label in range(known.shape[1]):
        weight, bias = problems.fit(label, rest, strength)
        scores[:, label] = expit(problems.vectors(label, held_out) @ weight + bias)
    entries = scored_entries(known, scores)
    return threshold_for_f1(f1(entries, best_threshold(entries), "f1_micro"), int(entries.hits.sum()))


def _smoothed_log_odds(target: np.ndarray, weights: np.ndarray) -> float:
    """Return the log-odds of a label that always or never applies, with half an example added on both sides."""
    positive = float(weights[target == 1].sum())
    return float(np.log((positive + 0.5) / (float(weights.sum()) - positive + 0.5)))


def log_odds(targets: sp.csr_array, sample_weight: np.ndarray) -> np.ndarray:
    """Return the log-odds (K,) of every label among the documents where it is known."""
    weights = sample_weight[:, None]
    positive = np.asarray(sp.csr_array(targets == 1).multiply(weights).sum(axis=0)).ravel()
    unknown = np.asarray(sp.csr_array(targets != targets).multiply(weights).sum(axis=0)).ravel()  # NaN differs from itself
    negative = float(sample_weight.sum()) - unknown - positive
    return np.log((positive + 0.5) / (negative + 0.5)).astype(np.float32)


def mean_vector_per_label(vectors: np.ndarray, targets: sp.csr_array, sample_weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean (K, H) of the documents that carry each label; the mean of all where none does."""
    carries = sp.csr_array(targets == 1).multiply(sample_weight[:, None]).tocsc()
    total = np.asarray(carries.sum(axis=0)).ravel()
    present = total > 0
    means = np.tile(vectors.mean(axis=0), (targets.shape[1], 1))
    means[present] = (carries.T @ vectors)[present] / total[present, None]
    return means.astype(np.float32)


_USUAL_SLOPE = 10.0


def scorers_by_cosine(new: np.ndarray, cosines: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Let labels without examples be scored by the cosine of the attended vector with the label's own.

    How a cosine becomes a logit is taken from the labels that were trained: the straight line that is nearest to their own
    cosines and logits.

    Parameters
    ----------
    new : ndarray of shape (n, H)
        Vectors of the labels without examples.
    cosines, logits : ndarray of the same shape
        Of trained labels, on any texts.

    Returns
    -------
    scorers : ndarray of float32, shape (n, H + 1)
        Weights and biases of the last layer.
    """
    away = cosines - cosines.mean()
    spread = float(np.sum(away**2))
    slope = float(np.sum(away * logits)) / spread if spread > 0 else 0.0
    slope = slope if slope > 0 else _USUAL_SLOPE
    bias = float(logits.mean() - slope * cosines.mean())
    directions = new / np.linalg.norm(new, axis=1, keepdims=True).clip(1e-12)
    return np.column_stack([slope * directions, np.full(len(new), bias)]).astype(np.float32)

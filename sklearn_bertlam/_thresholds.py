"""The thresholds with the highest F1, exactly: every distinct score is a candidate, and none is tried one by one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SCORINGS = frozenset({"f1_micro", "f1_macro", "f1_weighted", "f1_samples"})
_ENTRIES_AT_ONCE = 2**21
_PRIOR_EXAMPLES = 20


class ScoredEntries(NamedTuple):
    """What thresholds are chosen on: n documents, K labels."""

    scores: np.ndarray
    """(n, K), float."""
    hits: np.ndarray
    """(n, K), bool: the label applies."""
    counts: np.ndarray
    """(n, K), bool: the entry is known, so that it counts."""
    always: np.ndarray
    """(n, K), bool: predicted under every threshold."""


def scored_entries(targets: np.ndarray, scores: np.ndarray, min_labels: int = 0) -> ScoredEntries:
    """Lay out targets (n, K) of 0, 1 and NaN (unknown), and scores (n, K)."""
    return ScoredEntries(scores, targets == 1, ~np.isnan(targets), best_labels(scores, min_labels))


def best_labels(scores: np.ndarray, n_labels: int) -> np.ndarray:
    """Mark the labels with the highest scores of every document (n, K)."""
    marks = np.zeros(scores.shape, dtype=bool)
    if n_labels:
        best = np.argpartition(-scores, n_labels - 1, axis=1)[:, :n_labels]
        np.put_along_axis(marks, best, True, axis=1)
    return marks


def apply_threshold(scores: np.ndarray, threshold: float | np.ndarray, min_labels: int = 0) -> np.ndarray:
    """Return the predicted labels (n, K), bool: scores above the threshold, and the best labels of every document."""
    return (scores > np.atleast_1d(threshold)) | best_labels(scores, min_labels)


def f1(entries: ScoredEntries, threshold: float | np.ndarray, scoring: str) -> float:
    """Compute the F1 of the labels that a threshold gives."""
    predicted = ((entries.scores > np.atleast_1d(threshold)) | entries.always) & entries.counts
    groups = _Groups(entries, scoring)
    return groups.average(groups.sums(entries.hits & predicted), groups.sums(predicted))


def threshold_for_f1(reachable: float, n_positive: int) -> float:
    """Return the threshold on calibrated probabilities where the highest F1 is known: half of it [1]_.

    With few positive entries to know it from, the threshold stays near one half.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan, B. Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1 Measure",
       ECML PKDD 2014.
    """
    return (n_positive * reachable / 2 + _PRIOR_EXAMPLES * 0.5) / (n_positive + _PRIOR_EXAMPLES)


# ------------------------------------------------------------------------------------------------- one for all labels


def best_threshold(entries: ScoredEntries, scoring: str = "f1_micro") -> np.float64:
    """Return the threshold on all scores with the highest F1; of equally good ones, the highest.

    Going down the sorted scores, every entry changes the F1 of its group alone: of its document ("f1_samples"), its label
    ("f1_macro", "f1_weighted") or of everything ("f1_micro"). The running sum of the changes is F1 under every threshold.
    """
    groups = _Groups(entries, scoring)
    free = entries.counts & ~entries.always
    scores, hits = entries.scores[free], entries.hits[free]
    start = groups.average(*groups.always)
    if scoring == "f1_micro":
        order = _best_first(scores, _most_predicted(scores, hits, *np.ravel(groups.always), *groups.positive))
        values = _running_f1(hits[order], np.ones(len(order)), groups, slice(0, 1))
    else:
        order = _best_first(scores, len(scores))
        values = start + np.cumsum(_changes(entries, free, groups)[free][order])
    return _highest(values, scores[order], start)


def _best_first(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the indices of the n highest scores, and of all that are equal to the last of them, from the highest down."""
    some = np.flatnonzero(scores >= _nth_highest(scores, n)) if n < len(scores) else np.arange(len(scores))
    return some[np.argsort(scores[some])[::-1]]


def _nth_highest(scores: np.ndarray, n: int) -> np.floating:
    return np.partition(scores, len(scores) - n)[len(scores) - n]


def _most_predicted(scores: np.ndarray, hits: np.ndarray, always_hits: float, n_always: float, n_positive: float) -> int:
    """Return more of the highest scores than are predicted where F1 is highest, so that the others need not be sorted.

    When k of them are, F1 is at most ``2 positive / (k + always + positive)``; to predict about as many as are positive
    is one way to reach some F1.
    """
    if not 0 < n_positive < len(scores):
        return len(scores)
    predicted = scores >= _nth_highest(scores, int(n_positive))
    reached = 2 * (always_hits + hits[predicted].sum()) / (n_always + predicted.sum() + n_positive)
    return int(2 * n_positive / reached - n_always - n_positive) + 2 if reached else len(scores)


class _Groups:
    """The parts of the entries whose F1 is averaged: everything, the documents, or the labels."""

    def __init__(self, entries: ScoredEntries, scoring: str):
        self.axis = {"f1_micro": None, "f1_samples": 1}.get(scoring, 0)
        self.positive = self.sums(entries.hits & entries.counts)
        predicted = entries.always & entries.counts
        self.always = self.sums(predicted & entries.hits), self.sums(predicted)
        if scoring == "f1_weighted":
            self.weight = self.positive / max(1, self.positive.sum())
        else:
            self.weight = np.full(len(self.positive), 1 / max(1, len(self.positive)))

    def sums(self, marks: np.ndarray) -> np.ndarray:
        """Count the marks (n, K) of every group."""
        return np.atleast_1d(marks.sum(axis=self.axis)).astype(np.float64)

    def average(self, hits: np.ndarray, predicted: np.ndarray) -> float:
        """Average the groups' F1, which is 0 where nothing is predicted and nothing applies."""
        return float(self.weight @ _ratio(2 * hits, predicted + self.positive))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _running_f1(hits: np.ndarray, predicted: np.ndarray, groups: _Groups, some: slice) -> np.ndarray:
    """Return the F1 of some groups after each of their ranked entries, the last axis."""
    always_hits, always = (part[some] for part in groups.always)
    n_hits = np.cumsum(hits, axis=-1, dtype=np.float64) + _column(always_hits, hits)
    n_predicted = np.cumsum(predicted, axis=-1, dtype=np.float64) + _column(always, hits)
    return _ratio(2 * n_hits, n_predicted + _column(groups.positive[some], hits))


def _column(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    return values if like.ndim == 1 else values[:, None]


def _changes(entries: ScoredEntries, free: np.ndarray, groups: _Groups) -> np.ndarray:
    """Return by how much the average F1 changes with each entry (n, K), once all with higher scores are predicted."""
    changes = np.zeros(entries.scores.shape)
    turned = (lambda matrix: matrix) if groups.axis == 1 else np.transpose
    scores, hits, free, result = map(turned, (entries.scores, entries.hits, free, changes))  # (groups, entries of each)
    first = _ratio(2 * groups.always[0], groups.always[1] + groups.positive)
    step = max(1, _ENTRIES_AT_ONCE // max(1, scores.shape[1]))
    for start in range(0, len(scores), step):
        some = slice(start, start + step)
        order = np.argsort(-scores[some], axis=1)
        in_order = np.take_along_axis(free[some], order, axis=1)
        values = _running_f1(np.take_along_axis(hits[some], order, axis=1) & in_order, in_order, groups, some)
        change = np.diff(values, axis=1, prepend=first[some, None]) * groups.weight[some, None]
        np.put_along_axis(result[some], order, change, axis=1)
    return changes


def _highest(values: np.ndarray, ranked: np.ndarray, start: float) -> np.float64:
    """Return the threshold whose value is highest; ``start`` is the value where no ranked entry is predicted."""
    if len(ranked) == 0:
        return np.float64(np.inf)
    possible = np.r_[ranked[:-1] != ranked[1:], True]  # equal scores are predicted together
    values = np.where(possible, values, -np.inf)
    best = int(np.argmax(values))
    return _below(ranked, -1 if values[best] <= start else best)


def _below(ranked: np.ndarray, last: int) -> np.float64:
    """Return the threshold under which ``ranked[: last + 1]`` are predicted, halfway to the next score.

    It is a double of numpy, because numpy rounds one of Python before it compares it with scores in single precision.
    """
    if last < 0:
        return np.float64(ranked[0])
    if last + 1 == len(ranked):
        return np.float64(np.nextafter(ranked[last], -np.inf))
    upper, lower = np.float64(ranked[last]), np.float64(ranked[last + 1])
    middle = lower if np.isinf(lower) else lower + (upper - lower) / 2
    return middle if middle < upper else lower  # there may be no double in between


# ------------------------------------------------------------------------------------------------------- one per label


def best_thresholds(entries: ScoredEntries, scoring: str = "f1_micro") -> np.ndarray:
    """Return the threshold of every label (K,) with which F1 is highest together.

    "f1_macro" and "f1_weighted" are sums over labels, so each label has its own best. Micro-F1 is a ratio of sums over
    labels, whose maximum Dinkelbach's method finds in a few rounds: with L the best ratio so far, every label maximises
    ``2 hits - L (predicted + positive)`` for itself [1]_. A label without a positive entry has the threshold
    that is best for all.

    References
    ----------
    .. [1] W. Dinkelbach, "On nonlinear fractional programming", Management Science 13(7), 1967.
    """
    if scoring == "f1_samples":
        raise ValueError(
            "scoring='f1_samples' has no threshold per label: its labels cannot be told apart. Use one for all."
        )
    is_ratio = scoring == "f1_micro"
    has_own = (entries.hits & entries.counts).any(axis=0) & (entries.counts & ~entries.always).any(axis=0)
    overall = best_threshold(entries, scoring) if is_ratio or not has_own.all() else np.float64(np.nan)  # nobody's
    ratio = f1(entries, overall, scoring) if is_ratio else None
    columns = [_RankedColumn(entries, label, overall, ratio) for label in range(entries.scores.shape[1])]
    lasts = _best_each(columns) if ratio is None else _best_micro(columns, ratio)
    return np.array([column.threshold(last) for column, last in zip(columns, lasts, strict=True)])


class _RankedColumn:
    """The entries of one label that may be predicted, from the highest score down; index -1 stands for none of them.

    Where what is maximised is ``2 hits - ratio (predicted + positive)``, with this ratio or a higher one, predicting another
    ``2 positive / ratio`` entries can gain nothing.
    """

    def __init__(self, entries: ScoredEntries, label: int, fallback: float, ratio: float | None):
        counts, always, hits = (part[:, label] for part in (entries.counts, entries.always, entries.hits))
        free = np.flatnonzero(counts & ~always)
        scores, hits_of_free = entries.scores[free, label], hits[free]
        self.positive = int((hits & counts).sum())
        n_always, n_always_hits = int((always & counts).sum()), int((always & counts & hits).sum())
        if ratio is None:
            most = _most_predicted(scores, hits_of_free, n_always_hits, n_always, self.positive)
        else:
            most = int(2 * self.positive / ratio) + 2 if self.positive and ratio else len(free)
        order = _best_first(scores, most)
        self.ranked = scores[order]
        self.hits = np.r_[0, np.cumsum(hits_of_free[order])].astype(np.float64) + n_always_hits
        self.predicted = np.arange(len(order) + 1, dtype=np.float64) + n_always
        self.possible = np.r_[True, self.ranked[1:] != self.ranked[:-1], True][: len(order) + 1]
        self.fallback = fallback
        if not self.positive:
            self.possible = np.arange(len(order) + 1) == int((self.ranked > fallback).sum())

    def threshold(self, last: int) -> float:
        """Return the threshold under which the entries up to the index are predicted."""
        return _below(self.ranked, last) if self.positive and len(self.ranked) else self.fallback

    def last(self, values: np.ndarray) -> int:
        """Return the index of the last predicted entry where a value is highest."""
        return int(np.argmax(np.where(self.possible, values, -np.inf))) - 1


def _best_each(columns: list[_RankedColumn]) -> list[int]:
    return [column.last(_ratio(2 * column.hits, column.predicted + column.positive)) for column in columns]


def _best_micro(columns: list[_RankedColumn], ratio: float) -> list[int]:
    while True:
        lasts = [column.last(2 * column.hits - ratio * column.predicted) for column in columns]
        hits = sum(column.hits[last + 1] for column, last in zip(columns, lasts, strict=True))
        total = sum(column.predicted[last + 1] + column.positive for column, last in zip(columns, lasts, strict=True))
        better = 2 * hits / total if total else 0.0
        if better <= ratio + 1e-12:
            return lasts
        ratio = better


# ------------------------------------------------------------------------------------------------- with few examples


def cautious_thresholds(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return a threshold per label (K,) for micro-F1, as far from one half as the examples warrant.

    The threshold that is best for all lies between one half and the best on these examples, the more towards the latter the
    more positive entries there are, with equal weights at 20; in the same way a label's own lies between the one for all
    and its best.

    Parameters
    ----------
    targets : ndarray of shape (n, K)
        0, 1 and NaN (unknown), for documents that were not trained on.
    probabilities : ndarray of shape (n, K)
        What the classifier says of them.
    """
    entries = scored_entries(targets, probabilities)
    positive = (entries.hits & entries.counts).sum(axis=0)
    if not positive.any():
        return np.full(targets.shape[1], 0.5)
    overall = _between(0.5, best_threshold(entries), positive.sum())
    return _between(overall, best_thresholds(entries), positive)


def _between(prior, own, n_examples):
    trust = n_examples / (n_examples + _PRIOR_EXAMPLES)
    return trust * own + (1 - trust) * prior

"""All that is usually reported of a multi-label classifier, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import _num_samples

from ._validation import check_named_targets, check_order
from .exceptions import InvalidTargetError, UnsuitableThresholdError

_KS = (1, 3, 5)
_BINS = 15
_CHUNK = 2**24  # numbers that a part of the bootstrap makes at once


class MultilabelReport:
    """Metrics of a multi-label classifier, with intervals from resampled documents.

    Made by :func:`multilabel_report`.

    Parameters
    ----------
    metrics : dict of str to float
        The metrics over all labels.
    intervals : dict of str to (float, float)
        The lower and the upper end of the interval of each metric but "calibration_error", which is an average of
        distances and so larger in most resamples than in the documents; empty without bootstrap.
    per_label : dict of str to dict
        For each label "precision", "recall", "f1" and "support", the number of documents that have it.
    confidence : float
        What the intervals hold.
    n_documents : int
        Number of documents.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.inspection import multilabel_report
    >>> y, scores = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.6], [0.2, 0.7]])
    >>> report = multilabel_report(y, scores, ["wine", "car"])
    >>> report.per_label["car"]["precision"]
    0.5
    """

    def __init__(
        self,
        metrics: dict[str, float],
        intervals: dict[str, tuple[float, float]],
        per_label: dict[Any, dict[str, float]],
        confidence: float,
        n_documents: int,
    ):
        self.metrics = metrics
        self.intervals = intervals
        self.per_label = per_label
        self.confidence = confidence
        self.n_documents = n_documents

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain numbers, for instance for JSON.

        Returns
        -------
        report : dict
            "metrics", "intervals", "per_label", "confidence" and "n_documents".
        """
        return {
            "metrics": self.metrics,
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "per_label": {str(label): values for label, values in self.per_label.items()},
            "confidence": self.confidence,
            "n_documents": self.n_documents,
        }

    def to_frame(self, *, per_label=False):
        """Return a pandas DataFrame.

        Parameters
        ----------
        per_label : bool, default=False
            One row for each label, instead of one for each metric.

        Returns
        -------
        frame : pandas.DataFrame
            Columns "value", "low" and "high", or "precision", "recall", "f1" and "support".
        """
        import pandas as pd

        if per_label:
            return pd.DataFrame.from_dict(self.per_label, orient="index")
        rows = {name: (value, *self.intervals.get(name, (np.nan, np.nan))) for name, value in self.metrics.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])

    def __str__(self) -> str:
        width = max(map(len, self.metrics))
        lines = [f"{self.n_documents:,} documents, {len(self.per_label)} labels", ""]
        for name, value in self.metrics.items():
            low, high = self.intervals.get(name, (None, None))
            lines.append(f"{name:{width}}  {value:.3f}" + ("" if low is None else f"  {low:.3f} to {high:.3f}"))
        label_width = max(len("label"), *(len(str(label)) for label in self.per_label))
        lines += ["", f"{'label':{label_width}}  precision  recall     f1  support"]
        lines += [
            f"{label!s:{label_width}}  {one['precision']:9.3f}  {one['recall']:6.3f}  {one['f1']:5.3f}  {one['support']:7d}"
            for label, one in self.per_label.items()
        ]
        if self.intervals:
            lines += ["", f"Intervals: {self.confidence:.0%} of resamples of the documents (percentile bootstrap);"]
            lines += ["none for the calibration error, which resampling makes larger."]
        return "\n".join(lines)

    __repr__ = __str__


@validate_params(
    {
        "n_bootstraps": [Interval(Integral, 0, None, closed="left")],
        "confidence": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def multilabel_report(
    y_true, y_score, label_names=None, *, threshold=0.5, n_bootstraps=1000, confidence=0.95, random_state=0
):
    """Report how good the probabilities of a multi-label classifier are.

    Parameters
    ----------
    y_true : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
        Indicator of 0 and 1.
    y_score : array-like of shape (n, n_labels)
        Probabilities, as of ``predict_proba``.
    label_names : sequence of length n_labels, optional
        What to call the labels; by default the columns of a DataFrame, or numbers.
    threshold : float or array-like of shape (n_labels,), default=0.5
        A label counts as predicted where its probability is above the threshold, for instance ``clf.threshold_``.
    n_bootstraps : int, default=1000
        Number of times the documents are resampled for the intervals; 0 for none.
    confidence : float, default=0.95
        What the intervals are to hold.
    random_state : int, RandomState instance or None, default=0
        Draws the resamples.

    Returns
    -------
    report : MultilabelReport
        Precision, recall and F1 averaged over entries ("micro"), labels ("macro"), labels by support ("weighted") and
        documents ("samples"); Hamming loss; subset accuracy; precision and nDCG of the best 1, 3 and 5 labels, where equal
        probabilities share their ranks; label ranking average precision (LRAP); and the expected calibration error over 15
        bins of equal width. What divides by zero counts as zero; documents without any label are left out of nDCG and LRAP.
        A label of which a resample has nothing keeps its value in it.

    Raises
    ------
    InvalidTargetError
        If y_true is not a complete indicator. It is a ValueError.
    ValueError
        If y_score has another shape or is not between 0 and 1, or two labels have the same name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.inspection import multilabel_report
    >>> y, scores = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.9, 0.2], [0.6, 0.8], [0.7, 0.4]])
    >>> report = multilabel_report(y, scores, ["red", "wine"])
    >>> report.metrics["f1_micro"], report.per_label["wine"]["recall"]
    (0.75, 0.5)
    """
    targets = check_named_targets(y_true, _num_samples(y_score), label_names)
    if np.isnan(targets.matrix.data).any():
        raise InvalidTargetError("y_true has NaN (unknown) entries. Leave out their documents or their labels.")
    truth = targets.matrix.toarray() == 1
    names = _names(label_names, targets.columns, truth.shape[1])
    scores = _check_scores(y_score, names)
    if truth.shape != scores.shape:
        raise ValueError(f"y_true has shape {truth.shape} but y_score has {scores.shape}.")
    predicted = scores > _check_threshold(threshold, names)
    parts = _Parts(truth, predicted, scores)
    everything = np.ones((1, len(truth)))
    metrics = {name: float(value[0]) for name, value in parts.metrics(everything).items()}
    intervals = _intervals(parts, len(truth), n_bootstraps, confidence, check_random_state(random_state))
    return MultilabelReport(metrics, intervals, _per_label(truth, predicted, names), confidence, len(truth))


def in_order_of_columns(y_score, names: list | None) -> Any:
    """Return scores, those of a DataFrame in the order of its columns' names."""
    is_named = names is not None and hasattr(y_score, "columns") and set(y_score.columns) == set(names)
    return y_score[names] if is_named else y_score


def _check_scores(y_score, names: list) -> np.ndarray:
    scores = np.asarray(in_order_of_columns(y_score, names), dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"y_score should have shape (n, n_labels), got {scores.shape}.")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("y_score should be probabilities between 0 and 1. Use predict_proba.")
    if not len(scores):
        raise ValueError("y_score has no row, and nothing can be said of no document.")
    return scores


def _check_threshold(threshold, names: list) -> np.ndarray:
    """Return numbers, which need not lie between 0 and 1: a tuned one may predict everything or nothing."""
    check_order(threshold, names, "threshold", UnsuitableThresholdError)
    values = np.asarray(threshold, dtype=np.float64)
    if values.shape not in ((), (len(names),)) or np.isnan(values).any():
        raise UnsuitableThresholdError(
            f"threshold should be a number or have shape ({len(names)},), without NaN; got {threshold!r}."
        )
    return values


def _names(label_names: Sequence | None, columns: list | None, n_labels: int) -> list:
    names = list(range(n_labels) if columns is None else columns) if label_names is None else list(label_names)
    if len(names) != n_labels:
        raise ValueError(f"label_names has {len(names)} names but y_true has {n_labels} columns.")
    if len(set(names)) < n_labels:
        raise ValueError("label_names holds a name twice. Give each label a name of its own.")
    return names


def _per_label(truth: np.ndarray, predicted: np.ndarray, names: list) -> dict[Any, dict[str, float]]:
    hits, n_predicted, support = (marks.sum(axis=0) for marks in (truth & predicted, predicted, truth))
    columns = _divide(hits, n_predicted), _divide(hits, support), _divide(2 * hits, n_predicted + support), support
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for name, p, r, f, s in zip(names, *columns, strict=True)
    }


def _divide(numerator: Any, denominator: Any) -> np.ndarray:
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


class _Parts:
    """What each document adds to the metrics, so that a resample is a matter of weights (R, n)."""

    def __init__(self, truth: np.ndarray, predicted: np.ndarray, scores: np.ndarray):
        self.counts = [marks.astype(np.float32) for marks in (truth & predicted, predicted, truth)]  # (n, K) each
        self.totals = [counts.sum(axis=0) for counts in self.counts]  # (K,) each
        hits, n_predicted, support = (marks.sum(axis=1) for marks in (truth & predicted, predicted, truth))
        self.means = {
            "precision_samples": _divide(hits, n_predicted),
            "recall_samples": _divide(hits, support),
            "f1_samples": _divide(2 * hits, n_predicted + support),
            "hamming_loss": (truth != predicted).mean(axis=1),
            "subset_accuracy": (truth == predicted).all(axis=1),
        }
        ranked = _ranked(truth, scores)
        for k in _KS:
            if k <= truth.shape[1]:
                self.means[f"precision@{k}"] = ranked[:, :k].mean(axis=1)
        self.has_label = support > 0
        self.ranking = {f"ndcg@{k}": _ndcg(ranked, support, k) for k in _KS if k <= truth.shape[1]}
        self.ranking["lrap"] = _lrap(truth, scores)
        self.bins = _bins(truth, scores)

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return every metric (R,) under weights of the documents (R, n)."""
        hits, n_predicted, support = (weights @ counts for counts in self.counts)  # (R, K)
        found = {}
        totals = hits.sum(axis=1), n_predicted.sum(axis=1), support.sum(axis=1)
        share = _divide(support, np.broadcast_to(totals[2][:, None], support.shape))
        for name, top, bottom in (
            ("precision", lambda h, p, s: h, lambda h, p, s: p),
            ("recall", lambda h, p, s: h, lambda h, p, s: s),
            ("f1", lambda h, p, s: 2 * h, lambda h, p, s: p + s),
        ):
            values, of_all = (
                _divide(top(*counts), bottom(*counts)) for counts in ((hits, n_predicted, support), self.totals)
            )
            values = np.where(bottom(hits, n_predicted, support) > 0, values, of_all)
            found[f"{name}_micro"] = _divide(top(*totals), bottom(*totals))
            found[f"{name}_macro"] = values.mean(axis=1)
            found[f"{name}_weighted"] = (values * share).sum(axis=1)
        n = weights.sum(axis=1)
        found |= {name: weights @ values / n for name, values in self.means.items()}
        with_label = weights @ self.has_label
        found |= {name: _divide(weights @ values, with_label) for name, values in self.ranking.items()}
        found["calibration_error"] = np.abs(weights @ self.bins).sum(axis=1) / (n * self.counts[0].shape[1])
        return dict(sorted(found.items(), key=lambda item: _ORDER.index(item[0].split("_")[0].split("@")[0])))


_ORDER = ["f1", "precision", "recall", "hamming", "subset", "ndcg", "lrap", "calibration"]


def _ranked(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return how right the label at each rank of a document is (n, K), equal scores being equally right."""
    order = np.argsort(-scores, axis=1, kind="stable")
    scores, truth = (np.take_along_axis(part, order, axis=1) for part in (scores, truth))
    begins = np.diff(scores, axis=1, prepend=np.inf) != 0
    tie = np.cumsum(begins) - 1  # a number for each run of equal scores of one document
    return (np.bincount(tie, truth.ravel()) / np.bincount(tie))[tie].reshape(truth.shape)


def _ndcg(ranked: np.ndarray, support: np.ndarray, k: int) -> np.ndarray:
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.clip(support, 1, k) - 1]
    return ranked[:, :k] @ discount / ideal


def _lrap(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return for each document how much of what is ranked above each of its labels is right; 0 where it has none."""
    ranks = rankdata(-scores, method="max", axis=1)
    ranks_among_right = rankdata(np.where(truth, -scores, np.inf), method="max", axis=1)
    return _divide((truth * ranks_among_right / ranks).sum(axis=1), truth.sum(axis=1))


def _bins(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return probability minus truth, added up over each document's entries in each bin (n, bins)."""
    column = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    rows = np.broadcast_to(np.arange(len(truth))[:, None], truth.shape)
    sums = np.bincount((rows * _BINS + column).ravel(), (scores - truth).ravel(), minlength=len(truth) * _BINS)
    return sums.reshape(len(truth), _BINS)


def _intervals(
    parts: _Parts, n: int, n_bootstraps: int, confidence: float, random_state: np.random.RandomState
) -> dict[str, tuple[float, float]]:
    if n_bootstraps == 0:
        return {}
    step = max(1, _CHUNK // n)
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, n_bootstraps, step):
        size = min(step, n_bootstraps - start)
        weights = random_state.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float32)
        for name, values in parts.metrics(weights).items():
            found.setdefault(name, []).append(values)
    del found["calibration_error"]
    tail = (1 - confidence) / 2
    ends = {name: np.quantile(np.concatenate(values), [tail, 1 - tail]) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}

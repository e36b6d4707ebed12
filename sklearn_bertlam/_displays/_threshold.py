"""Precision, recall and F1 against the threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._multilabel import classifier_in, in_order_of_labels, names_of_labels, one_column_per_label
from .._report import in_order_of_columns
from .._thresholds import best_threshold, scored_entries
from .._validation import check_targets
from ._display import BLUE, GREEN, GREY, ORANGE, Display


class ThresholdDisplay(Display):
    """Precision, recall and F1 against the threshold.

    Use ``from_estimator`` or ``from_predictions`` to make one.

    Parameters
    ----------
    thresholds : ndarray of shape (n_thresholds,)
        The thresholds, rising.
    precision, recall, f1 : ndarray of shape (n_thresholds,)
        What predicting all entries at or above the threshold gives.
    chosen : float or None
        The threshold to mark.
    name : str
        What the curves are of.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.inspection import ThresholdDisplay
    >>> y, scores = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.6], [0.2, 0.7]])
    >>> round(ThresholdDisplay.from_predictions(y, scores).chosen, 2)  # predict what is above
    0.65
    """

    def __init__(self, thresholds, precision, recall, f1, *, chosen=None, name="all labels"):
        self.thresholds = thresholds
        self.precision = precision
        self.recall = recall
        self.f1 = f1
        self.chosen = chosen
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, y, *, label=None, ax=None):
        """Draw the curves of a fitted classifier on some documents.

        Parameters
        ----------
        estimator : object
            A fitted classifier with ``predict_proba``, or a pipeline or search around one. Its ``threshold_`` is marked, and
            the best threshold for these documents where it has none. Nothing is where every label has its own.
        X : iterable of length n
            The documents.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0, 1 and NaN (unknown).
        label : label, optional
            One of ``classes_``; by default all labels together (micro).
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : ThresholdDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        scores = estimator.predict_proba(X)
        n_texts = len(scores[0] if isinstance(scores, list) else scores)
        targets = in_order_of_labels(check_targets(y, n_texts), estimator).matrix
        n_labels = targets.shape[1]
        names = names_of_labels(estimator, n_labels)
        column = None if label is None else _column(np.arange(n_labels) if names is None else names, label)
        chosen = getattr(classifier_in(estimator), "threshold_", None)
        if np.ndim(chosen):
            chosen = "none" if column is None else chosen[column]
        scores = one_column_per_label(scores, estimator, n_labels)
        return cls.from_predictions(targets, scores, column=column, chosen=chosen, name=label, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_score, *, column=None, chosen=None, name=None, ax=None):
        """Draw the curves of scores.

        Parameters
        ----------
        y_true : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0, 1 and NaN (unknown).
        y_score : array-like of shape (n, n_labels)
            The scores; those of a DataFrame may be in another order than ``y_true`` with the same names.
        column : int, optional
            The label; by default all together (micro).
        chosen : float or "none", optional
            The threshold to mark, "none" for no mark; by default the one above which predictions have the highest F1.
        name : str, optional
            What the curves are of.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : ThresholdDisplay
            The drawn display.
        """
        targets = check_targets(y_true, _num_samples(y_score))
        scores = np.asarray(in_order_of_columns(y_score, targets.columns), dtype=np.float64)
        truth = targets.matrix.toarray()
        if truth.shape != scores.shape:
            raise ValueError(f"y_true has shape {truth.shape} but y_score has {scores.shape}.")
        part = slice(None) if column is None else [column]
        truth, scores = truth[:, part], scores[:, part]
        known = ~np.isnan(truth)
        if not known.any():
            raise ValueError("y_true has no known entry, so that there are no curves.")
        if chosen is None:
            chosen = best_threshold(scored_entries(truth, scores))
        precision, recall, thresholds = precision_recall_curve(truth[known] == 1, scores[known])
        precision, recall = precision[:-1], recall[:-1]
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
        chosen = None if chosen == "none" else float(chosen)
        name = ("all labels" if column is None else f"label {column}") if name is None else name
        return cls(thresholds, precision, recall, f1, chosen=chosen, name=name).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        display : ThresholdDisplay
            The same object.
        """
        ax = self._axes(ax, (6, 4))
        for values, title, colour, style in (
            (self.precision, "precision", BLUE, "--"),
            (self.recall, "recall", GREEN, ":"),
            (self.f1, "F1", ORANGE, "-"),
        ):
            ax.plot(self.thresholds, values, label=title, color=colour, linestyle=style)
        if self.chosen is not None:
            ax.axvline(self.chosen, color=GREY, linewidth=1)
            ax.annotate(f" {self.chosen:.2f}", (self.chosen, 0.02), color=GREY)
        ax.set(xlabel="threshold", ylim=(0, 1.02))
        ax.set_title(str(self.name), parse_math=False)
        ax.legend()
        return self


def _column(classes: np.ndarray, label: Any) -> int:
    matches = [column for column, known in enumerate(classes.tolist()) if known == label]
    if not matches:
        raise ValueError(f"There is no label {label!r}. There are {classes.tolist()[:10]}.")
    return matches[0]

"""How good a classifier is at each label, and which labels it takes for one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples, check_is_fitted

from .._multilabel import classifier_in, in_order_of_labels, names_of_labels
from .._report import multilabel_report
from .._validation import check_named_targets, check_targets
from ._display import BLUE, Display

_WIDE = 20  # times the smallest number, from which on an axis is logarithmic


class LabelReportDisplay(Display):
    """F1 of every label against the number of documents that it was learned from.

    Parameters
    ----------
    label_names : sequence of length n_labels
        The labels.
    f1 : ndarray of shape (n_labels,)
        F1 of each label.
    counts : ndarray of shape (n_labels,)
        Documents that have the label.
    confusions : ndarray of shape (n_labels, n_labels)
        In how many documents the label of the row was missed while that of the column was predicted wrongly.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bertlam.inspection import LabelReportDisplay
    >>> y, predicted = np.array([[1, 0], [0, 1], [0, 1]]), np.array([[1, 0], [0, 1], [1, 0]])
    >>> display = LabelReportDisplay.from_predictions(y, predicted, label_names=["wine", "car"])
    >>> display.worst_confusions()
    [('car', 'wine', 1)]
    """

    def __init__(self, label_names, f1, counts, confusions):
        self.label_names = label_names
        self.f1 = f1
        self.counts = counts
        self.confusions = confusions

    @classmethod
    def from_estimator(cls, estimator, X, y, *, train_counts=None, ax=None):
        """Draw how good a fitted classifier is at each label.

        Parameters
        ----------
        estimator : object
            A fitted classifier, or a pipeline or search around one.
        X : iterable of length n
            Documents that it was not trained on.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0 and 1.
        train_counts : array-like of shape (n_labels,), dict or Series, optional
            How many training documents have each label; by default ``class_count_`` of the estimator, or those in y where
            it has none. A dict or a Series is taken by its labels.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : LabelReportDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        if train_counts is None:
            classifier = classifier_in(estimator)
            classifier = classifier_in(getattr(classifier, "estimator_", classifier))  # of MultilabelThresholdClassifierCV
            train_counts = getattr(classifier, "class_count_", None)
        predicted = estimator.predict(X)
        targets = in_order_of_labels(check_targets(y, predicted.shape[0]), estimator)
        names = names_of_labels(estimator, targets.matrix.shape[1])
        names = targets.columns if names is None else names
        return cls.from_predictions(targets.matrix, predicted, label_names=names, train_counts=train_counts, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, y_pred, *, label_names=None, train_counts=None, ax=None):
        """Draw how good predictions are at each label.

        Parameters
        ----------
        y_true, y_pred : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicators of 0 and 1.
        label_names : sequence of length n_labels, optional
            The labels.
        train_counts : array-like of shape (n_labels,), dict or Series, optional
            How many training documents have each label; by default those in y_true are counted. A dict or a Series is taken
            by its labels.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : LabelReportDisplay
            The drawn display.
        """
        n = _num_samples(y_pred)
        targets = check_named_targets(y_true, n, label_names)
        predicted = check_named_targets(y_pred, n, targets.columns or label_names).matrix.toarray()
        names = targets.columns if label_names is None else label_names
        report = multilabel_report(targets.matrix, predicted, names, n_bootstraps=0)
        truth = targets.matrix.toarray() == 1
        missed, wrong = (truth & (predicted != 1)).astype(float), (~truth & (predicted == 1)).astype(float)
        f1 = np.array([label["f1"] for label in report.per_label.values()])
        counts = truth.sum(axis=0) if train_counts is None else _counts_in_order(train_counts, list(report.per_label))
        return cls(list(report.per_label), f1, counts, (missed.T @ wrong).astype(int)).plot(ax=ax)

    def worst_confusions(self, n: int = 10) -> list[tuple[Any, Any, int]]:
        """Return the most frequent confusions.

        Parameters
        ----------
        n : int, default=10
            How many.

        Returns
        -------
        confusions : list of (label, label, int)
            The missed label, the one predicted in its place, and the number of documents.
        """
        order = np.argsort(-self.confusions, axis=None, kind="stable")[:n]
        rows, columns = np.unravel_index(order, self.confusions.shape)
        return [
            (self.label_names[row], self.label_names[column], int(self.confusions[row, column]))
            for row, column in zip(rows, columns, strict=True)
            if self.confusions[row, column]
        ]

    def plot_confusions(self, *, n_labels=10, ax=None):
        """Draw which labels are predicted in the place of which.

        Parameters
        ----------
        n_labels : int, default=10
            How many labels to show, those that take part in the most confusions.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        display : LabelReportDisplay
            The same object.
        """
        total = self.confusions.sum(axis=0) + self.confusions.sum(axis=1)
        shown = np.sort(np.argsort(-total, kind="stable")[:n_labels])
        names = [str(self.label_names[label]) for label in shown]
        ax = self._axes(ax, (2.5 + 0.45 * len(names), 2 + 0.4 * len(names)))
        image = ax.imshow(self.confusions[np.ix_(shown, shown)], cmap="cividis", vmin=0)
        ax.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
        ax.set_yticks(range(len(names)), names, parse_math=False)
        ax.set(xlabel="wrongly predicted", ylabel="missed")
        self.figure_.colorbar(image, ax=ax, label="documents").locator.set_params(integer=True)
        return self

    def plot(self, *, n_named=8, ax=None):
        """Draw a point for each label.

        Parameters
        ----------
        n_named : int, default=8
            How many of the labels with the lowest F1 are named.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        display : LabelReportDisplay
            The same object.
        """
        ax = self._axes(ax, (6, 4))
        ax.scatter(self.counts, self.f1, color=BLUE, s=18)
        for label in _lowest(self.f1, n_named):
            text = str(self.label_names[label])
            point = (self.counts[label], self.f1[label])
            ax.annotate(text, point, xytext=(4, 3), textcoords="offset points", fontsize=8, parse_math=False)
        is_wide = self.counts.max() > _WIDE * max(1, self.counts.min())
        ax.set(xscale="symlog" if is_wide else "linear", xlabel="documents with the label", ylabel="F1", ylim=(-0.03, 1.03))
        return self


def _counts_in_order(counts: Any, names: list) -> np.ndarray:
    if hasattr(counts, "loc") and not set(counts.index).isdisjoint(names):
        counts = counts.to_dict()
    if not isinstance(counts, Mapping):
        return np.asarray(counts)
    missing = [name for name in names if name not in counts]
    if missing:
        raise ValueError(f"train_counts has no number for {missing[0]!r}.")
    return np.array([counts[name] for name in names])


def _lowest(values: Sequence[float] | np.ndarray, n: int) -> list[int]:
    return np.argsort(values, kind="stable")[:n].tolist()

"""Pictures by scikit-learn's Display convention: the numbers are attributes, and ``plot`` draws them with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import precision_recall_curve
from sklearn.pipeline import Pipeline
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples, check_is_fitted

from ._explanations import Explanation
from ._multilabel import in_order_of_labels, names_of_labels, one_column_per_label
from ._report import in_order_of_columns, multilabel_report
from ._thresholds import best_threshold, scored_entries
from ._validation import check_named_targets, check_targets

_BLUE, _ORANGE, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#777777"  # told apart by colour-blind eyes
_WIDE = 20  # times the smallest number, from which on an axis is logarithmic


class _Display:
    """Base of the displays: where they draw."""

    figure_: Any
    ax_: Any

    def _axes(self, ax: Any, size: tuple[float, float]) -> Any:
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_


# --------------------------------------------------------------------------------------------------------------- threshold


class ThresholdDisplay(_Display):
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
        chosen = getattr(_what_predicts(estimator), "threshold_", None)
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
            (self.precision, "precision", _BLUE, "--"),
            (self.recall, "recall", _GREEN, ":"),
            (self.f1, "F1", _ORANGE, "-"),
        ):
            ax.plot(self.thresholds, values, label=title, color=colour, linestyle=style)
        if self.chosen is not None:
            ax.axvline(self.chosen, color=_GREY, linewidth=1)
            ax.annotate(f" {self.chosen:.2f}", (self.chosen, 0.02), color=_GREY)
        ax.set(xlabel="threshold", ylim=(0, 1.02))
        ax.set_title(str(self.name), parse_math=False)
        ax.legend()
        return self


def _what_predicts(estimator: Any) -> Any:
    """Return the classifier in pipelines and searches."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            return estimator


def _column(classes: np.ndarray, label: Any) -> int:
    matches = [column for column, known in enumerate(classes.tolist()) if known == label]
    if not matches:
        raise ValueError(f"There is no label {label!r}. There are {classes.tolist()[:10]}.")
    return matches[0]


# ----------------------------------------------------------------------------------------------------------------- training


class TrainingHistoryDisplay(_Display):
    """Loss of every epoch and, with early stopping, scores on the texts that were set aside.

    Parameters
    ----------
    history : list of dict
        As ``history_`` of a fitted classifier.
    best_epoch : int or None
        The epoch to mark.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> from sklearn_bertlam.inspection import TrainingHistoryDisplay
    >>> history = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.3}]  # or clf.history_
    >>> TrainingHistoryDisplay(history).plot().ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, history, *, best_epoch=None):
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw how a fitted classifier was trained.

        Parameters
        ----------
        estimator : object
            A fitted classifier with ``history_``.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : TrainingHistoryDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        held_out = any("valid_loss" in epoch for epoch in estimator.history_)
        return cls(estimator.history_, best_epoch=estimator.best_epoch_ if held_out else None).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the history.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        display : TrainingHistoryDisplay
            The same object.
        """
        ax = self._axes(ax, (6, 4))
        epochs = [epoch["epoch"] for epoch in self.history]
        for key, title, colour, style in (
            ("loss", "training loss", _BLUE, "-"),
            ("valid_loss", "validation loss", _BLUE, "--"),
            ("valid_average_precision", "validation average precision", _ORANGE, "-"),
            ("valid_f1_micro", "validation micro-F1", _GREEN, ":"),
        ):
            if self.history and key in self.history[-1]:
                ax.plot(epochs, [epoch[key] for epoch in self.history], style, color=colour, marker=".", label=title)
        if self.best_epoch:
            ax.axvline(self.best_epoch, color=_GREY, linewidth=1, label="kept")
        ax.set(xlabel="epoch", ylim=(0, None))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if self.history:
            ax.legend()
        return self


# ---------------------------------------------------------------------------------------------------------------- attention


class LabelAttentionDisplay(_Display):
    """How much each word of a text weighs for each label.

    Parameters
    ----------
    explanation : Explanation
        Of one text, as made by ``BertLamClassifier.explain``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> from sklearn_bertlam import BertLamClassifier
    >>> from sklearn_bertlam.inspection import LabelAttentionDisplay
    >>> clf = BertLamClassifier(label_names=["wine", "car"], max_epochs=0, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 0], [1, 0], [0, 1]])
    >>> display = LabelAttentionDisplay.from_estimator(clf, "white wine", labels=["wine"])
    >>> display.explanation.words
    ['white', 'wine']
    """

    def __init__(self, explanation):
        self.explanation = explanation

    @classmethod
    def from_estimator(cls, estimator, text, *, labels=None, max_words=40, ax=None):
        """Draw what a fitted classifier looks at in a text.

        Parameters
        ----------
        estimator : BertLamClassifier
            A fitted classifier.
        text : str
            The text.
        labels : sequence of labels, optional
            The labels to show; by default those that are predicted, or the most probable one.
        max_words : int, default=40
            Words to show, from the beginning.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : LabelAttentionDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        (explanation,) = estimator.explain([text], labels, influence=False)
        if labels is None:
            explanation = _of_predicted(explanation)
        return cls(explanation).plot(max_words=max_words, ax=ax)

    def plot(self, *, max_words=40, ax=None):
        """Draw a row for each label and a column for each word.

        Parameters
        ----------
        max_words : int, default=40
            Words to show, from the beginning.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        display : LabelAttentionDisplay
            The same object.
        """
        explanation = self.explanation
        if explanation.attention is None:
            raise ValueError("There is no attention to draw: the classifier has attention='cls'.")
        words = explanation.words[:max_words]
        titles = [f"{label} ({p:.2f})" for label, p in zip(explanation.labels, explanation.probabilities, strict=True)]
        ax = self._axes(ax, (2.5 + 0.28 * len(words), 1.4 + 0.3 * len(titles)))
        image = ax.imshow(explanation.attention[:, :max_words], cmap="cividis", vmin=0, aspect="auto")
        ax.set_xticks(range(len(words)), words, rotation=60, ha="right", rotation_mode="anchor", parse_math=False)
        ax.set_yticks(range(len(titles)), titles, parse_math=False)
        self.figure_.colorbar(image, ax=ax, label="attention")
        return self


def _of_predicted(explanation: Explanation) -> Explanation:
    """Keep the labels that are predicted, or the most probable one where none is."""
    shown = np.flatnonzero(explanation.predicted) if explanation.predicted.any() else np.array([0])
    return replace(
        explanation,
        labels=[explanation.labels[label] for label in shown],
        probabilities=explanation.probabilities[shown],
        predicted=explanation.predicted[shown],
        attention=None if explanation.attention is None else explanation.attention[shown],
    )


# ------------------------------------------------------------------------------------------------------------------- labels


class LabelReportDisplay(_Display):
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
            A fitted classifier.
        X : iterable of length n
            Documents that it was not trained on.
        y : {array-like, sparse matrix, DataFrame} of shape (n, n_labels)
            Indicator of 0 and 1.
        train_counts : array-like of shape (n_labels,), optional
            How many training documents have each label; by default ``class_count_`` of the estimator, or those in y where
            it has none.
        ax : matplotlib Axes, optional
            Where to draw.

        Returns
        -------
        display : LabelReportDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        if train_counts is None:
            train_counts = getattr(estimator, "class_count_", None)
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
        train_counts : array-like of shape (n_labels,), optional
            How many training documents have each label; by default those in y_true are counted. A Series is taken by the
            names in its index.
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
        ax.scatter(self.counts, self.f1, color=_BLUE, s=18)
        for label in _lowest(self.f1, n_named):
            text = str(self.label_names[label])
            point = (self.counts[label], self.f1[label])
            ax.annotate(text, point, xytext=(4, 3), textcoords="offset points", fontsize=8, parse_math=False)
        is_wide = self.counts.max() > _WIDE * max(1, self.counts.min())
        ax.set(xscale="symlog" if is_wide else "linear", xlabel="documents with the label", ylabel="F1", ylim=(-0.03, 1.03))
        return self


def _counts_in_order(counts: Any, names: list) -> np.ndarray:
    by_name = hasattr(counts, "loc") and not set(counts.index).isdisjoint(names)
    return np.asarray(counts.loc[names] if by_name else counts)


def _lowest(values: Sequence[float] | np.ndarray, n: int) -> list[int]:
    return np.argsort(values, kind="stable")[:n].tolist()

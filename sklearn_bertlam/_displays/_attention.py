"""What each label looks at in a text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._explanations import Explanation
from ._display import Display


class LabelAttentionDisplay(Display):
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

"""How training went."""

from __future__ import annotations

from sklearn.utils.validation import check_is_fitted

from ._display import BLUE, GREEN, GREY, ORANGE, Display


class TrainingHistoryDisplay(Display):
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
            ("loss", "training loss", BLUE, "-"),
            ("valid_loss", "validation loss", BLUE, "--"),
            ("valid_average_precision", "validation average precision", ORANGE, "-"),
            ("valid_f1_micro", "validation micro-F1", GREEN, ":"),
        ):
            if self.history and key in self.history[-1]:
                ax.plot(epochs, [epoch[key] for epoch in self.history], style, color=colour, marker=".", label=title)
        if self.best_epoch:
            ax.axvline(self.best_epoch, color=GREY, linewidth=1, label="kept")
        ax.set(xlabel="epoch", ylim=(0, None))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if self.history:
            ax.legend()
        return self

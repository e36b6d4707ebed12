"""Writing the labels of a text one after another: label order, likelihood, beam search, and the classifier around them.

B texts, K labels, S places in a sequence, W hypotheses per text. Symbols are the labels in the order of their training
frequency, 0 to K - 1, then END = K and START = K + 1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from sklearn_bertlam._batches import PackedTexts
from sklearn_bertlam._losses import MaskedBCEWithLogitsLoss
from sklearn_bertlam._text_module import TextModule

from ._word_level import TOKENS_AT_ONCE, WordLevelClassifier

_SMALLEST_PROBABILITY = 1e-6  # keeps log-odds finite

State = tuple[torch.Tensor, ...]  # each (B, W, ...)


class Hypotheses(NamedTuple):
    """What a beam search ends with, the most probable first.

    Attributes
    ----------
    labels : Tensor of bool, shape (B, W, K)
        The labels of each hypothesis, in the order of the targets' columns.
    log_probabilities : Tensor, shape (B, W)
        Minus infinity where there are fewer than W hypotheses.
    """

    labels: torch.Tensor
    log_probabilities: torch.Tensor

    def marginals(self) -> torch.Tensor:
        """Return (B, K): the probabilities of the hypotheses that hold a label, summed; those of a beam sum to 1."""
        weights = self.log_probabilities.softmax(dim=1)  # (B, W)
        return (weights[:, :, None] * self.labels).sum(dim=1)


class LabelGenerator(TextModule):
    """A network that writes the labels of a text, frequent ones first, no label twice.

    Training returns the negative log-likelihood of each text's own sequence; evaluation the log-odds of each label.

    Parameters
    ----------
    frequencies : ndarray of shape (K,)
        How often each label is in the training data. They alone decide on the order.
    beam_width : int
        W.
    max_labels : int
        The longest sequence that a search writes.
    """

    reads_targets = True
    tokens_at_once = TOKENS_AT_ONCE
    order: torch.Tensor

    def __init__(self, frequencies: np.ndarray, *, beam_width: int, max_labels: int):
        super().__init__()
        order = np.argsort(-frequencies, kind="stable")
        self.register_buffer("order", torch.from_numpy(order))  # (K,): the label behind each symbol
        self.n_labels = self.end = len(order)
        self.start = self.end + 1
        self.beam_width = beam_width
        self.max_labels = max_labels

    @abstractmethod
    def read(self, batch: PackedTexts) -> tuple[Any, State]:
        """Return what every step may look at, and the state before the first one, each (B, 1, ...)."""

    @abstractmethod
    def step(self, text: Any, state: State, previous: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Return scores of the next symbol (B, W, K + 1), and the next state, after the symbols ``previous`` (B, W)."""

    def note(self, state: State, log_probabilities: torch.Tensor) -> State:
        """Return the state with what the next step wants to know of this one's probabilities (B, W, K + 1)."""
        return state

    def _next(self, text: Any, state: State, previous: torch.Tensor, forbidden: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Take a step: log-probabilities (B, W, K + 1), minus infinity where forbidden, and the next state."""
        scores, state = self.step(text, state, previous)
        log_probabilities = scores.masked_fill(forbidden, -torch.inf).log_softmax(dim=-1)
        return log_probabilities, self.note(state, log_probabilities)

    # ------------------------------------------------------------------------------------------------------------ training

    def forward(self, batch: PackedTexts, targets: torch.Tensor | None = None) -> torch.Tensor:
        """Return negative log-likelihoods (B,) of the targets (B, K), or without targets log-odds (B, K)."""
        if targets is None:
            return self.search(batch).marginals().clamp(_SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY).logit()
        return -self.log_likelihood(batch, targets)

    def log_likelihood(self, batch: PackedTexts, targets: torch.Tensor) -> torch.Tensor:
        """Return the log-probability (B,) of writing exactly the labels that apply; unknown ones (NaN) cannot be written."""
        targets = targets[:, self.order]
        sequence, is_written = self._sequences(targets == 1)
        forbidden = torch.cat([targets.isnan(), targets.new_zeros(len(targets), 1, dtype=torch.bool)], dim=1)[:, None]
        text, state = self.read(batch)
        previous = torch.full_like(sequence[:, :1], self.start)
        total = targets.new_zeros(len(targets))
        for place in range(sequence.shape[1]):
            symbol = sequence[:, place, None]
            log_probabilities, state = self._next(text, state, previous, forbidden)
            written = log_probabilities.gather(2, symbol[:, :, None]).flatten()
            total = total + torch.where(is_written[:, place], written, 0.0)
            forbidden = self._without(symbol, forbidden)
            previous = symbol
        return total

    def _sequences(self, applies: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the symbols (B, S) of each row, END to the last place, and which of them are to be written (B, S)."""
        counts = applies.sum(dim=1)
        sequence = torch.full((len(applies), int(counts.max()) + 1), self.end, device=applies.device)
        rows, symbols = applies.nonzero(as_tuple=True)
        sequence[rows, (applies.cumsum(dim=1) - 1)[rows, symbols]] = symbols
        return sequence, torch.arange(sequence.shape[1], device=applies.device) <= counts[:, None]

    def _without(self, symbols: torch.Tensor, forbidden: torch.Tensor) -> torch.Tensor:
        """Forbid symbols (B, W), but for END, which may follow anything."""
        forbidden = forbidden.scatter(2, symbols[:, :, None], True)
        forbidden[:, :, self.end] = False
        return forbidden

    # ----------------------------------------------------------------------------------------------------------- searching

    @torch.no_grad()
    def search(self, batch: PackedTexts) -> Hypotheses:
        """Search for the most probable sequences of each text, all texts and hypotheses at a time."""
        text, state = self.read(batch)
        n, device, n_symbols = len(batch), self.order.device, self.n_labels + 1
        scores = torch.zeros(n, 1, device=device)
        forbidden = torch.zeros(n, 1, n_symbols, dtype=torch.bool, device=device)
        previous = torch.full((n, 1), self.start, device=device)
        stay = torch.full((n_symbols,), -torch.inf, device=device).index_fill(0, torch.tensor(self.end, device=device), 0.0)
        for place in range(min(self.max_labels, self.n_labels) + 1):
            is_last = place == self.max_labels
            no_label = torch.arange(n_symbols, device=device) < (self.n_labels if is_last else 0)
            log_probabilities, state = self._next(text, state, previous, forbidden | no_label)
            log_probabilities = torch.where((previous == self.end)[:, :, None], stay, log_probabilities)
            candidates = (scores[:, :, None] + log_probabilities).flatten(1)  # (B, W (K + 1))
            scores, best = candidates.topk(min(self.beam_width, candidates.shape[1]), dim=1)
            origin, previous = best // n_symbols, best % n_symbols
            state = tuple(follow(part, origin) for part in state)
            forbidden = self._without(previous, follow(forbidden, origin))
            if (previous == self.end).all():
                break
        labels = torch.zeros_like(forbidden[:, :, : self.n_labels])
        labels[:, :, self.order] = forbidden[:, :, : self.n_labels]
        return Hypotheses(labels, scores)

    def decode(self, batch: PackedTexts) -> torch.Tensor:
        """Return the labels (B, K) of the most probable sequence, as 0 and 1."""
        return self.search(batch).labels[:, 0].float()


def follow(values: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
    """Return (B, W', ...): what each new hypothesis takes over from the one (B, W') that it continues, of (B, W, ...)."""
    return values[torch.arange(len(origin), device=origin.device)[:, None], origin]


class SequenceLoss(MaskedBCEWithLogitsLoss):
    """The mean of weighted negative log-likelihoods (B,) in training; binary cross-entropy of log-odds in validation."""

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor, sample_weight: torch.Tensor) -> torch.Tensor:
        """Return a scalar from outputs (B,) or (B, K), targets (B, K) and weights (B,)."""
        if outputs.ndim == 2:
            return super().forward(outputs, targets, sample_weight)
        return (outputs * sample_weight).mean()


class SequenceClassifier(WordLevelClassifier):
    """Base of the classifiers that write the labels of a text one after another.

    ``predict`` returns the labels of the most probable sequence. ``predict_proba`` returns the marginal of the beam: the
    probabilities of the sequences in it, scaled to sum to 1, added up over those that hold the label.
    """

    _max_gradient_norm = 10.0
    pos_weight = None
    threshold = 0.5
    _parameter_constraints: dict = {
        name: constraint
        for name, constraint in WordLevelClassifier._parameter_constraints.items()
        if name not in ("pos_weight", "threshold")
    } | {
        "beam_width": [Interval(Integral, 1, None, closed="left")],
        "max_labels": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_criterion(self) -> nn.Module:
        return SequenceLoss()

    def predict(self, X):
        """Tell which labels apply to every text: those of the most probable sequence that the beam search finds.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        labels : {ndarray, csr_array} of int, shape (n_texts, n_labels)
            Indicator of 0 and 1; sparse where the fitted y was sparse.
        """
        return self._indicator(self._all_scores(X, "decode"))

    def predict_proba(self, X):
        """Compute the probability of every label for every text, as far as the beam knows it.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        probabilities : ndarray of float32, shape (n_texts, n_labels)
            The marginal of the beam: the probabilities of its sequences, scaled to sum to 1, added up over those that hold
            the label. A label that is in none has 1e-6.
        """
        return super().predict_proba(X)

    def _predict_chunks(self, chunks: Iterable[list[str]]) -> Iterator[np.ndarray | sp.csr_array]:
        return map(self._indicator, self._scores(chunks, "decode"))

    def _indicator(self, labels: np.ndarray) -> np.ndarray | sp.csr_array:
        labels = labels.astype(np.int64)
        return sp.csr_array(labels) if self.sparse_output_ else labels


def label_frequencies(targets: sp.csr_array) -> np.ndarray:
    """Return how many documents carry each label (K,)."""
    return np.asarray((targets == 1).sum(axis=0)).ravel()

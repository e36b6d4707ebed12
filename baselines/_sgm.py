"""SGM: a sequence generation model that attends to the text while it writes the labels."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from sklearn_bertlam._batches import PackedTexts, TextDataset
from sklearn_bertlam._fitting import EpochRange

from ._recurrent import BidirectionalLSTM, StackedCells, open_forget_gates
from ._sequence import LabelGenerator, SequenceClassifier, State, label_frequencies
from ._word_level import WordEmbedding


class EncodedText(NamedTuple):
    """What the decoder attends to.

    Attributes
    ----------
    words : Tensor of shape (B, L, H)
        One vector per word, of both directions.
    mask : Tensor of bool, shape (B, L)
        False for padding.
    """

    words: torch.Tensor
    mask: torch.Tensor


class SGM(LabelGenerator):
    """The network: two-layer BiLSTM over words, two-layer LSTM over labels, general attention of Luong.

    B texts, L words, K labels, W hypotheses, H hidden units.

    Parameters
    ----------
    embedding : WordEmbedding
        The word vectors.
    frequencies : ndarray of shape (K,)
        How often each label is in the training data.
    hidden_size : int
        H, even: half of it for either direction of the encoder.
    label_size : int
        Numbers per label vector.
    global_embedding : bool
        Whether a step reads all labels, weighted by their probability in the step before, besides the one that was written.
    dropout : float
        Dropout on label vectors, between layers and before the last one.
    beam_width, max_labels : int
        See ``LabelGenerator``.
    """

    def __init__(
        self,
        embedding: WordEmbedding,
        frequencies: np.ndarray,
        *,
        hidden_size: int,
        label_size: int,
        global_embedding: bool,
        dropout: float,
        beam_width: int,
        max_labels: int,
    ):
        super().__init__(frequencies, beam_width=beam_width, max_labels=max_labels)
        self.embedding = embedding
        self.reader = BidirectionalLSTM(embedding.embedding_dim, hidden_size // 2, n_layers=2, dropout=dropout)
        self.labels = nn.Embedding(self.n_labels + 2, label_size)
        self.writer = StackedCells(label_size, hidden_size, dropout)
        self.attend = nn.Linear(hidden_size, hidden_size, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)
        self.classifier = nn.Linear(hidden_size, self.n_labels + 1)
        self.dropout = nn.Dropout(dropout)
        self.gate: nn.ModuleList | None = None
        if global_embedding:
            self.gate = nn.ModuleList([nn.Linear(label_size, label_size, bias=False) for _ in range(2)])
        open_forget_gates(self)

    def read(self, batch: PackedTexts) -> tuple[EncodedText, State]:
        """Encode the words; the decoder starts from the encoder's last outputs, both directions side by side."""
        encoded, last = self.reader(self.embedding.grid(batch), batch)  # (B, L, H), (B, layers, H)
        state: State = (last[:, None], torch.zeros_like(last)[:, None])  # (B, 1, layers, H)
        if self.gate is not None:
            nothing_yet = encoded.new_zeros(len(batch), 1, self.n_labels + 2)
            nothing_yet[:, :, self.start] = 1.0
            state = (*state, nothing_yet)
        return EncodedText(encoded, batch.content_mask), state

    def step(self, text: EncodedText, state: State, previous: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Return the scores of the next symbol and the decoder's next state."""
        output, h, c = self.writer(self.dropout(self._input(state, previous)), state[0], state[1])  # (B, W, H)
        context = self._context(text, output)
        features = torch.tanh(self.combine(torch.cat([context, output], dim=-1)))
        return self.classifier(self.dropout(features)), (h, c, *state[2:])

    def _context(self, text: EncodedText, output: torch.Tensor) -> torch.Tensor:
        """Attend to the words of the text, not to padding: (B, W, H)."""
        scores = self.attend(output) @ text.words.transpose(1, 2)  # (B, W, L)
        return scores.masked_fill(~text.mask[:, None], -torch.inf).softmax(dim=-1) @ text.words

    def _input(self, state: State, previous: torch.Tensor) -> torch.Tensor:
        """Return the vector of the label written last, gated with the mean label of the step before (B, W, E)."""
        written = self.labels(previous)
        if self.gate is None:
            return written
        expected = state[2] @ self.labels.weight
        of_expected, of_written = self.gate
        gate = torch.sigmoid(of_expected(expected) + of_written(written))
        return (1 - gate) * written + gate * expected

    def note(self, state: State, log_probabilities: torch.Tensor) -> State:
        """Keep the probabilities for the global embedding of the next step."""
        if self.gate is None:
            return state
        probabilities = log_probabilities.exp()
        return (*state[:2], torch.cat([probabilities, torch.zeros_like(probabilities[:, :, :1])], dim=-1))


class SGMClassifier(SequenceClassifier):
    """Sequence generation model [1]_: labels are written one after another, with attention to the words.

    Labels come in the order of their frequency in the training data, and none twice. An unknown entry of y (NaN) can not
    be written in training, and so counts neither for nor against its label.

    Parameters
    ----------
    global_embedding : bool, default=False
        Whether a step reads the labels that the step before held likely, besides the one that was written (SGM+GE).
    hidden_size : int, default=512
        Units of the decoder; the encoder has half as many for either direction.
    label_size : int, default=256
        Numbers per label vector.
    beam_width : int, default=5
        Sequences that the search keeps at a time.
    max_labels : int, default=25
        The longest sequence that the search writes.
    vocabulary_size : int, default=50000
        The most frequent words that have a vector of their own.
    embedding_size : int, default=256
        Numbers per word.
    word_vectors : str, path-like or None, default=None
        A file of word vectors to start from: text, or ``.bin`` in word2vec's binary format, either also as ``.gz``.
    max_length : int, default=500
        Texts are cut to this number of words.
    dropout : float, default=0.5
        Dropout on label vectors, between layers and before the last one.
    learning_rate : float, default=2e-3
        Adam's, at its peak; it rises over the first tenth of the updates and falls to zero.
    batch_size : int, default=64
        Texts per update.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts; "auto" is at least 10, and as many as give 1,000 updates, but at most 200.
    early_stopping : bool, default=False
        Hold out a part, stop when its average precision no longer rises, and keep the best weights.
    validation_fraction : float, default=0.1
        The part that is held out.
    n_iter_no_change : int, default=2
        Epochs without improvement after which training stops.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes a GPU where there is one.
    random_state : int, RandomState instance or None, default=None
        Initial weights, dropout and order of the texts.
    verbose : int, default=0
        Show a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels: column names of y, or 0 to n_labels - 1.
    n_labels_ : int
        Number of labels.
    history_ : list of dict
        Loss and speed of every epoch.
    n_iter_ : int
        Number of epochs.
    module_ : Module
        The trained network.
    tokenizer_ : PreTrainedTokenizerFast
        The words that were learned.

    References
    ----------
    .. [1] P. Yang et al., "SGM: Sequence Generation Model for Multi-label Classification", COLING 2018.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import SGMClassifier
    >>> clf = SGMClassifier(hidden_size=64, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    _epoch_range = EpochRange(fewest_updates=1000, fewest_epochs=10, most_epochs=200)
    _spread_of_words = 1.0  # a random LSTM passes on little of what it reads: with less, training takes long to begin
    _parameter_constraints: dict = {
        **SequenceClassifier._parameter_constraints,
        "global_embedding": ["boolean"],
        "hidden_size": [Interval(Integral, 2, None, closed="left")],
        "label_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        global_embedding=False,
        hidden_size=512,
        label_size=256,
        beam_width=5,
        max_labels=25,
        vocabulary_size=50_000,
        embedding_size=256,
        word_vectors=None,
        max_length=500,
        dropout=0.5,
        learning_rate=2e-3,
        batch_size=64,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.global_embedding = global_embedding
        self.hidden_size = hidden_size
        self.label_size = label_size
        self.beam_width = beam_width
        self.max_labels = max_labels
        self.vocabulary_size = vocabulary_size
        self.embedding_size = embedding_size
        self.word_vectors = word_vectors
        self.max_length = max_length
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _make_network(self, embedding: WordEmbedding, data: TextDataset) -> SGM:
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size should be even, half for either direction; got {self.hidden_size}.")
        return SGM(
            embedding,
            label_frequencies(data.known_targets),
            hidden_size=int(self.hidden_size),
            label_size=self.label_size,
            global_embedding=self.global_embedding,
            dropout=self.dropout,
            beam_width=self.beam_width,
            max_labels=self.max_labels,
        )

"""CNN-RNN: a convolutional network reads the text, a recurrent one writes its labels."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from sklearn_bertlam._batches import PackedTexts, TextDataset

from ._sequence import LabelGenerator, SequenceClassifier, State, label_frequencies
from ._text_cnn import WordFilters, check_filter_widths
from ._word_level import WordEmbedding


class CNNRNN(LabelGenerator):
    """The network: filters over words, whose strongest answers start an LSTM over labels and are looked at in every step.

    Parameters
    ----------
    embedding : WordEmbedding
        The word vectors.
    frequencies : ndarray of shape (K,)
        How often each label is in the training data.
    filter_widths : sequence of int
        Words per window.
    n_filters : int
        Filters of each width.
    hidden_size, label_size : int
        Units of the LSTM, and numbers per label vector.
    dropout : float
        Dropout on the text's features, on label vectors and before the last layer.
    beam_width, max_labels : int
        See ``LabelGenerator``.
    """

    def __init__(
        self,
        embedding: WordEmbedding,
        frequencies: np.ndarray,
        *,
        filter_widths: tuple[int, ...],
        n_filters: int,
        hidden_size: int,
        label_size: int,
        dropout: float,
        beam_width: int,
        max_labels: int,
    ):
        super().__init__(frequencies, beam_width=beam_width, max_labels=max_labels)
        self.embedding = embedding
        self.filters = WordFilters(embedding.embedding_dim, filter_widths, n_filters)
        self.first_state = nn.Linear(self.filters.n_features, hidden_size)
        self.labels = nn.Embedding(self.n_labels + 2, label_size)
        self.cell = nn.LSTMCell(label_size, hidden_size)
        self.classifier = nn.Linear(hidden_size + self.filters.n_features, self.n_labels + 1)
        self.dropout = nn.Dropout(dropout)

    def read(self, batch: PackedTexts) -> tuple[torch.Tensor, State]:
        """Return the text's features (B, F), and the state that they start."""
        features = self.dropout(self.filters(self.embedding.grid(batch), batch.content_mask))
        h = torch.tanh(self.first_state(features))[:, None]  # (B, 1, H)
        return features, (h, torch.zeros_like(h))

    def step(self, text: torch.Tensor, state: State, previous: torch.Tensor) -> tuple[torch.Tensor, State]:
        """Return the scores of the next symbol (B, W, K + 1) and the LSTM's next state."""
        written = self.dropout(self.labels(previous)).flatten(0, 1)  # (B W, E)
        h, c = (
            part.unflatten(0, previous.shape)
            for part in self.cell(written, (state[0].flatten(0, 1), state[1].flatten(0, 1)))
        )
        seen = text[:, None].expand(-1, previous.shape[1], -1)  # (B, W, F)
        return self.classifier(torch.cat([self.dropout(h), seen], dim=-1)), (h, c)


class CNNRNNClassifier(SequenceClassifier):
    """A convolutional network over words that starts a recurrent one over labels [1]_.

    Labels come in the order of their frequency in the training data, and none twice. An unknown entry of y (NaN) can not
    be written in training, and so counts neither for nor against its label.

    Parameters
    ----------
    filter_widths : sequence of int, default=(3, 4, 5)
        Words per window.
    n_filters : int, default=100
        Filters of each width.
    hidden_size : int, default=512
        Units of the recurrent network.
    label_size : int, default=256
        Numbers per label vector.
    beam_width : int, default=5
        Sequences that the search keeps at a time.
    max_labels : int, default=25
        The longest sequence that the search writes.
    vocabulary_size : int, default=50000
        The most frequent words that have a vector of their own.
    embedding_size : int, default=300
        Numbers per word.
    word_vectors : str, path-like or None, default=None
        A file of word vectors to start from: text, or ``.bin`` in word2vec's binary format, either also as ``.gz``.
    max_length : int, default=500
        Texts are cut to this number of words.
    dropout : float, default=0.5
        Dropout on the text's features, on label vectors and before the last layer.
    learning_rate : float, default=1e-3
        Adam's, at its peak; it rises over the first tenth of the updates and falls to zero.
    batch_size : int, default=64
        Texts per update.
    max_epochs : int or "auto", default="auto"
        Passes over the training texts; "auto" is at least 10, and as many as give 1,500 updates, but at most 200.
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
    .. [1] G. Chen et al., "Ensemble Application of Convolutional and Recurrent Neural Networks for Multi-label Text
       Categorization", IJCNN 2017.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import CNNRNNClassifier
    >>> clf = CNNRNNClassifier(hidden_size=64, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    _parameter_constraints: dict = {
        **SequenceClassifier._parameter_constraints,
        "filter_widths": ["array-like"],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "label_size": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        filter_widths=(3, 4, 5),
        n_filters=100,
        hidden_size=512,
        label_size=256,
        beam_width=5,
        max_labels=25,
        vocabulary_size=50_000,
        embedding_size=300,
        word_vectors=None,
        max_length=500,
        dropout=0.5,
        learning_rate=1e-3,
        batch_size=64,
        max_epochs="auto",
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=2,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.filter_widths = filter_widths
        self.n_filters = n_filters
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

    def _make_network(self, embedding: WordEmbedding, data: TextDataset) -> CNNRNN:
        return CNNRNN(
            embedding,
            label_frequencies(data.known_targets),
            filter_widths=check_filter_widths(self.filter_widths),
            n_filters=self.n_filters,
            hidden_size=self.hidden_size,
            label_size=self.label_size,
            dropout=self.dropout,
            beam_width=self.beam_width,
            max_labels=self.max_labels,
        )

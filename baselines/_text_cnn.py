"""Text-CNN: filters over words, the strongest answer of each."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
from sklearn.utils._param_validation import Interval
from torch import nn
from torch.nn.functional import pad

from sklearn_bertlam._batches import PackedTexts, TextDataset
from sklearn_bertlam._text_module import TextModule

from ._word_level import TOKENS_AT_ONCE, WordEmbedding, WordLevelClassifier, start_from_log_odds


class WordFilters(nn.Module):
    """Convolutions of several widths over word vectors, ReLU, and the maximum over positions.

    Every word starts one window of each width; behind the end of a text are zeros, however long its batch is.

    Parameters
    ----------
    size : int
        E, the numbers per word.
    widths : sequence of int
        Words per window.
    n_filters : int
        Filters of each width.
    """

    def __init__(self, size: int, widths: tuple[int, ...], n_filters: int):
        super().__init__()
        self.filters: Any = nn.ModuleList(nn.Conv1d(size, n_filters, width) for width in widths)
        self.n_features = n_filters * len(widths)

    def forward(self, words: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return features (B, F) from word vectors (B, L, E), zero where the mask (B, L) is False."""
        words = words.transpose(1, 2)  # (B, E, L)
        features = []
        for layer in self.filters:
            found = layer(pad(words, (0, layer.kernel_size[0] - 1))).relu()  # (B, n_filters, L)
            features.append((found * mask[:, None]).amax(dim=2))
        return torch.cat(features, dim=1).float()


def check_filter_widths(widths: Any) -> tuple[int, ...]:
    """Return the widths as a tuple of positive integers."""
    widths = tuple(widths)
    if not widths or not all(isinstance(width, Integral) and int(width) > 0 for width in widths):
        raise ValueError(f"filter_widths should be one positive integer or more, got {widths!r}.")
    return tuple(int(width) for width in widths)


class TextCNN(TextModule):
    """Word vectors, filters, dropout, one linear layer."""

    tokens_at_once = TOKENS_AT_ONCE

    def __init__(self, embedding: WordEmbedding, widths: tuple[int, ...], n_filters: int, dropout: float, n_labels: int):
        super().__init__()
        self.embedding = embedding
        self.filters = WordFilters(embedding.embedding_dim, widths, n_filters)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.filters.n_features, n_labels)

    def forward(self, batch: PackedTexts) -> torch.Tensor:
        """Return logits (B, K)."""
        features = self.filters(self.embedding.grid(batch), batch.content_mask)
        with torch.autocast(features.device.type, enabled=False):
            return self.classifier(self.dropout(features))


class TextCNNClassifier(WordLevelClassifier):
    """Convolutional network over trainable word vectors [1]_, one sigmoid per label.

    Parameters
    ----------
    filter_widths : sequence of int, default=(3, 4, 5)
        Words per window.
    n_filters : int, default=100
        Filters of each width.
    vocabulary_size : int, default=50000
        The most frequent words that have a vector of their own.
    embedding_size : int, default=300
        Numbers per word.
    word_vectors : str, path-like or None, default=None
        A file of word vectors to start from: text, or ``.bin`` in word2vec's binary format, either also as ``.gz``.
    max_length : int, default=500
        Texts are cut to this number of words.
    dropout : float, default=0.5
        Dropout before the last layer.
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
    pos_weight : float, array-like of shape (n_labels,) or None, default=None
        Factor on the loss of positive entries.
    threshold : float, array-like of shape (n_labels,) or "tuned", default=0.5
        Probability above which ``predict`` reports a label; "tuned" learns it on texts that are held out.
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
    .. [1] Y. Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.

    Examples
    --------
    >>> from sklearn_bertlam.baselines import TextCNNClassifier
    >>> clf = TextCNNClassifier(random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> clf.predict(["red wine"])
    array([[1, 1]])
    """

    _parameter_constraints: dict = {
        **WordLevelClassifier._parameter_constraints,
        "filter_widths": ["array-like"],
        "n_filters": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        filter_widths=(3, 4, 5),
        n_filters=100,
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
        pos_weight=None,
        threshold=0.5,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.filter_widths = filter_widths
        self.n_filters = n_filters
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
        self.pos_weight = pos_weight
        self.threshold = threshold
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _make_network(self, embedding: WordEmbedding, data: TextDataset) -> TextCNN:
        widths = check_filter_widths(self.filter_widths)
        network = TextCNN(embedding, widths, self.n_filters, self.dropout, self.n_labels_)
        start_from_log_odds(network.classifier, data)
        return network

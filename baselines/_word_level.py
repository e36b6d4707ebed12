"""What the classifiers that learn their own words share: vocabulary, embedding, learning rate."""

from __future__ import annotations

import os
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.utils._param_validation import Interval
from torch import nn

from sklearn_bertlam._base import NeuralTextClassifier
from sklearn_bertlam._batches import PackedTexts, TextDataset
from sklearn_bertlam._encoders import learn_word_tokenizer
from sklearn_bertlam._fitting import EpochRange
from sklearn_bertlam._initialisation import log_odds
from sklearn_bertlam._tokens import tokenize

from ._word_vectors import load_word_vectors

TOKENS_AT_ONCE = 2**15
_PARAMETERS = (
    "max_length",
    "dropout",
    "learning_rate",
    "batch_size",
    "max_epochs",
    "early_stopping",
    "validation_fraction",
    "n_iter_no_change",
    "pos_weight",
    "threshold",
    "device",
    "random_state",
    "verbose",
)
_HIDING = 0.25  # a word that occurs n times is hidden in training with probability _HIDING / (_HIDING + n)


class WordEmbedding(nn.Embedding):
    """Trainable word vectors, laid out as a grid with zeros for padding.

    In training, [UNK] stands in for a word now and then, the more often the rarer it is [1]_. So its vector learns what
    words that were never seen may mean, and rare words do not tell the network which text it reads.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        Its vocabulary of V words.
    size : int
        E, the numbers per word.
    path : str or path-like, optional
        A file of vectors to start from, for the words that it has.
    counts : ndarray of int, shape (V,), optional
        How often each word is in the training data. Without them no word is hidden.
    spread : float, default=0.1
        The standard deviation of the words' first vectors.

    References
    ----------
    .. [1] E. Kiperwasser, Y. Goldberg, "Simple and Accurate Dependency Parsing Using Bidirectional LSTM Feature
       Representations", TACL 2016.
    """

    hiding: torch.Tensor | None  # (V,)

    def __init__(
        self,
        tokenizer: Any,
        size: int,
        path: str | os.PathLike | None = None,
        counts: np.ndarray | None = None,
        spread: float = 0.1,
    ):
        super().__init__(len(tokenizer), size)
        nn.init.normal_(self.weight, std=spread)
        self.unknown = tokenizer.unk_token_id
        hiding = None if counts is None else torch.from_numpy(_HIDING / (_HIDING + counts)).float()
        self.register_buffer("hiding", hiding, persistent=False)
        if path is not None:
            rows, vectors = load_word_vectors(path, tokenizer.get_vocab(), size)
            self.weight.data[torch.from_numpy(rows)] = torch.from_numpy(vectors)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the vectors (..., E) of words."""
        if self.training and self.hiding is not None:
            ids = ids.masked_fill(torch.rand(ids.shape, device=ids.device) < self.hiding[ids], self.unknown)
        return super().forward(ids)

    def grid(self, batch: PackedTexts) -> torch.Tensor:
        """Return the word vectors (B, L, E) of a batch."""
        return batch.to_grid(self(batch.ids))


class WordLevelClassifier(NeuralTextClassifier):
    """Base of the classifiers whose vocabulary and word vectors are learned in ``fit``."""

    _epoch_range = EpochRange(fewest_updates=1500, fewest_epochs=10, most_epochs=200)
    _spread_of_words = 0.1
    label_names: Any = None
    weight_decay = 0.0
    warmup_fraction = 0.1
    warm_start = False
    callbacks = None
    precision = "float32"
    _parameter_constraints: dict = {
        **{name: NeuralTextClassifier._parameter_constraints[name] for name in _PARAMETERS},
        "vocabulary_size": [Interval(Integral, 3, None, closed="left")],
        "embedding_size": [Interval(Integral, 1, None, closed="left")],
        "word_vectors": [str, os.PathLike, None],
    }

    def _make_tokenizer(self, texts):
        return learn_word_tokenizer(texts, self.vocabulary_size)

    def _make_module(self, data: TextDataset, random_state: np.random.RandomState, precision: torch.dtype) -> nn.Module:
        counts = np.bincount(data.tokens.ids, minlength=len(self.tokenizer_)) if self.dropout else None
        size, spread = int(self.embedding_size), self._spread_of_words
        embedding = WordEmbedding(self.tokenizer_, size, self.word_vectors, counts, spread)
        return self._make_network(embedding, data).to(self.device_)

    def _blank_module(self, encoder_config) -> nn.Module:
        nothing = sp.csr_array((1, self.n_labels_), dtype=np.float32)
        data = TextDataset(tokenize(self.tokenizer_, [""], self.max_length), nothing, np.ones(1, dtype=np.float32))
        return self._make_network(WordEmbedding(self.tokenizer_, int(self.embedding_size)), data)

    def _make_network(self, embedding: WordEmbedding, data: TextDataset) -> nn.Module:
        """Return the network over the word vectors, as training starts with it."""
        raise NotImplementedError

    def _head_learning_rate(self) -> float:
        return self.learning_rate


def start_from_log_odds(layer: Any, data: TextDataset) -> None:
    """Let the bias of a last layer start with each label's log-odds, instead of learning them first."""
    bias = log_odds(data.known_targets, data.sample_weight[data.rows])
    layer.bias.data.copy_(torch.from_numpy(bias))

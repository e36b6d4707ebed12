"""What is tried against BertLamClassifier as it comes, by name.

What is one of its parameters is set; everything else is written here, and moves into the package only if it wins.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy.special import expit, logit
from sklearn.neighbors import NearestNeighbors
from skorch.callbacks import Callback
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from sklearn_bertlam import BertLamClassifier
from sklearn_bertlam._batches import PackedTexts
from sklearn_bertlam._module import LabelAttentionNetwork
from sklearn_bertlam._text_encoder import full_precision, mean_vector

from ..systems import SYSTEMS, make_system


class AveragedWeights(Callback):
    """Keep a moving average of all weights over the updates, and end training with it."""

    def __init__(self, decay: float):
        self.decay = decay

    def on_train_begin(self, net, **kwargs):
        """Start with the weights as they are."""
        self.average_ = {name: weight.detach().clone() for name, weight in net.module_.named_parameters()}
        self.n_updates_ = 0

    @torch.no_grad()
    def on_batch_end(self, net, **kwargs):
        """Take the new weights in."""
        self.n_updates_ += 1
        decay = min(self.decay, (1 + self.n_updates_) / (10 + self.n_updates_))
        for name, weight in net.module_.named_parameters():
            self.average_[name].lerp_(weight, 1 - decay)

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        """Put the average in the place of the weights."""
        for name, weight in net.module_.named_parameters():
            weight.copy_(self.average_[name])


class PartWay(Callback):
    """End training on the straight line between the first weights and the last ones."""

    def __init__(self, share: float):
        self.share = share

    def on_train_begin(self, net, **kwargs):
        """Remember the weights."""
        self.first_ = {name: weight.detach().clone() for name, weight in net.module_.named_parameters()}

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        """Go back part of the way."""
        for name, weight in net.module_.named_parameters():
            weight.copy_(torch.lerp(self.first_[name], weight, self.share))


class SlowerLowerLayers(Callback):
    """Shorten every step of a layer by a factor for each layer above it, as a lower learning rate does with AdamW."""

    def __init__(self, factor: float):
        self.factor = factor

    def on_train_begin(self, net, **kwargs):
        """Find the factor of every weight of the encoder."""
        config = net.module_.encoder.config
        self.factors_ = {
            weight: self.factor ** (config.num_hidden_layers - _depth(name))
            for name, weight in net.module_.named_parameters()
            if name.startswith("encoder.")
        }

    def on_batch_begin(self, net, **kwargs):
        """Remember the weights."""
        self.before_ = {weight: weight.detach().clone() for weight in self.factors_}

    @torch.no_grad()
    def on_batch_end(self, net, **kwargs):
        """Go back part of the step."""
        for weight, factor in self.factors_.items():
            weight.copy_(torch.lerp(self.before_[weight], weight, factor))


def _depth(name: str) -> int:
    """Return 0 for embeddings and 1 upwards for the layers."""
    parts = name.split(".")
    return int(parts[parts.index("layer") + 1]) + 1 if "layer" in parts else 0


class MeanResidual(LabelAttentionNetwork):
    """Every label also reads the mean token vector, by weights that start at 0."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.residual = nn.Linear(self.hidden_size, self.classifier.out_features, bias=False)
        nn.init.zeros_(self.residual.weight)

    def _document_vector(self, tokens, mask):
        return normalize(mean_vector(tokens, mask), dim=-1)

    def _pool(self, tokens, mask, label_vectors):
        self._residual_logits = self.residual(self._document_vector(tokens, mask))
        return super()._pool(tokens, mask, label_vectors)

    def forward(self, batch, prepared=None):
        """Add the residual to the usual logits."""
        logits = super().forward(batch, prepared)
        with full_precision(logits):
            return logits + self._residual_logits


class FirstTokenResidual(MeanResidual):
    """Every label also reads the vector of [CLS]."""

    def _document_vector(self, tokens, mask):
        return normalize(tokens[:, 0], dim=-1)


class LabelsDependOnLabels(LabelAttentionNetwork):
    """The probabilities of all labels add to every logit, by weights that start at 0."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        n_labels = self.classifier.out_features
        self.between_labels = nn.Linear(n_labels, n_labels, bias=False)
        nn.init.zeros_(self.between_labels.weight)

    def forward(self, batch, prepared=None):
        """Add what the labels say of one another to the usual logits."""
        logits = super().forward(batch, prepared)
        with full_precision(logits):
            return logits + self.between_labels(logits.sigmoid())


class NamesAreExamples(LabelAttentionNetwork):
    """Every label's own text is also an example of it: LEAM's regulariser."""

    share = 0.1

    def penalty(self):
        """Return the loss on the label texts that this update has read."""
        turn = (self._first_label + torch.arange(self.labels_per_update)) % self.classifier.out_features
        vectors = normalize(self._fresh_vectors[turn], dim=-1)  # (n, H)
        targets = torch.eye(self.classifier.out_features, device=vectors.device)[turn]
        return self.share * binary_cross_entropy_with_logits(self.classifier(vectors), targets)

    def _encode_with_labels(self, batch):
        tokens, self._fresh_vectors = super()._encode_with_labels(batch)
        return tokens, self._fresh_vectors


class NamesDoNotStart(LabelAttentionNetwork):
    """The last layer starts from documents alone."""

    def label_texts_as_documents(self, prepared):
        """Return None, as for labels without texts."""
        return None


class TwoPassesAgree(LabelAttentionNetwork):
    """R-Drop: two passes with different dropout, and a penalty on the divergence between them."""

    weight = 0.5

    def forward(self, batch, prepared=None):
        """Return the mean logits of two passes in training."""
        first = super().forward(batch, prepared)
        if not self.training:
            return first
        second = super().forward(batch, prepared)
        self._divergence = ((first - second) * (first.sigmoid() - second.sigmoid())).mean()  # KL both ways
        return (first + second) / 2

    def penalty(self):
        """Return the divergence of the last two passes."""
        return self.weight * self._divergence


class SomeWordsHidden(LabelAttentionNetwork):
    """In training, some word-pieces of every text are replaced by padding, others each time."""

    hidden_part = 0.15

    def forward(self, batch, prepared=None):
        """Hide some word-pieces in training."""
        return super().forward(_with_hidden(batch, self.hidden_part)[0] if self.training else batch, prepared)


def _with_hidden(batch: PackedTexts, part: float) -> tuple[PackedTexts, torch.Tensor]:
    """Return the batch with a random part of its word-pieces as padding, and which of the grid these are (B, L)."""
    hidden = batch.content_mask & (torch.rand(batch.content_mask.shape, device=batch.ids.device) < part)
    is_hidden = torch.cat([hidden.flatten(), hidden.new_zeros(1)])[batch.slots]  # (T,)
    return replace(batch, ids=batch.ids.masked_fill(is_hidden, batch.pad_id)), hidden


class GuessesHiddenWords(LabelAttentionNetwork):
    """A masked language model beside the classifier: a second pass, in which some word-pieces are hidden, guesses them.

    The encoder of sentence vectors has lost its own head for this, so that one is trained: a linear layer, which starts as
    the identity, and the embedding table. Hidden word-pieces become padding, whose row training always has.
    """

    weight, hidden_part = 0.1, 0.15

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.to_words = nn.Linear(self.hidden_size, self.hidden_size)
        nn.init.eye_(self.to_words.weight)
        nn.init.zeros_(self.to_words.bias)

    def forward(self, batch, prepared=None):
        """Guess the hidden word-pieces as well, in training."""
        logits = super().forward(batch, prepared)
        if self.training:
            self._guessing_loss = self._loss_on_hidden(batch)
        return logits

    def penalty(self):
        """Return the loss on the word-pieces that the last pass has hidden."""
        return self.weight * self._guessing_loss

    def _loss_on_hidden(self, batch):
        ids = batch.to_grid(batch.ids[:, None], batch.pad_id).squeeze(2)  # (B, L)
        without, hidden = _with_hidden(batch, self.hidden_part)
        if not hidden.any():
            return self.to_words.weight.sum() * 0
        (tokens,) = self.encode(without)
        table = self.encoder.get_input_embeddings().weight
        with full_precision(tokens):
            return cross_entropy(self.to_words(tokens[hidden]) @ table.T, ids[hidden])


class _Network(BertLamClassifier):
    """BertLamClassifier with another network."""

    network: type[LabelAttentionNetwork] = LabelAttentionNetwork

    def _network(self, encoder):
        return self.network(
            encoder,
            self.n_labels_,
            attention=self.attention,
            attention_scale=self.attention_scale,
            dropout=self.dropout,
            label_tokens=self._tokenize_labels(),
            n_word_pieces=self._n_word_pieces,
            fit_cardinality=self.fit_cardinality,
        )


class NeighboursVote(BertLamClassifier):
    """The labels of the nearest training texts, by the cosine of mean attended vectors, have a share in probabilities."""

    share, n_neighbours, temperature = 0.2, 30, 0.1

    def fit(self, X, y):
        """Train as usual, and remember the vectors of all texts."""
        super().fit(X, y)
        n_neighbours = min(self.n_neighbours, len(X))
        self._seen = NearestNeighbors(n_neighbors=n_neighbours, metric="cosine").fit(self._vectors(X))
        self._seen_targets = y
        return self

    def decision_function(self, X):
        """Return logits after the vote."""
        distances, neighbours = self._seen.kneighbors(self._vectors(X))
        weights = np.exp(-distances / self.temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        votes = np.stack([w @ self._seen_targets[rows] for w, rows in zip(weights, neighbours, strict=True)])
        return logit((1 - self.share) * expit(super().decision_function(X)) + self.share * votes)

    def _vectors(self, texts):
        chunks = (texts[start : start + 512] for start in range(0, len(texts), 512))
        return np.concatenate([part.mean(axis=1) for part in self._scores(chunks, "features")])


def _parameters(**parameters: Any) -> Callable[..., Any]:
    return lambda **usual: BertLamClassifier(**(usual | parameters))


def _callback(callback: Callback) -> Callable[..., Any]:
    return lambda **usual: BertLamClassifier(**usual, callbacks=[deepcopy(callback)])


def _network(network: type[LabelAttentionNetwork]) -> Callable[..., Any]:
    return type(network.__name__, (_Network,), {"network": network})


def _system(name: str) -> Callable[..., Any]:
    return lambda **usual: make_system(name, **usual)


CHANGES: dict[str, Callable[..., Any]] = {
    "no training": _parameters(max_epochs=0),
    "learning rate 5e-5": _parameters(learning_rate=5e-5),
    "learning rate 1e-4": _parameters(learning_rate=1e-4),
    "learning rate 3e-4": _parameters(learning_rate=3e-4),
    "head learning rate 3e-3": _parameters(head_learning_rate=3e-3),
    "5 epochs": _parameters(max_epochs=5),
    "8 epochs": _parameters(max_epochs=8),
    "15 epochs": _parameters(max_epochs=15),
    "5 epochs, learning rate 1e-4": _parameters(max_epochs=5, learning_rate=1e-4),
    "batches of 16": _parameters(batch_size=16),
    "no dropout": _parameters(dropout=0.0),
    "dropout 0.2": _parameters(dropout=0.2),
    "weight decay 0.1": _parameters(weight_decay=0.1),
    "head-tail": _parameters(long_text="head-tail"),
    "256 tokens": _parameters(max_length=256),
    "no share for words": _parameters(word_share=0.0),
    "numbers of labels not counted": _parameters(fit_cardinality=False),
    "a share of 0.2 for words": _parameters(word_share=0.2),
    "a share of 0.5 for words": _parameters(word_share=0.5),
    "early stopping": _parameters(early_stopping=True),
    "averaged weights": _callback(AveragedWeights(0.98)),
    "half way": _callback(PartWay(0.5)),
    "three quarters of the way": _callback(PartWay(0.75)),
    "layer-wise learning rates 0.8": _callback(SlowerLowerLayers(0.8)),
    "mean residual": _network(MeanResidual),
    "[CLS] residual": _network(FirstTokenResidual),
    "labels depend on labels": _network(LabelsDependOnLabels),
    "label texts are examples": _network(NamesAreExamples),
    "no label texts at the start": _network(NamesDoNotStart),
    "R-Drop": _network(TwoPassesAgree),
    "some words hidden": _network(SomeWordsHidden),
    "some words hidden, 5 epochs": lambda **usual: _network(SomeWordsHidden)(**usual, max_epochs=5),
    "hidden words are guessed": _network(GuessesHiddenWords),
    "neighbours vote": lambda **usual: NeighboursVote(**usual),
} | {
    SYSTEMS[name].title: _system(name)
    for name in ("frozen", "binary-relevance", "binary-relevance-svm", "cls", "mean", "document")
}
BASELINE = "BertLamClassifier as it comes"


def make_changed(name: str, **usual: Any) -> Any:
    """Return an unfitted estimator with one change, or none for ``BASELINE``."""
    return BertLamClassifier(**usual) if name == BASELINE else CHANGES[name](**usual)

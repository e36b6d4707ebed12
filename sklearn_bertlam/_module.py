"""The network: encoder, label attention, one score per label."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn.functional import normalize

from . import _attention, _cardinality
from ._batches import PackedTexts, TextRows, pack
from ._bert import LinearFactory, PackedBert
from ._dropout import dropout
from ._text_encoder import TextEncoder, full_precision, mean_vector
from ._tokens import RaggedTokens
from ._word_scores import WordScores

LEARNED_SCALE_START = 10.0
_LARGEST_SCALE = 100.0
_TEXTS_FOR_COSINES, _TOKENS_FOR_COSINES = 64, 4096


class Prepared(NamedTuple):
    """What many batches of a prediction share."""

    encoder: PackedBert | None
    label_vectors: torch.Tensor | None


class Cardinality(nn.Module):
    """How many labels texts have, compared with labels that come independently, in the texts seen so far.

    Parameters
    ----------
    n_labels : int
        K.
    """

    per_label: torch.Tensor  # (K,)
    was_added: torch.Tensor  # (K,), whether the texts so far could not have the label
    histogram: torch.Tensor  # (MOST_COUNTED + 1,)
    log_ratio: torch.Tensor  # the same, what ``_cardinality.adjust`` wants to know

    def __init__(self, n_labels: int):
        super().__init__()
        self.register_buffer("per_label", torch.zeros(n_labels))
        self.register_buffer("was_added", torch.zeros(n_labels, dtype=torch.bool))
        for name in ("histogram", "log_ratio"):
            self.register_buffer(name, torch.zeros(_cardinality.MOST_COUNTED + 1))

    def count(self, targets: sp.csr_array, sample_weight: np.ndarray) -> None:
        """Count the labels of more texts: targets (n, K), whose stored entries are 1 or NaN, and weights (n,).

        With the first texts that have a label that was added, counting starts anew: how many labels earlier texts have
        says nothing about those that can have it.
        """
        added = np.flatnonzero(self.was_added.cpu().numpy())
        if len(added) and (targets[:, added].data == 1).any():
            self.forget()
        counts = (self.per_label, self.histogram)
        for so_far, more in zip(counts, _cardinality.count_labels(targets, sample_weight), strict=True):
            so_far += torch.from_numpy(more).to(so_far)
        self.log_ratio.copy_(torch.from_numpy(_cardinality.log_ratio(*(count.cpu().numpy() for count in counts))))

    @property
    def is_counted(self) -> torch.Tensor:
        """Which labels some text has had (K,)."""
        return self.per_label > 0

    def forget(self) -> None:
        """Start to count anew."""
        for buffer in self.buffers():
            buffer.zero_()

    def add_labels(self, n: int) -> None:
        """Know n more labels, which no text has had."""
        self.per_label = torch.cat([self.per_label, self.per_label.new_zeros(n)])
        self.was_added = torch.cat([self.was_added, self.was_added.new_ones(n)])


class LabelAttentionNetwork(TextEncoder):
    """BERT-LAM and its ablations, from token ids to one logit per label.

    B documents, L positions, K labels, H hidden units.

    Parameters
    ----------
    encoder : Module
        A transformers model whose output has ``last_hidden_state`` (B, L, H).
    n_labels : int
        K.
    attention : {"document", "label-wise", "mean", "cls"}
        How token vectors become the vector that is classified.
    attention_scale : float or "learned"
        Factor on the cosines before the softmax of equation 5.
    dropout : float
        Dropout on the pooled vector.
    label_tokens : RaggedTokens, optional
        The label texts. Without them, and where the attention needs label vectors, these are a trained table.
    labels_per_update : int, optional
        How many label texts an update of training encodes; the others keep their vectors from before. All by default.
    n_word_pieces : int, default=0
        The size of the vocabulary, where counts of word-pieces have a say in predictions.
    fit_cardinality : bool, default=False
        Whether the number of labels that texts have has a say in predictions.
    """

    def __init__(
        self,
        encoder: Any,
        n_labels: int,
        *,
        attention: str,
        attention_scale: float | str = "learned",
        dropout: float = 0.1,
        label_tokens: RaggedTokens | None = None,
        labels_per_update: int | None = None,
        n_word_pieces: int = 0,
        fit_cardinality: bool = False,
    ):
        super().__init__(encoder)
        self.attention = attention
        self.dropout = dropout
        self.classifier = nn.Linear(self.hidden_size, n_labels)
        self.words = WordScores(n_word_pieces, n_labels) if n_word_pieces else None
        self.cardinality = Cardinality(n_labels) if fit_cardinality else None
        self.label_table: nn.Parameter | None = None
        self.log_scale: nn.Parameter | None = None
        self.fixed_scale = 1.0
        self.labels_per_update: int = min(labels_per_update or n_labels, n_labels)
        self._first_label = 0
        self._recent_label_vectors: torch.Tensor | None = None
        if attention in ("document", "label-wise"):
            self.label_tokens = label_tokens
            if label_tokens is None:
                self.label_table = nn.Parameter(torch.empty(n_labels, self.hidden_size).normal_())
            self._add_scale(attention_scale)

    def _add_scale(self, attention_scale: float | str) -> None:
        if attention_scale == "learned":
            self.log_scale = nn.Parameter(torch.tensor(math.log(LEARNED_SCALE_START)))
        else:
            self.fixed_scale = float(attention_scale)

    @property
    def scale(self) -> torch.Tensor | float:
        """The factor on the cosines, at most 100."""
        return self.fixed_scale if self.log_scale is None else self.log_scale.exp().clamp(max=_LARGEST_SCALE)

    @property
    def values_per_text(self) -> int:  # type: ignore[override]
        """How many numbers the last layer reads from a text."""
        return self.classifier.weight.numel() if self.attention == "label-wise" else self.hidden_size

    # -------------------------------------------------------------------------------------------------------------- labels

    def train(self, mode: bool = True) -> LabelAttentionNetwork:
        """Switch to training or evaluation, which forgets the label vectors that training keeps."""
        if not mode:
            self._recent_label_vectors = None
        return super().train(mode)

    def label_vectors(self, encoder: PackedBert | None = None) -> torch.Tensor | None:
        """Equation 2: one vector per label (K, H), the mean over its word-pieces; None where no attention needs it."""
        if self.label_tokens is None:
            return self.label_table
        return self.text_vectors(self.label_tokens, encoder)

    def add_labels(self, label_tokens: RaggedTokens, scorers: torch.Tensor) -> None:
        """Score more labels, whose weights and biases are given as (n, H + 1); ``label_tokens`` are the texts of all."""
        weight, bias = self.classifier.weight.data, self.classifier.bias.data
        scorers = scorers.to(weight.device)
        self.classifier.weight = nn.Parameter(torch.cat([weight, scorers[:, :-1]]))
        self.classifier.bias = nn.Parameter(torch.cat([bias, scorers[:, -1]]))
        self.classifier.out_features = len(label_tokens)
        if self.words is not None:
            self.words.add_labels(len(scorers))
        if self.cardinality is not None:
            self.cardinality.add_labels(len(scorers))
        self.label_tokens = label_tokens
        self._recent_label_vectors = None

    def own_cosines(self, tokens: RaggedTokens) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines of attended vectors with the vectors of their labels, and logits (n, K), of the first texts."""
        prepared = self.prepare()
        vectors: Any = prepared.label_vectors
        some = np.arange(min(len(tokens), _TEXTS_FOR_COSINES))
        some = some[np.argsort(-tokens.lengths[some], kind="stable")]
        cosines, logits = [], []
        for _, batch in TextRows(tokens, some).parts(_TOKENS_FOR_COSINES, self.values_per_text):
            features = self.features(batch.to(self._device), prepared)  # (B, K, H)
            cosines.append(torch.einsum("bkh,kh->bk", features, normalize(vectors, dim=-1)))
            logits.append(self.classify(features))
        return torch.cat(cosines), torch.cat(logits)

    def start_update(self) -> None:
        """Go on to the next labels that are encoded anew."""
        n_labels = self.classifier.out_features
        self._first_label = (self._first_label + self.labels_per_update) % n_labels

    def progress(self) -> dict[str, Any]:
        """Return what training keeps from one update to the next beside the weights."""
        return {
            "labels_per_update": self.labels_per_update,
            "first_label": self._first_label,
            "label_vectors": self._recent_label_vectors,
        }

    def restore_progress(self, progress: dict[str, Any]) -> None:
        """Go on where another training was."""
        self.labels_per_update, self._first_label = progress["labels_per_update"], progress["first_label"]
        self._recent_label_vectors = progress["label_vectors"]

    def _encode_with_labels(self, batch: PackedTexts) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode texts and, in the same pass, the label texts whose turn it is."""
        if self.label_tokens is None:
            return self.encode(batch)[0], self.label_table
        n_labels, device = self.classifier.out_features, self.classifier.weight.device
        turn = (self._first_label + np.arange(self.labels_per_update, dtype=np.int64)) % n_labels
        turn = turn[np.argsort(-self.label_tokens.lengths[turn], kind="stable")]
        label_texts = pack(self.label_tokens, turn).to(device)
        tokens, label_tokens = self.encode(batch, label_texts)
        with full_precision(tokens):
            fresh = mean_vector(label_tokens, label_texts.content_mask)
        vectors = self._known_label_vectors(self.label_tokens).index_copy(0, torch.from_numpy(turn).to(device), fresh)
        self._recent_label_vectors = vectors.detach()
        return tokens, vectors

    def _known_label_vectors(self, label_tokens: RaggedTokens) -> torch.Tensor:
        if self.labels_per_update == self.classifier.out_features:
            return torch.empty_like(self.classifier.weight)
        vectors = self._recent_label_vectors
        if vectors is None:
            self.eval()
            with torch.no_grad():
                vectors = self.text_vectors(label_tokens)
            self.train()
        return vectors

    # ------------------------------------------------------------------------------------------------------------- scoring

    def prepare(self, make_linear: LinearFactory | None = None) -> Prepared:
        """Compute what all batches of a prediction share; call it and use it in inference mode."""
        encoder = self.packed_encoder(make_linear)
        return Prepared(encoder, self.label_vectors(encoder))

    def label_texts_as_documents(self, prepared: Prepared) -> np.ndarray | None:
        """Return what the last layer may read of the labels' own texts (K, H), of length 1; None where they have none."""
        vectors = None if self.label_tokens is None else prepared.label_vectors
        return None if vectors is None else normalize(vectors.float(), dim=-1).cpu().numpy()

    def mean_vectors(self, batch: PackedTexts, prepared: Prepared) -> torch.Tensor:
        """Return the mean token vector of each document (B, H)."""
        (tokens,) = self.encode(batch, encoder=prepared.encoder)
        with full_precision(tokens):
            return mean_vector(tokens, batch.content_mask)

    def features(self, batch: PackedTexts, prepared: Prepared | None = None) -> torch.Tensor:
        """Return what the last layer reads: one vector per document (B, H), or one per document and label (B, K, H)."""
        if prepared is None and self.training:
            tokens, label_vectors = self._encode_with_labels(batch)
        else:
            encoder, label_vectors = prepared or self.prepare()
            (tokens,) = self.encode(batch, encoder=encoder)
        with full_precision(tokens):
            return self._pool(tokens, batch.content_mask, label_vectors)

    def _pool(self, tokens: torch.Tensor, mask: torch.Tensor, label_vectors: torch.Tensor | None) -> torch.Tensor:
        if self.attention == "cls":
            return tokens[:, 0]
        attention = self._attend(tokens, mask, label_vectors)
        if self.attention == "label-wise":
            return normalize(_attention.pool_per_label(attention, tokens), dim=-1)
        pooled = _attention.pool(attention, tokens)
        return normalize(pooled, dim=-1) if self.attention == "mean" else pooled

    def _attend(self, tokens: torch.Tensor, mask: torch.Tensor, label_vectors: torch.Tensor | None) -> torch.Tensor:
        """Return weights that sum to 1 over the positions: (B, L), or label-wise (B, L, K)."""
        if label_vectors is None:
            return _attention.mean_attention(mask)
        similarities = _attention.cosine_similarities(tokens, label_vectors)  # (B, L, K)
        if self.attention == "document":
            return _attention.document_attention(similarities, mask, self.scale)
        return _attention.label_wise_attention(similarities, mask, self.scale)

    def attention_weights(self, batch: PackedTexts, prepared: Prepared | None = None) -> torch.Tensor:
        """Return how much each position weighs for each label (B, L, K)."""
        encoder, label_vectors = prepared or self.prepare()
        (tokens,) = self.encode(batch, encoder=encoder)
        with full_precision(tokens):
            attention = self._attend(tokens, batch.content_mask, label_vectors)
        return attention if attention.ndim == 3 else attention[:, :, None].expand(-1, -1, self.classifier.out_features)

    def forward(self, batch: PackedTexts, prepared: Prepared | None = None) -> torch.Tensor:
        """Equation 7 before its sigmoid: logits (B, K)."""
        features = self.features(batch, prepared)
        with full_precision(features):
            return self.classify(dropout(features, self.dropout, self.training))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K) from what ``features`` gives: (B, H) or (B, K, H)."""
        if features.ndim == 2:
            return self.classifier(features)
        return torch.einsum("bkh,kh->bk", features, self.classifier.weight) + self.classifier.bias

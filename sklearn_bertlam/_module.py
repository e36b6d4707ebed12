"""The network: encoder, label attention, one score per label."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import dropout, normalize

from . import _attention

LEARNED_SCALE_START = 10.0
_LARGEST_SCALE = 100.0


def mean_vector(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean (B, H) of the token vectors that the mask lets through."""
    return _attention.pool(_attention.mean_attention(mask), tokens)


def _full_precision(tokens: torch.Tensor) -> torch.autocast:
    """Leave autocast, which is for the encoder only."""
    return torch.autocast(tokens.device.type, enabled=False)


class LabelAttentionNetwork(nn.Module):
    """BERT-LAM and its ablations, from token ids to one logit per label.

    B documents, L positions, K labels, H hidden units, T word-pieces of the longest label text.

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
    label_tokens : dict of Tensor (K, T), optional
        ``input_ids``, ``attention_mask`` and ``content_mask`` of the label texts. Without them, and where the attention
        needs label vectors, these are a trained table.
    """

    hidden_size: int
    label_input_ids: torch.Tensor
    label_attention_mask: torch.Tensor
    label_content_mask: torch.Tensor

    def __init__(
        self,
        encoder: Any,
        n_labels: int,
        *,
        attention: str,
        attention_scale: float | str = "learned",
        dropout: float = 0.1,
        label_tokens: dict[str, torch.Tensor] | None = None,
    ):
        super().__init__()
        hidden = encoder.config.hidden_size
        self.hidden_size = hidden
        self.encoder = encoder
        self.attention = attention
        self.dropout = dropout
        self.classifier = nn.Linear(hidden, n_labels)
        self.label_table: nn.Parameter | None = None
        self.log_scale: nn.Parameter | None = None
        self.fixed_scale = 1.0
        self.has_label_texts = False
        if attention in ("document", "label-wise"):
            self._add_labels(label_tokens, n_labels, hidden)
            self._add_scale(attention_scale)

    def _add_labels(self, label_tokens: dict[str, torch.Tensor] | None, n_labels: int, hidden: int) -> None:
        if label_tokens is None:
            self.label_table = nn.Parameter(torch.randn(n_labels, hidden))
            return
        self.has_label_texts = True
        for name, tensor in label_tokens.items():
            self.register_buffer(f"label_{name}", tensor)

    def _add_scale(self, attention_scale: float | str) -> None:
        if attention_scale == "learned":
            self.log_scale = nn.Parameter(torch.tensor(math.log(LEARNED_SCALE_START)))
        else:
            self.fixed_scale = float(attention_scale)

    @property
    def scale(self) -> torch.Tensor | float:
        """The factor on the cosines, at most 100."""
        return self.fixed_scale if self.log_scale is None else self.log_scale.exp().clamp(max=_LARGEST_SCALE)

    def encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Equation 1: one vector per token."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.float()  # (B, L, H)

    def label_vectors(self) -> torch.Tensor | None:
        """Equation 2: one vector per label (K, H), the mean over its word-pieces; None where no attention needs it."""
        if not self.has_label_texts:
            return self.label_table
        tokens = self.encode(self.label_input_ids, self.label_attention_mask)  # (K, T, H)
        with _full_precision(tokens):
            return mean_vector(tokens, self.label_content_mask)

    def mean_vectors(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, content_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean token vector of each document (B, H)."""
        tokens = self.encode(input_ids, attention_mask)
        with _full_precision(tokens):
            return mean_vector(tokens, content_mask)

    def features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        content_mask: torch.Tensor,
        label_vectors: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return what the last layer reads: one vector per document (B, H), or one per document and label (B, K, H).

        ``label_vectors`` (K, H) are computed when they are not given.
        """
        tokens = self.encode(input_ids, attention_mask)  # (B, L, H)
        if self.attention == "cls":
            return tokens[:, 0]
        if label_vectors is None:
            label_vectors = self.label_vectors()
        with _full_precision(tokens):
            if label_vectors is None:
                return normalize(mean_vector(tokens, content_mask), dim=-1)
            similarities = _attention.cosine_similarities(tokens, label_vectors)  # (B, L, K)
            if self.attention == "document":
                return _attention.pool(_attention.document_attention(similarities, content_mask, self.scale), tokens)
            attention = _attention.label_wise_attention(similarities, content_mask, self.scale)  # (B, L, K)
            return normalize(_attention.pool_per_label(attention, tokens), dim=-1)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        content_mask: torch.Tensor,
        label_vectors: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Equation 7 before its sigmoid: logits (B, K)."""
        features = self.features(input_ids, attention_mask, content_mask, label_vectors)
        with _full_precision(features):
            features = dropout(features, self.dropout, self.training)
            if features.ndim == 2:
                return self.classifier(features)  # (B, H) -> (B, K)
            return torch.einsum("bkh,kh->bk", features, self.classifier.weight) + self.classifier.bias

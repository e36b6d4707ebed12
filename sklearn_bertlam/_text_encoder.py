"""What networks with a pretrained encoder share: token vectors and text vectors of packed texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

from . import _attention
from ._batches import PackedTexts, TextRows
from ._bert import LinearFactory, LinearIn, PackedBert, is_bert, linear_for_prediction
from ._text_module import TextModule
from ._tokens import RaggedTokens

_TOKENS_AT_ONCE = 8192
_TOKENS_PER_PART = 2**14


def mean_vector(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean (B, H) of the token vectors that the mask lets through."""
    return _attention.pool(_attention.mean_attention(mask), tokens)


def full_precision(tokens: torch.Tensor) -> torch.autocast:
    """Leave autocast, which is for the encoder only."""
    return torch.autocast(tokens.device.type, enabled=False)


def _in_parts(encoder: PackedBert, ids: torch.Tensor, positions: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Encode all sequences at once, or one part after another where there are very many and nothing is trained."""
    if torch.is_grad_enabled() or len(ids) <= _TOKENS_PER_PART:
        return encoder(ids, positions, lengths)
    ends = np.cumsum(lengths)
    part = ends // _TOKENS_PER_PART  # of each sequence
    stops = np.r_[np.flatnonzero(np.diff(part)) + 1, len(lengths)]
    outputs, start, first = [], 0, 0
    for stop in stops:
        tokens = slice(start, int(ends[stop - 1]))
        outputs.append(encoder(ids[tokens], positions[tokens], lengths[first:stop]))
        start, first = tokens.stop, int(stop)
    return torch.cat(outputs)


class TextEncoder(TextModule):
    """Base of the networks that read texts by a pretrained encoder.

    Parameters
    ----------
    encoder : Module
        A transformers model whose output has ``last_hidden_state`` (B, L, H).
    """

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder
        self.hidden_size: int = encoder.config.hidden_size

    def encode(self, *batches: PackedTexts, encoder: PackedBert | None = None) -> list[torch.Tensor]:
        """Equation 1: one vector per token, (B, L, H) in float32 for every batch. All go through the encoder together."""
        if not is_bert(self.encoder):
            return [self._encode_padded(batch) for batch in batches]
        ids, positions = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("ids", "positions"))
        make_linear = LinearIn(self._precision())
        with full_precision(ids):
            encoder = encoder or PackedBert(self.encoder, make_linear)
            tokens = _in_parts(encoder, ids, positions, [length for batch in batches for length in batch.lengths])  # (T, H)
        parts = tokens.split([len(batch.ids) for batch in batches])
        return [batch.to_grid(part) for batch, part in zip(batches, parts, strict=True)]

    def _encode_padded(self, batch: PackedTexts) -> torch.Tensor:
        lengths = torch.tensor(batch.lengths[: batch.n_sequences], device=batch.ids.device)
        row = torch.arange(len(lengths), device=batch.ids.device).repeat_interleave(lengths)
        place = row, batch.positions[: len(row)]
        ids = batch.ids.new_full((len(lengths), int(lengths.max())), batch.pad_id).index_put(place, batch.ids[: len(row)])
        mask = torch.zeros_like(ids).index_put(place, torch.ones_like(row))
        output = self.encoder(input_ids=ids, attention_mask=mask)
        tokens = output.last_hidden_state.float()[place]
        return batch.to_grid(pad(tokens, (0, 0, 0, len(batch.ids) - len(row))))  # (B, L, H)

    def _precision(self) -> torch.dtype:
        device = self._device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def packed_encoder(self, make_linear: LinearFactory | None = None) -> PackedBert | None:
        """Lay out the encoder's weights once for many batches of a prediction; None where it is not of the kind of BERT."""
        if not is_bert(self.encoder):
            return None
        make_linear = make_linear or linear_for_prediction(self._precision(), self._device)
        with torch.autocast(self._device.type, enabled=False):
            return PackedBert(self.encoder, make_linear)

    def text_vectors(self, tokens: RaggedTokens, encoder: PackedBert | None = None) -> torch.Tensor:
        """Return one vector per text (n, H), the mean over its word-pieces."""
        vectors = torch.empty(len(tokens), self.hidden_size, device=self._device, dtype=torch.float32)
        rows = np.argsort(-tokens.lengths, kind="stable")
        for part, texts in TextRows(tokens, rows).parts(_TOKENS_AT_ONCE):
            texts = texts.to(vectors.device)
            (encoded,) = self.encode(texts, encoder=encoder)
            with full_precision(encoded):
                vectors[torch.from_numpy(rows[part])] = mean_vector(encoded, texts.content_mask)
        return vectors

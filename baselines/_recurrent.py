"""Recurrent networks over packed texts and over hypotheses."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sklearn_bertlam._batches import PackedTexts


class StackedCells(nn.Module):
    """Two LSTM cells on top of each other, for hypotheses (B, W) at a time.

    Parameters
    ----------
    size : int
        Numbers per input.
    hidden_size : int
        H.
    dropout : float
        Dropout between the two.
    """

    def __init__(self, size: int, hidden_size: int, dropout: float):
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(size, hidden_size), nn.LSTMCell(hidden_size, hidden_size)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return output (B, W, H) and new states (B, W, 2, H), from input (B, W, E) and states."""
        shape, states = x.shape[:2], []
        x, h, c = x.flatten(0, 1), h.flatten(0, 1), c.flatten(0, 1)
        for layer, cell in enumerate(self.cells):
            states.append(cell(self.dropout(x) if layer else x, (h[:, layer], c[:, layer])))
            x = states[-1][0]
        h, c = (torch.stack(parts, dim=1).unflatten(0, shape) for parts in zip(*states, strict=True))
        return x.unflatten(0, shape), h, c


def read_both_ways(
    lstm: nn.LSTM, vectors: torch.Tensor, batch: PackedTexts
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Run an LSTM over the tokens (B, L, E) of each text and not over padding; an empty text has one vector of zeros."""
    lengths = torch.tensor([max(1, length) for length in batch.lengths[: len(batch)]])
    packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    output, state = lstm(packed)
    return pad_packed_sequence(output, batch_first=True, total_length=vectors.shape[1])[0], state

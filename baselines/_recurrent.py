"""Recurrent networks over texts and over hypotheses."""

from __future__ import annotations

import torch
from torch import nn

from sklearn_bertlam._batches import PackedTexts


def open_forget_gates(network: nn.Module) -> None:
    """Let every LSTM start with a memory: the bias of its forget gates is 1 [1]_, so that long texts reach the first step.

    References
    ----------
    .. [1] R. Jozefowicz et al., "An Empirical Exploration of Recurrent Network Architectures", ICML 2015.
    """
    for module in network.modules():
        if isinstance(module, nn.LSTM | nn.LSTMCell):
            for name, bias in module.named_parameters():
                if name.startswith("bias_ih"):
                    bias.data.chunk(4)[1].fill_(1.0)  # gates: input, forget, cell, output


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


class BidirectionalLSTM(nn.Module):
    """An LSTM that reads texts (B, L, E) forwards and one that reads them backwards, layer by layer.

    For the second one, each text is turned around inside its own length. So padding comes last for both and changes nothing,
    and on a CPU this is several times faster than packed sequences.

    Parameters
    ----------
    size : int
        E, the numbers per token.
    hidden_size : int
        H, the units of either direction.
    n_layers : int
        Layers; each reads both directions of the one before.
    dropout : float
        Dropout between layers.
    """

    def __init__(self, size: int, hidden_size: int, n_layers: int = 1, dropout: float = 0.0):
        super().__init__()
        sizes = [size, *[2 * hidden_size] * (n_layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(n, hidden_size, batch_first=True) for n in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(n, hidden_size, batch_first=True) for n in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, batch: PackedTexts) -> tuple[torch.Tensor, torch.Tensor]:
        """Return outputs (B, L, 2 H) and each layer's last states (B, n_layers, 2 H); an empty text counts as one token."""
        lengths = torch.tensor(batch.lengths[: len(batch)], device=x.device).clamp(min=1)
        positions = torch.arange(x.shape[1], device=x.device)
        turned = lengths[:, None] - 1 - positions
        turned = torch.where(turned >= 0, turned, positions)[:, :, None]  # (B, L, 1)
        last, states = (lengths - 1)[:, None, None], []
        for layer, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            x = self.dropout(x) if layer else x
            there, _ = forwards(x)
            back, _ = backwards(x.take_along_dim(turned, dim=1))
            states.append(torch.cat([there.take_along_dim(last, dim=1), back.take_along_dim(last, dim=1)], dim=2))
            x = torch.cat([there, back.take_along_dim(turned, dim=1)], dim=2)
        return x, torch.cat(states, dim=1)

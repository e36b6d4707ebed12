"""Dropout whose masks are drawn fast on a CPU.

torch draws one floating-point number per element and thread-serially, which takes a quarter of a training step of BERT.
Here an element costs 16 bits of torch's own generator and a few vectorised integer operations.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

_STEPS = 2**15  # a probability is rounded to this many steps
_BFLOAT16_ONE = 0x3F80


def keep_mask(shape: torch.Size, p: float, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor of 1 with probability ``1 - p`` and of 0 elsewhere, drawn from torch's CPU generator."""
    n = math.prod(shape)
    words = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:n].view(shape)
    # the 15 low bits minus the threshold are negative where the element is dropped: -1 after the shift, 0 elsewhere
    bits.bitwise_and_(_STEPS - 1).sub_(round(p * _STEPS)).bitwise_right_shift_(15)
    return bits.bitwise_not_().bitwise_and_(_BFLOAT16_ONE).view(torch.bfloat16).to(dtype)


def dropout(x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Like ``torch.nn.functional.dropout``."""
    if not training or p == 0:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, p)
    return x * keep_mask(x.shape, p, x.dtype) * (1 / (1 - p))


def add_dropped(residual: torch.Tensor, x: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Return ``residual + dropout(x)`` in the type of ``residual``."""
    if not training or p == 0:
        return residual + x
    if x.device.type != "cpu":
        return residual + functional.dropout(x, p)
    return torch.add(residual, x * keep_mask(x.shape, p, x.dtype), alpha=1 / (1 - p))


class FastDropout(nn.Dropout):
    """``torch.nn.Dropout`` by the function above."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop elements where the module is in training mode."""
        return dropout(input, self.p, self.training)


def use_fast_dropout(model: nn.Module) -> None:
    """Replace every ``nn.Dropout`` inside a model."""
    for parent in model.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, FastDropout(child.p))

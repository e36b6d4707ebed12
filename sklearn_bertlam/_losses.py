"""Binary cross-entropy with unknown labels, positive weights and sample weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class MaskedBCEWithLogitsLoss(nn.Module):
    """Weighted mean of the binary cross-entropy over the known entries of a batch.

    The paper's equation 8 with its labels the right way round. An entry of weight two counts as much as two entries of
    weight one, and an unknown entry (NaN) counts nothing and has no gradient.

    Parameters
    ----------
    pos_weight : Tensor of shape (K,) or None
        Factor on the loss of each label's positive entries.
    """

    pos_weight: torch.Tensor | None

    def __init__(self, pos_weight: torch.Tensor | None = None):
        super().__init__()
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, logits: torch.Tensor, targets: torch.Tensor, sample_weight: torch.Tensor) -> torch.Tensor:
        """Return a scalar from logits (B, K), targets (B, K) of 0, 1 and NaN, and weights (B,)."""
        known = ~torch.isnan(targets)  # (B, K)
        loss = binary_cross_entropy_with_logits(
            logits, torch.where(known, targets, 0.0), pos_weight=self.pos_weight, reduction="none"
        )  # (B, K)
        weight = known * sample_weight[:, None]  # (B, K)
        return (loss * weight).sum() / weight.sum().clamp_min(torch.finfo(loss.dtype).tiny)

"""Binary cross-entropy with unknown labels, positive weights and sample weights."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits


class MaskedBCEWithLogitsLoss(nn.Module):
    """Sum of the weighted binary cross-entropy over the known entries of a batch, divided by the size of the batch.

    The paper's equation 8 with its labels the right way round. An unknown entry (NaN) counts nothing and has no gradient.
    With weights from :func:`mean_one_weights`, the mean over all batches is the weighted mean over all known entries, so
    that a text of weight two counts as much as the text twice.

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
        return (loss * known * sample_weight[:, None]).sum() / targets.numel()


def mean_one_weights(sample_weight: np.ndarray, targets: sp.csr_array) -> np.ndarray:
    """Scale weights (n,) so that the entries of the targets (n, K) have a mean weight of 1, unknown ones counting as 0."""
    unknown_per_text = np.bincount(_rows_of_unknown(targets), minlength=targets.shape[0])
    known_weight = float(np.sum(sample_weight * (targets.shape[1] - unknown_per_text)))
    scale = targets.shape[0] * targets.shape[1] / known_weight if known_weight > 0 else 1.0
    return (sample_weight * scale).astype(np.float32)


def _rows_of_unknown(targets: sp.csr_array) -> np.ndarray:
    return np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr))[np.isnan(targets.data)]

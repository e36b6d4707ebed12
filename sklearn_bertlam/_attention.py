"""Equations 3 to 6 of the paper and their variants, on plain tensors.

B documents, L positions, K labels, H hidden units. All of it is computed in float32, because bfloat16 has a resolution of
0.004 near 1, which is as much as two cosines differ. Masks are True where a position may take attention.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize


def cosine_similarities(tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Equation 3: the cosine of every token with every label."""
    return normalize(tokens, dim=-1) @ normalize(labels, dim=-1).T  # (B, L, H) @ (H, K) -> (B, L, K)


def document_attention(similarities: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """Equations 4 and 5: one distribution over positions per document, from each token's best label."""
    best = similarities.amax(dim=2)  # (B, L)
    return (scale * best).masked_fill(~mask, -torch.inf).softmax(dim=1)  # (B, L)


def label_wise_attention(similarities: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """One distribution over positions per label."""
    return (scale * similarities).masked_fill(~mask[:, :, None], -torch.inf).softmax(dim=1)  # (B, L, K)


def mean_attention(mask: torch.Tensor) -> torch.Tensor:
    """Give the same weight to every position that may take attention."""
    return mask.float() / mask.sum(dim=1, keepdim=True)  # (B, L)


def pool(attention: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Equation 6: the weighted sum of the (not normalised) token vectors."""
    return (attention[:, None, :] @ tokens).squeeze(1)  # (B, 1, L) @ (B, L, H) -> (B, H)


def pool_per_label(attention: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Equation 6 once per label: each label's own weighted sum of the token vectors."""
    return attention.transpose(1, 2) @ tokens  # (B, K, L) @ (B, L, H) -> (B, K, H)

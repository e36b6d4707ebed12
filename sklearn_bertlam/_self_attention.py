"""Exact self-attention of packed texts: every token attends to the tokens of its own text and to no other.

T tokens of all texts one after another, h heads of d units. On CUDA torch's variable-length attention computes no padding.
On a CPU, texts of like length are taken a few at a time, so that their scores stay in the processor's cache, and padded to
one of a few lengths, because the library of the products compiles code for every shape that it meets, and keeps it. Training
has its attention written out here: the backward pass of ``scaled_dot_product_attention``, which predictions use, is several
times slower there. Attention weights are not dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

_SCORES_PER_GROUP = 2_500_000  # what fits into the cache
_ROUND_TO = 64
_SHORTEST = 8
_AMPERE, _LARGEST_HEAD = (8, 0), 256  # what the kernel of variable lengths needs


@dataclass(frozen=True)
class Group:
    """Some neighbouring texts that are padded to the same length.

    Attributes
    ----------
    tokens : slice
        Where their tokens are.
    n, length : int
        Number of texts, and the number of positions each is padded to.
    slots : Tensor of int64 or None
        The place of every token in the (n, length) grid; None where there is no padding.
    mask : Tensor of bool, shape (n, 1, 1, length), or None
        True for tokens, False for padding.
    """

    tokens: slice
    n: int
    length: int
    slots: torch.Tensor | None
    mask: torch.Tensor | None

    def pad(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, ...) -> (n, length, ...), with zeros for padding."""
        if self.slots is None:
            return x.view(self.n, self.length, *x.shape[1:])
        grid = x.new_zeros(self.n * self.length, *x.shape[1:])
        return grid.index_copy(0, self.slots, x).view(self.n, self.length, *x.shape[1:])

    def unpad(self, x: torch.Tensor) -> torch.Tensor:
        """(n, length, ...) -> (tokens, ...)."""
        x = x.reshape(self.n * self.length, *x.shape[2:])
        return x if self.slots is None else x[self.slots]


def group_texts(lengths: Sequence[int], heads: int, device: torch.device) -> list[Group]:
    """Cut texts, best given from long to short, into groups of like length and bounded size."""
    groups: list[Group] = []
    offsets = [0, *accumulate(lengths)]
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or not _belong_together(lengths[start : stop + 1], heads, device):
            groups.append(_group(lengths[start:stop], slice(offsets[start], offsets[stop]), device))
            start = stop
    return groups


def _belong_together(lengths: Sequence[int], heads: int, device: torch.device) -> bool:
    if device.type != "cpu":  # few and large groups, but no short label texts in rows as long as a document
        return 2 * lengths[-1] >= lengths[0]
    length = _rounded(lengths[0])
    return length == _rounded(lengths[-1]) and len(lengths) * heads * length**2 <= _SCORES_PER_GROUP


def _rounded(length: int) -> int:
    """Round up to a power of two, or to a multiple of 64."""
    return max(_SHORTEST, 1 << (length - 1).bit_length()) if length <= _ROUND_TO else -(-length // _ROUND_TO) * _ROUND_TO


def _group(lengths: Sequence[int], tokens: slice, device: torch.device) -> Group:
    n, length = len(lengths), _rounded(max(lengths))
    if n * length == tokens.stop - tokens.start:
        return Group(tokens, n, length, None, None)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]  # (n, length)
    slots = mask.flatten().nonzero().squeeze(1)
    return Group(tokens, n, length, slots.to(device), mask[:, None, None].to(device))


class SelfAttention:
    """The self-attention of one batch, the same in every layer of the encoder.

    Parameters
    ----------
    lengths : sequence of int
        Number of tokens of every text; their sum is T.
    heads : int
        h.
    device : torch.device
        Where the tokens are.
    """

    def __init__(self, lengths: Sequence[int], heads: int, device: torch.device):
        self.device = device
        self._varlen = _variable_length_attention(device) if device.type == "cuda" else None
        if self._varlen is not None:
            self.longest = max(lengths)
            self.offsets = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)
        self._lengths, self._heads = lengths, heads
        self._groups: list[Group] | None = None

    @property
    def groups(self) -> list[Group]:
        """The groups that the attention without variable lengths works through."""
        if self._groups is None:
            self._groups = group_texts(self._lengths, self._heads, self.device)
        return self._groups

    def __call__(self, qkv: torch.Tensor) -> torch.Tensor:
        """Attend.

        Parameters
        ----------
        qkv : Tensor of shape (T, 3, h, d)
            Queries, keys and values.

        Returns
        -------
        attended : Tensor of shape (T, h, d)
            The weighted sum of the values.
        """
        if self._varlen is not None and qkv.dtype in (torch.bfloat16, torch.float16) and _has_kernel_for(qkv.shape[-1]):
            q, k, v = qkv.unbind(dim=1)
            return self._varlen(q, k, v, self.offsets, self.offsets, self.longest, self.longest)
        if qkv.device.type == "cpu" and torch.is_grad_enabled() and qkv.requires_grad:
            return _GroupedAttention.apply(qkv, self.groups)
        return torch.cat([_padded_attention(qkv[group.tokens], group) for group in self.groups])


def _variable_length_attention(device: torch.device) -> Any:
    """Return torch's exact attention over packed sequences; None where torch, its build or the GPU has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    if not torch.backends.cuda.is_flash_attention_available() or torch.cuda.get_device_capability(device) < _AMPERE:
        return None
    return varlen_attn


def _has_kernel_for(head_size: int) -> bool:
    return head_size % 8 == 0 and head_size <= _LARGEST_HEAD


def _padded_attention(qkv: torch.Tensor, group: Group) -> torch.Tensor:
    is_alone = group.n == 1  # and needs no padding
    q, k, v = (qkv[None] if is_alone else group.pad(qkv)).permute(2, 0, 3, 1, 4)  # each (n, h, length, d)
    attended = scaled_dot_product_attention(q, k, v, attn_mask=None if is_alone else group.mask).transpose(1, 2)
    return attended[0] if is_alone else group.unpad(attended)


class _GroupedAttention(torch.autograd.Function):
    """softmax(q k' / sqrt(d)) v, group by group, with its derivative."""

    @staticmethod
    def forward(ctx: Any, qkv: torch.Tensor, groups: list[Group]) -> torch.Tensor:
        result = qkv.new_empty(qkv.shape[0], *qkv.shape[2:])  # (T, h, d)
        weights = []
        for group in groups:
            q, k, v = _heads_first(group, qkv)
            attention = _attention_weights(q, k, group)
            attended = (attention @ v).view(group.n, -1, *v.shape[1:])  # (n, h, length, d)
            result[group.tokens] = group.unpad(attended.transpose(1, 2))
            weights.append(attention)
        ctx.save_for_backward(qkv, *weights)
        ctx.groups = groups
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        qkv, *weights = ctx.saved_tensors
        result = torch.empty_like(qkv)
        for group, attention in zip(ctx.groups, weights, strict=True):
            grid = group.pad(result[group.tokens])  # a view where there is no padding
            for part, by_part in enumerate(_gradients(group, qkv, attention, gradients[0])):
                grid[:, :, part] = by_part.view(group.n, -1, *by_part.shape[1:]).transpose(1, 2)
            if group.slots is not None:
                result[group.tokens] = group.unpad(grid)
        return result, None


def _heads_first(group: Group, qkv: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield queries, keys and values, each of shape (n h, length, d)."""
    for x in group.pad(qkv[group.tokens]).permute(2, 0, 3, 1, 4):
        yield x.reshape(-1, *x.shape[2:])


def _attention_weights(q: torch.Tensor, k: torch.Tensor, group: Group) -> torch.Tensor:
    scores = _scaled_product(q, k.transpose(1, 2), q.shape[-1] ** -0.5)
    if group.mask is not None:
        scores.view(group.n, -1, *scores.shape[1:]).masked_fill_(~group.mask, -torch.inf)
    return scores.softmax(dim=-1)  # (n h, length, length)


def _gradients(
    group: Group, qkv: torch.Tensor, attention: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients by queries, keys and values, each of shape (n h, length, d)."""
    q, k, v = _heads_first(group, qkv)
    g = group.pad(gradient[group.tokens]).transpose(1, 2).reshape(v.shape)
    by_weights = g @ v.transpose(1, 2)  # (n h, length, length)
    by_scores = torch._softmax_backward_data(by_weights, attention, -1, attention.dtype)
    scale = q.shape[-1] ** -0.5
    by_q, by_k = _scaled_product(by_scores, k, scale), _scaled_product(by_scores.transpose(1, 2), q, scale)
    return by_q, by_k, attention.transpose(1, 2) @ g


def _scaled_product(a: torch.Tensor, b: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.baddbmm(a.new_empty(()), a, b, beta=0, alpha=scale)

"""Batches of texts of like length, padded to the longest of the batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from ._tokens import RaggedTokens

_BATCHES_PER_SORT = 50
_LENGTH_NOISE = 0.1
_PAD_TO_MULTIPLE = 8
_TOKENS_PER_PREDICTION_BATCH = 8192
_MOST_TEXTS_PER_PREDICTION_BATCH = 128


class TextDataset(Dataset):
    """Tokens with targets and weights.

    Parameters
    ----------
    tokens : RaggedTokens
        The token ids of n texts.
    targets : csr_array of float32, shape (n, K)
        Stored entries are 1 (the label applies) or NaN (unknown).
    sample_weight : ndarray of float32, shape (n,)
        The weight of each text in the loss.
    rows : ndarray of int, optional
        The texts that belong to this part of the data; all by default.
    """

    def __init__(
        self, tokens: RaggedTokens, targets: sp.csr_array, sample_weight: np.ndarray, rows: np.ndarray | None = None
    ):
        self.tokens = tokens
        self.targets = targets
        self.sample_weight = sample_weight
        self.rows = np.arange(len(tokens)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        return self.batch(np.array([index]))

    def part(self, rows: np.ndarray) -> TextDataset:
        """Return the data set of some of the rows; tokens and targets are shared, not copied."""
        return TextDataset(self.tokens, self.targets, self.sample_weight, self.rows[rows])

    @property
    def lengths(self) -> np.ndarray:
        return self.tokens.lengths[self.rows]

    @property
    def known_targets(self) -> sp.csr_array:
        return self.targets[self.rows]

    def batch(self, indices: np.ndarray) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
        """Return the module's input and (targets (B, K), weights (B,)) for some texts."""
        rows = self.rows[indices]
        targets = torch.from_numpy(self.targets[rows].toarray())
        return pad(self.tokens, rows), (targets, torch.from_numpy(self.sample_weight[rows]))


def pad(tokens: RaggedTokens, rows: np.ndarray) -> dict[str, torch.Tensor]:
    """Make a batch of B texts and L positions.

    Returns
    -------
    dict of Tensor, each of shape (B, L)
        ``input_ids`` (int64), ``attention_mask`` (int64, 1 for tokens, 0 for padding) and ``content_mask`` (bool, False for
        special tokens too; a text without any content keeps its first token).
    """
    starts, lengths = tokens.offsets[rows], tokens.lengths[rows]
    width = -(-max(lengths.max(), 1) // _PAD_TO_MULTIPLE) * _PAD_TO_MULTIPLE
    positions = np.arange(width)  # (L,)
    mask = positions < lengths[:, None]  # (B, L)
    content = mask & (positions >= tokens.n_prefix) & (positions < lengths[:, None] - tokens.n_suffix)  # (B, L)
    content[:, 0] |= ~content.any(axis=1)
    ids = np.full(mask.shape, tokens.pad_id, dtype=np.int64)
    ids[mask] = tokens.ids[(starts[:, None] + positions)[mask]]
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        "content_mask": torch.from_numpy(content),
    }


class TrainingBatches:
    """Random batches of texts of like length, new in every epoch.

    Texts are shuffled, sorted by slightly noisy length inside long runs, cut into batches, and the batches shuffled: as
    little padding as after sorting, without the same texts meeting in every epoch.
    """

    def __init__(self, dataset: TextDataset, batch_size: int, random_state: np.random.RandomState):
        self.dataset = dataset
        self.batch_size = batch_size
        self.random_state = random_state

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict, tuple]]:
        random = self.random_state
        order = random.permutation(len(self.dataset))
        noisy = self.dataset.lengths * random.uniform(1 - _LENGTH_NOISE, 1 + _LENGTH_NOISE, len(order))
        run = _BATCHES_PER_SORT * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(order), run):
            rows = order[start : start + run]
            rows = rows[np.argsort(noisy[rows])]
            batches.extend(rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size))
        for index in random.permutation(len(batches)):
            yield self.dataset.batch(batches[index])


class ValidationBatches:
    """The texts of a data set from long to short, in batches of bounded size."""

    def __init__(self, dataset: TextDataset, batch_size: int):
        self.dataset = dataset

    def __iter__(self) -> Iterator[tuple[dict, tuple]]:
        for indices in by_length(self.dataset.lengths):
            yield self.dataset.batch(indices)


def by_length(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Cut texts, longest first, into batches of a bounded number of tokens, padding included, and of texts."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        fitting = _TOKENS_PER_PREDICTION_BATCH // max(1, int(lengths[order[start]]))
        size = min(max(1, fitting), _MOST_TEXTS_PER_PREDICTION_BATCH)
        yield order[start : start + size]
        start += size

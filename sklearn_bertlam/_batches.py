"""Batches of texts of like length, packed: the tokens of all texts one after another, without padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
import torch
from torch.utils.data import Dataset

from ._tokens import RaggedTokens

_BATCHES_PER_SORT = 50
_LENGTH_NOISE = 0.1
_ROUND_TOKENS_TO = 128  # so that shapes repeat, which spares the libraries underneath from preparing for new ones
_ROUND_LENGTH_TO = 8
_MOST_PADDING = 2  # cells of the grid for each token that may be computed on at once
_FEWEST_TOKENS_COUNTED = 32
_MOST_VALUES_AT_ONCE = 2**25  # 128 MiB in float32


@dataclass(frozen=True)
class PackedTexts:
    """The tokens of B texts one after another, T in all, and the grid (B, L) that they fill where a text has a row.

    Attributes
    ----------
    ids : Tensor of int64, shape (T,)
        Token ids. The last few are filler, which belongs to no text.
    positions : Tensor of int64, shape (T,)
        The position of each token in its sequence.
    slots : Tensor of int64, shape (T,)
        The place of each token in the flattened grid; B L for filler, and where another window has the token.
    content_mask : Tensor of bool, shape (B, L)
        False for padding and special tokens; a text without any content keeps its first token.
    lengths : tuple of int
        Number of tokens of every sequence and, where there is filler, of the filler. A sequence is what the encoder reads
        at once: a text, or a window of a long one.
    n_sequences : int
        Number of sequences.
    pad_id : int
        The token id of padding.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    slots: torch.Tensor
    content_mask: torch.Tensor
    lengths: tuple[int, ...]
    n_sequences: int
    pad_id: int

    def __len__(self) -> int:
        return len(self.content_mask)

    def to(self, device: torch.device) -> PackedTexts:
        """Return the same texts on a device."""
        names = ("ids", "positions", "slots", "content_mask")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def to_grid(self, values: torch.Tensor, padding: float = 0.0) -> torch.Tensor:
        """Lay out values of tokens (T, ...) as (B, L, ...)."""
        n, length = self.content_mask.shape
        grid = values.new_full((n * length + 1, *values.shape[1:]), padding)
        return grid.index_copy(0, self.slots, values)[:-1].view(n, length, *values.shape[1:])


def pack(tokens: RaggedTokens, rows: np.ndarray) -> PackedTexts:
    """Take some texts, best given from long to short.

    A text that is longer than the encoder's window becomes several sequences. Where these overlap, a token's vector is
    taken from the one that it is further inside of, so that the grid has every token once.
    """
    lengths = tokens.lengths[rows]
    width = -(-int(max(lengths.max(), 1)) // _ROUND_LENGTH_TO) * _ROUND_LENGTH_TO
    columns = np.arange(width)  # (L,)
    content = (columns >= tokens.n_prefix) & (columns < lengths[:, None] - tokens.n_suffix)  # (B, L)
    content[:, 0] |= ~content.any(axis=1)
    windows = _windows(tokens, lengths)
    total = int(windows.lengths.sum())
    filler = -total % _ROUND_TOKENS_TO
    sequence = np.repeat(np.arange(len(windows.lengths)), windows.lengths)  # (total,)
    position = np.arange(total) - np.repeat(np.cumsum(windows.lengths) - windows.lengths, windows.lengths)  # (total,)
    place = windows.place(sequence, position)  # in the text
    text = windows.text[sequence]
    is_own = (place >= windows.first_own[sequence]) & (place < windows.last_own[sequence])
    slots = np.where(is_own, text * width + place, len(rows) * width)
    return PackedTexts(
        ids=_extended(tokens.ids[tokens.offsets[rows][text] + place], filler, tokens.pad_id),
        positions=_extended(position, filler, 0),
        slots=_extended(slots, filler, len(rows) * width),
        content_mask=torch.from_numpy(content),
        lengths=(*windows.lengths.tolist(), filler) if filler else tuple(windows.lengths.tolist()),
        n_sequences=len(windows.lengths),
        pad_id=tokens.pad_id,
    )


@dataclass(frozen=True)
class _Windows:
    """The sequences that the encoder reads, S in all: which part of which text each is, and which tokens are its own."""

    text: np.ndarray
    lengths: np.ndarray
    start: np.ndarray  # of the content, counted in the text
    first_own: np.ndarray
    last_own: np.ndarray  # exclusive
    n_prefix: int
    n_suffix: int
    text_lengths: np.ndarray

    def place(self, sequence: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return the place in its text of each token; special tokens are the text's own first and last ones."""
        place = self.start[sequence] + position - self.n_prefix
        from_end = self.lengths[sequence] - position  # 1 for the last token
        place = np.where(position < self.n_prefix, position, place)
        return np.where(from_end <= self.n_suffix, self.text_lengths[self.text[sequence]] - from_end, place)


def _windows(tokens: RaggedTokens, lengths: np.ndarray) -> _Windows:
    n_special = tokens.n_prefix + tokens.n_suffix
    if tokens.window is None or lengths.max(initial=0) <= tokens.window:
        zeros = np.zeros(len(lengths), dtype=np.int64)
        everything = np.arange(len(lengths)), lengths, zeros + tokens.n_prefix, zeros, lengths
        return _Windows(*everything, tokens.n_prefix, tokens.n_suffix, lengths)
    room = tokens.window - n_special
    step = room - tokens.stride
    n_windows = 1 + np.maximum(0, -(-(lengths - tokens.window) // step))  # (B,)
    text = np.repeat(np.arange(len(lengths)), n_windows)  # (S,)
    number = np.arange(len(text)) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    is_last = number == n_windows[text] - 1
    end = lengths[text] - tokens.n_suffix  # of the text's content
    start = np.where(is_last, np.maximum(tokens.n_prefix, end - room), tokens.n_prefix + number * step)
    stop = np.minimum(start + room, end)
    border = (start[1:] + stop[:-1]) // 2  # the middle of what two windows share
    first_own = np.where(number == 0, 0, np.r_[0, border])
    last_own = np.where(is_last, lengths[text], np.r_[border, 0])
    return _Windows(text, stop - start + n_special, start, first_own, last_own, tokens.n_prefix, tokens.n_suffix, lengths)


def _extended(values: np.ndarray, n: int, value: int) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([values, np.full(n, value)]).astype(np.int64))


@dataclass(frozen=True)
class TextRows:
    """Some of the texts of a collection, from long to short."""

    tokens: RaggedTokens
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def parts(self, most_tokens: int, values_per_text: int = 0) -> Iterator[tuple[slice, PackedTexts]]:
        """Cut into parts of at most so many tokens, but of one text at least; a short text counts as one of 32 tokens.

        Where short texts follow a long one, a part is also cut before its padding outgrows its tokens; and where much is
        computed for each text beside its tokens, before that does.
        """
        fewest = max(_FEWEST_TOKENS_COUNTED, most_tokens * values_per_text // _MOST_VALUES_AT_ONCE)
        sizes = np.maximum(self.tokens.lengths[self.rows], fewest)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        start = 0
        while start < len(self.rows):
            stop = int(np.searchsorted(offsets, offsets[start] + most_tokens, side="right")) - 1
            longest = max(1, int(self.tokens.lengths[self.rows[start]]))
            stop = min(stop, start + _MOST_PADDING * most_tokens // longest)
            part = slice(start, max(start + 1, stop))
            yield part, pack(self.tokens, self.rows[part])
            start = part.stop


Batch = tuple[TextRows, tuple[torch.Tensor, torch.Tensor]]


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

    def __getitem__(self, index: int) -> Batch:
        return self.batch(np.array([index]))

    def part(self, rows: np.ndarray) -> TextDataset:
        """Return the data set of some of the rows; tokens and targets are shared, not copied."""
        return TextDataset(self.tokens, self.targets, self.sample_weight, self.rows[rows])

    def with_tokens(self, tokens: RaggedTokens) -> TextDataset:
        """Return the data set with other tokens of the same texts."""
        return TextDataset(tokens, self.targets, self.sample_weight, self.rows)

    @property
    def lengths(self) -> np.ndarray:
        return self.tokens.lengths[self.rows]

    @property
    def known_targets(self) -> sp.csr_array:
        return self.targets[self.rows]

    def batch(self, indices: np.ndarray) -> Batch:
        """Return some texts, from long to short, with (targets (B, K), weights (B,))."""
        rows = self.rows[indices]
        rows = rows[np.argsort(-self.tokens.lengths[rows], kind="stable")]
        targets = torch.from_numpy(self.targets[rows].toarray())
        return TextRows(self.tokens, rows), (targets, torch.from_numpy(self.sample_weight[rows]))


class TrainingBatches:
    """Random batches of texts of like length, new in every epoch.

    Texts are shuffled, sorted by slightly noisy length inside long runs, cut into batches, and the batches shuffled: texts
    of a batch are of like length, without the same texts meeting in every epoch.

    Parameters
    ----------
    dataset : TextDataset
        The texts.
    batch_size : int
        Texts per batch, over all processes.
    random_state : RandomState
        Draws the order; in the same state in every process.
    process, n_processes : int
        Every process gets its share of every batch.
    skipped : list of int, optional
        Batches to leave out at the beginning of the next epoch, which a training that goes on has seen already; taken from
        the list once they were left out.
    """

    def __init__(
        self,
        dataset: TextDataset,
        batch_size: int,
        random_state: np.random.RandomState,
        process: int = 0,
        n_processes: int = 1,
        skipped: list[int] | None = None,
    ):
        self.dataset = dataset
        self.skipped = skipped
        self.batch_size = batch_size
        self.random_state = random_state
        self.process = process
        self.n_processes = n_processes

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        random = self.random_state
        order = random.permutation(len(self.dataset))
        noisy = self.dataset.lengths * random.uniform(1 - _LENGTH_NOISE, 1 + _LENGTH_NOISE, len(order))
        run = _BATCHES_PER_SORT * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(order), run):
            rows = order[start : start + run]
            rows = rows[np.argsort(noisy[rows])]
            batches.extend(rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size))
        first = self.skipped.pop() if self.skipped else 0
        for index in random.permutation(len(batches))[first:]:
            yield self.dataset.batch(batches[index][self.process :: self.n_processes])

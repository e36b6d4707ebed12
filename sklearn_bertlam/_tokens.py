"""Texts to token ids, kept ragged: one flat array and offsets, padded only when a batch is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ._forking import prepare_for_forks

_TEXTS_PER_CALL = 1024


@dataclass(frozen=True)
class RaggedTokens:
    """Token ids of n texts without padding.

    Attributes
    ----------
    ids : ndarray of int32, shape (total,)
        The token ids of all texts, one after another.
    offsets : ndarray of int64, shape (n + 1,)
        Text i has the ids ``ids[offsets[i]:offsets[i + 1]]``.
    n_prefix, n_suffix : int
        Number of special tokens that the tokenizer puts before and after every text, such as [CLS] and [SEP].
    pad_id : int
        The id that fills a batch.
    window : int or None, default=None
        The most tokens that the encoder reads at once; longer texts are read in several windows.
    stride : int, default=0
        The tokens that neighbouring windows share.
    cut : RaggedTokens or None, default=None
        What was left out of each text, where that was kept.
    n_after_cut : int, default=0
        Number of tokens of a text that come after what was left out of it.
    """

    ids: np.ndarray
    offsets: np.ndarray
    n_prefix: int
    n_suffix: int
    pad_id: int
    window: int | None = None
    stride: int = 0
    cut: RaggedTokens | None = None
    n_after_cut: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def whole_lengths(self) -> np.ndarray:
        """The lengths (n,) of the texts with what was left out of them."""
        return self.lengths if self.cut is None else self.lengths + self.cut.lengths

    def whole(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of some texts one after another, with what was left out in its place, and offsets (n + 1,)."""
        offsets = np.concatenate([[0], np.cumsum(self.whole_lengths[rows])])
        starts, lengths = self.offsets[rows], self.lengths[rows]
        if self.cut is None:
            return self.ids[_places(starts, lengths)], offsets
        n_cut = self.cut.lengths[rows]
        n_before = lengths - np.where(n_cut > 0, self.n_after_cut, 0)
        ids, middle = np.empty(offsets[-1], dtype=self.ids.dtype), offsets[:-1] + n_before
        ids[_places(offsets[:-1], n_before)] = self.ids[_places(starts, n_before)]
        ids[_places(middle, n_cut)] = self.cut.ids[_places(self.cut.offsets[rows], n_cut)]
        ids[_places(middle + n_cut, lengths - n_before)] = self.ids[_places(starts + n_before, lengths - n_before)]
        return ids, offsets


def _places(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the whole numbers from each start on, as many as its length, one range after another."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def tokenize(
    tokenizer,
    texts: list[str],
    max_length: int,
    *,
    long_text: str = "truncate",
    stride: int = 0,
    most_windows: int | None = None,
    keep_cut: bool = False,
) -> RaggedTokens:
    """Tokenize with special tokens.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
        The tokenizer.
    texts : list of str
        n texts.
    max_length : int
        The most tokens that the encoder reads at once, the special ones included.
    long_text : {"truncate", "head-tail", "windows"}, default="truncate"
        What is kept of a longer text: its beginning, as much of its beginning as of its end, or all of it.
    stride : int, default=0
        The tokens that neighbouring windows share.
    most_windows : int or None, default=None
        Cut texts that would need more windows.
    keep_cut : bool, default=False
        Whether to keep what is left out of longer texts beside what is read.

    Returns
    -------
    tokens : RaggedTokens
        The tokens of all texts.

    Raises
    ------
    ValueError
        If windows share all of their tokens.
    """
    prepare_for_forks()
    n_prefix, n_suffix = _count_special_tokens(tokenizer)
    room = max_length - n_prefix - n_suffix
    if long_text == "windows" and stride >= room:
        raise ValueError(
            f"stride={stride} leaves nothing new for the next window of max_length={max_length}, of which "
            f"{n_prefix + n_suffix} are special tokens. Use a stride below {room}."
        )
    most: int | None = max_length
    if long_text == "windows":
        most = None if most_windows is None else max_length + (most_windows - 1) * (room - stride)
    n_tail = n_suffix + (room // 2 if long_text == "head-tail" else 0)
    read, cut = _Collected(), _Collected()
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        part = [encodable(text) for text in texts[start : start + _TEXTS_PER_CALL]]
        encoded = _encode(tokenizer, part, return_attention_mask=False, return_token_type_ids=False)["input_ids"]
        read.extend([_cut(ids, most, n_tail) for ids in encoded])
        if keep_cut:
            cut.extend([_left_out(ids, most, n_tail) for ids in encoded])
    pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    window = max_length if long_text == "windows" else None
    rest = RaggedTokens(*cut.ragged(), 0, 0, pad_id) if keep_cut else None
    return RaggedTokens(*read.ragged(), n_prefix, n_suffix, pad_id, window, stride, rest, n_tail)


class _Collected:
    """Lists of token ids, one after another in few arrays."""

    def __init__(self) -> None:
        self.pieces = [np.empty(0, dtype=np.int32)]
        self.lengths = [0]

    def extend(self, texts: list[list[int]]) -> None:
        self.lengths.extend(map(len, texts))
        self.pieces.append(np.fromiter(chain.from_iterable(texts), dtype=np.int32))

    def ragged(self) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(self.pieces), np.cumsum(self.lengths, dtype=np.int64)


def words_of_tokens(
    tokenizer, text: str, max_length: int, long_text: str = "truncate"
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Tell which word each token of a text belongs to.

    Returns
    -------
    words : ndarray of int, shape (n_tokens,)
        The number of each token's word, in the order of ``tokenize``; -1 for special tokens.
    spans : list of (int, int)
        Where each word starts and stops in the text, also of words that were cut off.
    """
    n_prefix, n_suffix = _count_special_tokens(tokenizer)
    room = max_length - n_prefix - n_suffix
    encoded = _encode(tokenizer, text, return_offsets_mapping=True)
    numbers = [-1 if number is None else number for number in encoded.word_ids()]
    spans: dict[int, tuple[int, int]] = {}
    for number, (start, stop) in zip(numbers, encoded["offset_mapping"], strict=True):
        if number >= 0:
            spans[number] = (spans.get(number, (start, stop))[0], stop)
    order = {number: rank for rank, number in enumerate(sorted(spans))}
    words = [order.get(number, -1) for number in numbers]
    if long_text != "windows":
        words = _cut(words, max_length, n_suffix + (room // 2 if long_text == "head-tail" else 0))
    return np.array(words), [spans[number] for number in sorted(spans)]


def _encode(tokenizer, texts: str | list[str], **options):
    """Call a tokenizer without truncation, which it would keep as a state of its own that all threads share."""
    return tokenizer(texts, truncation=False, verbose=False, **options)


def _cut(ids: list[int], most: int | None, n_tail: int) -> list[int]:
    """Leave out of the middle what is too much."""
    return ids if most is None or len(ids) <= most else ids[: most - n_tail] + ids[len(ids) - n_tail :]


def _left_out(ids: list[int], most: int | None, n_tail: int) -> list[int]:
    return [] if most is None else ids[most - n_tail : len(ids) - n_tail]


def tokenize_ahead(tokenizer, chunks: Iterable[list[str]], **options) -> Iterator[RaggedTokens]:
    """Yield what ``tokenize`` returns for every chunk of texts, while a thread is at the next chunk."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as pool:
        waiting = None
        try:
            for chunk in chunks:
                coming = pool.submit(tokenize, tokenizer, chunk, **options)
                if waiting is not None:
                    yield waiting.result()
                waiting = coming
        except Exception:  # mostly a bad text, which does not spoil the ones before it
            if waiting is not None:
                yield waiting.result()
            raise
        if waiting is not None:
            yield waiting.result()


def _count_special_tokens(tokenizer) -> tuple[int, int]:
    special = _encode(tokenizer, "a", return_special_tokens_mask=True)["special_tokens_mask"]
    content = [position for position, is_special in enumerate(special) if not is_special]
    return content[0], len(special) - 1 - content[-1]


def encodable(text: str) -> str:
    """Replace lone surrogates, which tokenizers cannot take, by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

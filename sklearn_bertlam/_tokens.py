"""Texts to token ids, kept ragged: one flat array and offsets, padded only when a batch is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np

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
    """

    ids: np.ndarray
    offsets: np.ndarray
    n_prefix: int
    n_suffix: int
    pad_id: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)


def tokenize(tokenizer, texts: list[str], max_length: int) -> RaggedTokens:
    """Tokenize with special tokens and cut every text to at most ``max_length`` tokens, these included."""
    n_prefix, n_suffix = _count_special_tokens(tokenizer)
    pieces, lengths = [np.empty(0, dtype=np.int32)], [0]
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        encoded = tokenizer(
            [encodable(text) for text in texts[start : start + _TEXTS_PER_CALL]],
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        lengths.extend(map(len, encoded))
        pieces.append(np.fromiter(chain.from_iterable(encoded), dtype=np.int32))
    pad_id = 0 if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return RaggedTokens(np.concatenate(pieces), np.cumsum(lengths, dtype=np.int64), n_prefix, n_suffix, pad_id)


def tokenize_ahead(tokenizer, chunks: Iterable[list[str]], max_length: int) -> Iterator[RaggedTokens]:
    """Yield the tokens of every chunk of texts, while a thread is at the next chunk."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as pool:
        waiting = None
        for chunk in chunks:
            coming = pool.submit(tokenize, tokenizer, chunk, max_length)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def _count_special_tokens(tokenizer) -> tuple[int, int]:
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    content = [position for position, is_special in enumerate(special) if not is_special]
    return content[0], len(special) - 1 - content[-1]


def encodable(text: str) -> str:
    """Replace lone surrogates, which tokenizers cannot take, by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text

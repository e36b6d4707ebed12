"""Files of pretrained word vectors: the text and binary formats of word2vec, as gensim writes them, and GloVe's text."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_bertlam.exceptions import WordVectorsError


def load_word_vectors(path: str | os.PathLike, vocabulary: dict[str, int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the vectors of some words.

    Parameters
    ----------
    path : str or path-like
        A text file with a word and its numbers on each line, with or without a first line of their counts, or a binary
        file (``.bin``) as word2vec and gensim write it. Either may be compressed (``.gz``).
    vocabulary : dict of str to int
        The wanted words and their rows.
    size : int
        Numbers per vector.

    Returns
    -------
    rows : ndarray of int, shape (n_found,)
        The rows of the words that are in the file.
    vectors : ndarray of float32, shape (n_found, size)
        Their vectors.

    Raises
    ------
    WordVectorsError
        If the file cannot be read, is not in such a format, or has vectors of another size.
    """
    file_name = os.fspath(path)
    is_binary = file_name.removesuffix(".gz").endswith(".bin")
    try:
        with gzip.open(file_name) if file_name.endswith(".gz") else open(file_name, "rb") as file:
            found = dict((_read_binary if is_binary else _read_text)(file, Path(file_name).name, vocabulary, size))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise WordVectorsError(f"word_vectors={file_name!r} cannot be read: {reason}.") from error
    rows = np.fromiter(found, dtype=np.int64, count=len(found))
    return rows, np.array(list(found.values()), dtype=np.float32).reshape(len(found), size)


def _read_text(file: Any, name: str, vocabulary: dict[str, int], size: int) -> Iterator[tuple[int, np.ndarray]]:
    for number, line in enumerate(file, start=1):
        fields = line.decode("utf-8", "replace").rstrip().split(" ")
        if number == 1 and len(fields) == 2 and fields[0].isdigit():
            _check_size(int(fields[1]) if fields[1].isdigit() else -1, size, name)
            continue
        if number <= 2:
            _check_size(len(fields) - 1, size, name)
        word, numbers = " ".join(fields[:-size]), fields[-size:]  # a word may hold spaces
        if word not in vocabulary:
            continue
        try:
            vector = np.array(numbers, dtype=np.float32)
        except ValueError:
            vector = np.empty(0, dtype=np.float32)
        if len(vector) != size or not np.isfinite(vector).all():
            raise WordVectorsError(f"{name}, line {number}: expected a word and {size} numbers, got {line[:60]!r}.")
        yield vocabulary[word], vector


def _read_binary(file: Any, name: str, vocabulary: dict[str, int], size: int) -> Iterator[tuple[int, np.ndarray]]:
    header = file.readline(100).split()
    if len(header) != 2 or not all(field.isdigit() for field in header):
        raise WordVectorsError(f"{name} does not start with the number of words and the size of their vectors.")
    _check_size(int(header[1]), size, name)
    for number in range(int(header[0])):
        word = _read_word(file)
        values = file.read(4 * size)
        if len(values) < 4 * size:
            raise WordVectorsError(f"{name} ends within word {number + 1} of {int(header[0])}.")
        row = vocabulary.get(word)
        if row is not None:
            yield row, np.frombuffer(values, dtype="<f4")


def _read_word(file: Any) -> str:
    word = bytearray()
    while (byte := file.read(1)) not in (b" ", b""):
        if byte != b"\n":  # some writers end every vector with a new line
            word += byte
    return word.decode("utf-8", "replace")


def _check_size(found: int, size: int, name: str) -> None:
    if found != size:
        raise WordVectorsError(f"{name} holds vectors of {found} numbers; set embedding_size={found} (it is {size}).")

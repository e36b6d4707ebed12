"""What a classifier's ONNX file holds besides the graph, as text in the model's metadata."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from ._files import sha256
from .exceptions import OnnxFileError

FORMAT, FORMAT_VERSION = "sklearn-bertlam", 1
CHECKSUM, WEIGHTS = "checksum", "weights"  # entries beside those of OnnxMetadata; the latter names a second file
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "logits"
COUNT_INPUTS = ("piece_ids", "piece_counts")  # of whole texts, each word-piece once, where the file counts them
_REWRITE = "Write it with BertLamClassifier.to_onnx"


@dataclass(frozen=True)
class OnnxMetadata:
    """All that prediction needs to know besides the weights.

    Attributes
    ----------
    classes : list of str or int
        The labels.
    threshold : float or list of float
        The threshold of all labels, or of each.
    max_length : int
        Tokens that are read of a text.
    pad_id : int
        The token id that fills a batch.
    sparse_output : bool
        Whether predict returns a sparse array.
    cardinality : (list of float, list of bool) or None
        By how much each number of labels is more frequent than by chance, as a logarithm, and which labels have been
        counted; see ``_cardinality.adjust``.
    n_pieces : int
        The size of the vocabulary, where word-pieces are counted; else 0.
    pairs : list of int
        The pairs of word-pieces that are counted, first times ``n_pieces`` plus second, in ascending order; the input names
        them ``n_pieces`` plus their place in this list.
    tokenizer : str
        The tokenizer, which truncates at ``max_length``, as the tokenizers library writes it.
    package_version : str
        The version of this package that wrote the file.
    """

    classes: list[str | int]
    threshold: float | list[float]
    max_length: int
    pad_id: int
    sparse_output: bool
    cardinality: tuple[list[float], list[bool]] | None
    n_pieces: int
    pairs: list[int]
    tokenizer: str
    package_version: str

    def to_properties(self) -> dict[str, str]:
        """Return the entries of the model's metadata."""
        values = {name: json.dumps(value) for name, value in vars(self).items()}
        return {"format": FORMAT, "format_version": str(FORMAT_VERSION), **values}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], path: str) -> OnnxMetadata:
        """Read the entries of the model's metadata; ``path`` is for the message where they are not as expected."""
        if properties.get("format") != FORMAT:
            raise OnnxFileError(
                f"{path!r} is an ONNX model of something else: its metadata has format={properties.get('format')!r}, "
                f"not {FORMAT!r}. {_REWRITE}."
            )
        if properties.get("format_version") != str(FORMAT_VERSION):
            raise OnnxFileError(
                f"{path!r} has format version {properties.get('format_version')}, written by sklearn-bertlam "
                f"{properties.get('package_version')}, but version {FORMAT_VERSION} is read here. {_REWRITE} of the version "
                "that is installed here, or install the version that wrote the file."
            )
        try:
            return cls(**{name: json.loads(properties[name]) for name in cls.__dataclass_fields__})
        except (KeyError, ValueError) as error:
            raise incomplete_file(path, f"metadata entry {error}") from error


def seal(path: str | os.PathLike, placeholder: str, weights: str | None) -> None:
    """Write the hash of a file, and of the file of weights beside it, where the placeholder stands."""
    whole = _checksum(path, placeholder, weights)
    with open(path, "r+b") as file, mmap(file.fileno(), 0) as content:
        place = content.find(placeholder.encode())
        content[place : place + len(whole)] = whole.encode()


def check_whole(path: str, properties: Mapping[str, str]) -> None:
    """Refuse a file whose hash is not the one that it holds; one without any was written before there was one."""
    written = properties.get(CHECKSUM)
    if written is None:
        return
    try:
        found = _checksum(path, written, properties.get(WEIGHTS))
    except (OSError, ValueError):  # there are no such weights
        found = None
    if written != found:
        raise OnnxFileError(
            f"{path!r} is not the file that was written: truncated or changed. {_REWRITE} again. "
            f"Where a tool has changed it on purpose, remove the entry {CHECKSUM!r} of its metadata."
        )


def _checksum(path: str | os.PathLike, in_its_place: str, weights: str | None) -> str:
    """Return the hash of a file, with zeros where it holds the hash itself, and of the file of weights beside it."""
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content, memoryview(content) as view:
        place = content.find(in_its_place.encode())
        digest = hashlib.sha256(view[:place])
        digest.update(b"0" * len(in_its_place))
        digest.update(view[place + len(in_its_place) :])
    if weights is not None:
        digest.update(sha256(Path(path).with_name(Path(weights).name)).encode())
    return digest.hexdigest()


def incomplete_file(path: str, found: object) -> OnnxFileError:
    """Return the error for a file that is damaged or no ONNX model at all."""
    return OnnxFileError(f"{path!r} is truncated, damaged or not an ONNX model ({found}). {_REWRITE} again.")


def require(user: str, *modules: str) -> list[Any]:
    """Import optional dependencies, or say which extra has them."""
    imported = []
    for module in modules:
        try:
            imported.append(importlib.import_module(module))
        except ImportError as error:
            raise ImportError(
                f"{user} needs {' and '.join(modules)}, but {module} could not be imported ({error}). "
                "Install what is missing with: pip install 'sklearn-bertlam[onnx]'"
            ) from error
    return imported

"""What all readers share: lines of a file, label lists to an indicator, and one shape for data with splits."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from ..exceptions import DatasetFormatError

SPLITS = ("train", "val", "test")


def read_lines(file: Path) -> Iterator[str]:
    """Read the lines of a file, plain or with the ending .gz."""
    encoding = "utf-8-sig"  # with or without the mark that some editors put first
    opened = gzip.open(file, "rt", encoding=encoding) if file.suffix == ".gz" else file.open(encoding=encoding)
    try:
        with opened as lines:
            yield from lines
    except UnicodeDecodeError as error:
        raise DatasetFormatError(
            f"{file}: is not UTF-8 ({error}). Save it as UTF-8; what is compressed has to end in .gz."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetFormatError(f"{file}: cannot be read to its end ({error}). Is it complete?") from error


def encode_labels(label_lists: Iterable[Iterable[str]], target_names: Sequence[str]) -> sp.csr_array:
    """Return the indicator (n, K) of lists of labels that are all in ``target_names``."""
    binarizer = MultiLabelBinarizer(classes=list(target_names), sparse_output=True)
    return sp.csr_array(binarizer.fit_transform(label_lists)).astype(np.int64)


def sorted_by_count(label_lists: Iterable[Iterable[str]]) -> list[str]:
    """Return the distinct labels, the most frequent first, and alphabetically among equals."""
    counts: dict[str, int] = {}
    for labels in label_lists:
        for label in set(labels):
            counts[label] = counts.get(label, 0) + 1
    return sorted(counts, key=lambda label: (-counts[label], label))


def split_bunch(splits: dict[str, tuple[list[str], list[list[str]]]], label_descriptions: dict[str, str]) -> Bunch:
    """Make the Bunch that every reader of a data set with splits returns.

    The labels are those described; without descriptions those of all splits, the most frequent in training first.
    """
    target_names = list(label_descriptions) or _label_names(splits)
    if not splits["train"][0] or not target_names:
        raise DatasetFormatError("The training split has no document, or there is no label in any split.")
    parts = {name: Bunch(data=texts, target=encode_labels(labels, target_names)) for name, (texts, labels) in splits.items()}
    return Bunch(**parts, target_names=np.array(target_names, dtype=object), label_descriptions=label_descriptions)


def _label_names(splits: dict[str, tuple[list[str], list[list[str]]]]) -> list[str]:
    names = sorted_by_count(splits["train"][1])
    known = set(names)
    others = sorted_by_count(labels for _, label_lists in splits.values() for labels in label_lists)
    return names + [label for label in others if label not in known]

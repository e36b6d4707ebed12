"""What all readers share: label lists to an indicator, and one shape for data with published splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch


def encode_labels(label_lists: Iterable[Iterable[str]], target_names: Sequence[str]) -> sp.csr_array:
    """Return the indicator (n, K) of lists of labels that are all in ``target_names``."""
    binarizer = MultiLabelBinarizer(classes=list(target_names), sparse_output=True)
    return sp.csr_array(binarizer.fit_transform(label_lists)).astype(np.int64)


def sorted_by_count(label_lists: Iterable[Iterable[str]]) -> list[str]:
    """Return the distinct labels, the most frequent first, and alphabetically among equals."""
    counts: dict[str, int] = {}
    for labels in label_lists:
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
    return sorted(counts, key=lambda label: (-counts[label], label))


def split_bunch(
    splits: dict[str, tuple[list[str], list[list[str]]]], target_names: Sequence[str], label_descriptions: dict[str, str]
) -> Bunch:
    """Make the Bunch that every reader of a data set with splits returns."""
    parts = {name: Bunch(data=texts, target=encode_labels(labels, target_names)) for name, (texts, labels) in splits.items()}
    return Bunch(**parts, target_names=np.array(target_names, dtype=object), label_descriptions=label_descriptions)

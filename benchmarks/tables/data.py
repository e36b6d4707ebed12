"""Find out what a folder holds, and make train, val and test of it."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from sklearn_bertlam.datasets import load_aapd, load_jsonl_dir, load_rcv1_v2
from sklearn_bertlam.exceptions import BertLamError

_MOST_VALIDATION = 1000
_PUBLISHED_AAPD_TRAIN = 53_840
_PAPER_NAMES = {"aapd": "aapd", "rcv1": "rcv1-v2", "rcv1-v2": "rcv1-v2"}


@dataclass(frozen=True)
class Documents:
    """Texts with their indicators, and what has to be said about them.

    Attributes
    ----------
    train, val, test : tuple of (list of str, csr_array)
        The splits.
    descriptions : dict of str to str
        The text of each label, in the order of the columns.
    remarks : tuple of str
        Sentences for the report.
    """

    train: tuple[list[str], Any]
    val: tuple[list[str], Any]
    test: tuple[list[str], Any]
    descriptions: dict[str, str]
    remarks: tuple[str, ...]

    def describe(self) -> dict[str, int | str]:
        """Return the sizes of the splits, and a checksum that other documents, labels or descriptions would not have."""
        checksum = zlib.crc32(json.dumps(self.descriptions).encode())
        sizes: dict[str, int | str] = {}
        for name, (texts, target) in {"train": self.train, "val": self.val, "test": self.test}.items():
            sizes[name] = len(texts)
            target = sp.csr_array(target)
            for content in (*(text.encode("utf-8", "surrogatepass") for text in texts), target.indices, target.indptr):
                checksum = zlib.crc32(content, checksum)
        return sizes | {"checksum": f"{checksum:08x}"}


def data_name(folder: Path) -> str:
    """Return "aapd" or "rcv1-v2" where the folder is named after the paper's data, else the folder's name."""
    name = folder.resolve().name
    if any(folder.glob("lyrl2004_tokens_*")):
        return "rcv1-v2-lyrl2004"  # another split, whose figures do not compare with the paper's
    return _PAPER_NAMES.get(name.lower(), name)


def load_documents(folder: Path, train_size: int | None) -> Documents:
    """Read a folder of JSON lines, of SGM's files or of LYRL2004's, and cut the training documents to ``train_size``."""
    name = data_name(folder)
    try:
        data = _read(folder, name)
    except BertLamError as error:
        raise SystemExit(str(error)) from error
    remarks = []
    if "test" not in data:
        raise SystemExit(f"{folder} has no test split; systems are compared on test.jsonl or test.jsonl.gz.")
    train, test = (data.train.data, data.train.target), (data.test.data, data.test.target)
    if name == "aapd" and len(train[0]) != _PUBLISHED_AAPD_TRAIN:
        remarks.append(
            f"Published AAPD test, reconstructed train ({len(train[0]):,} documents). The paper's systems learned from the "
            f"published {_PUBLISHED_AAPD_TRAIN:,}, so compare the systems here with each other."
        )
    if "val" in data:
        val = data.val.data, data.val.target
    else:
        train, val = _cut_off_validation(*train)
        remarks.append(
            f"There was no val split: {len(val[0]):,} training documents, drawn with seed 0, were set aside to tune on."
        )
    if train_size is not None and train_size < len(train[0]):
        rows = np.random.RandomState(0).permutation(len(train[0]))[:train_size]  # the same for all systems
        train = _rows(*train, rows)
        remarks.append(f"All systems learned from the same {train_size:,} training documents, drawn with seed 0.")
    for split, (texts, _) in {"train": train, "val": val, "test": test}.items():
        if not texts:
            raise SystemExit(f"The {split} split of {folder} has no document.")
    seen = np.asarray(train[1].sum(axis=0)).ravel()
    unseen = data.target_names[(seen == 0) & (np.asarray(test[1].sum(axis=0)).ravel() > 0)]
    if len(unseen):
        names = ", ".join(map(str, unseen[:10])) + (", ..." if len(unseen) > 10 else "")
        remarks.append(
            f"{len(unseen)} label(s) of test are in no training document, and can be found only by their texts: {names}."
        )
    descriptions = {name: data.label_descriptions.get(name, name) for name in data.target_names}
    return Documents(train, val, test, descriptions, tuple(remarks))


def _read(folder: Path, name: str) -> Any:
    if name == "rcv1-v2-lyrl2004":
        return load_rcv1_v2(folder)
    if (folder / "text_train").is_file():
        return load_rcv1_v2(folder) if "rcv1" in name.lower() else load_aapd(folder)
    return load_jsonl_dir(folder)


def _cut_off_validation(texts: list[str], target: Any) -> tuple[Any, Any]:
    order = np.random.RandomState(0).permutation(len(texts))
    n = min(_MOST_VALIDATION, -(-len(texts) // 10))
    return _rows(texts, target, np.sort(order[n:])), _rows(texts, target, np.sort(order[:n]))


def _rows(texts: list[str], target: Any, rows: np.ndarray) -> tuple[list[str], Any]:
    return [texts[row] for row in rows], target[rows]

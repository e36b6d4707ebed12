"""Folders of JSON lines: the plain format for data of one's own."""

from __future__ import annotations

import json
from pathlib import Path

from sklearn.utils import Bunch

from ..exceptions import DatasetFormatError, DatasetNotFoundError
from ._indicator import SPLITS, read_lines, split_bunch

_SUFFIXES = (".jsonl", ".jsonl.gz")


def load_jsonl_dir(path) -> Bunch:
    """Read a folder with train, val and test files of JSON lines.

    Every line is an object ``{"text": str, "labels": [str, ...]}``; further fields are ignored. The files are named
    ``train.jsonl`` or ``train.jsonl.gz``, and so on; ``val`` and ``test`` may be missing. ``labels.json``, an object from
    label to description, gives the order of the labels; without it the labels are those of all splits, the most
    frequent in training first.

    Parameters
    ----------
    path : str or path-like
        The folder.

    Returns
    -------
    data : Bunch
        With the fields

        train, val, test : Bunch
            ``data`` (list of n str) and ``target`` (csr_array of int, shape (n, K)) of each split that is there.
        target_names : ndarray of str, shape (K,)
            The labels.
        label_descriptions : dict of str to str
            Text of each label; empty without ``labels.json``.

    Raises
    ------
    DatasetNotFoundError
        If the folder or its training file is missing.
    DatasetFormatError
        If a line cannot be read, or has a label that ``labels.json`` has not; it names the file and the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_bertlam.datasets import load_jsonl_dir
    >>> folder = Path(tempfile.mkdtemp())
    >>> written = (folder / "train.jsonl").write_text('{"text": "red wine", "labels": ["wine", "red"]}')
    >>> data = load_jsonl_dir(folder)
    >>> data.train.data, data.train.target.toarray(), data.target_names.tolist()
    (['red wine'], array([[1, 1]]), ['red', 'wine'])
    """
    folder = Path(path)
    if not folder.is_dir():
        raise DatasetNotFoundError(f"There is no folder {str(folder)!r}. It should hold train.jsonl or train.jsonl.gz.")
    descriptions = _read_descriptions(folder / "labels.json")
    splits = {}
    for name in SPLITS:
        file = next((folder / (name + suffix) for suffix in _SUFFIXES if (folder / (name + suffix)).is_file()), None)
        if file is not None:
            splits[name] = _read_split(file, descriptions)
    if "train" not in splits:
        found = sorted(file.name for file in folder.iterdir())
        raise DatasetNotFoundError(f"{str(folder)!r} has neither train.jsonl nor train.jsonl.gz; it holds {found}.")
    return split_bunch(splits, descriptions)


def _read_descriptions(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    try:
        descriptions = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DatasetFormatError(f"{file}: not valid JSON ({error}).") from error
    if not isinstance(descriptions, dict) or not all(isinstance(text, str) for text in descriptions.values()):
        raise DatasetFormatError(f"{file}: expected one object from label to description, both strings.")
    return descriptions


def _read_split(file: Path, descriptions: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    texts, label_lists = [], []
    for number, line in enumerate(read_lines(file), start=1):
        if not line.strip():
            continue
        text, labels = _parse(line, f"{file}, line {number}")
        unknown = [label for label in labels if descriptions and label not in descriptions]
        if unknown:
            raise DatasetFormatError(f"{file}, line {number}: label {unknown[0]!r} is not in labels.json.")
        texts.append(text)
        label_lists.append(labels)
    return texts, label_lists


def _parse(line: str, place: str) -> tuple[str, list[str]]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DatasetFormatError(f"{place}: not valid JSON ({error}).") from error
    text = row.get("text") if isinstance(row, dict) else None
    labels = row.get("labels") if isinstance(row, dict) else None
    if not isinstance(text, str) or not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise DatasetFormatError(f'{place}: expected {{"text": str, "labels": [str, ...]}}, got {line.strip():.80}')
    return text, labels

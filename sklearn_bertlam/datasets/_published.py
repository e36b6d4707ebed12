"""Readers for AAPD and RCV1-v2 in the file formats that they are published in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sklearn.utils import Bunch

from ..exceptions import DatasetFormatError, DatasetNotFoundError
from ._indicator import SPLITS, read_lines, split_bunch

_SGM_SOURCE = (
    "The authors of SGM (Yang et al., COLING 2018) link the files, text_train, label_train and so on, "
    "from the README of their repository lancopku/SGM on GitHub."
)
_LYRL_SOURCE = (
    "The token files lyrl2004_tokens_train.dat and lyrl2004_tokens_test_pt0.dat to pt3.dat and the file "
    "rcv1-v2.topics.qrels are online appendices 12 and 8 of Lewis et al., JMLR 5 (2004)."
)


def load_aapd(path) -> Bunch:
    """Read AAPD, 55,840 abstracts of computer-science papers with 54 subjects, as published with SGM.

    Parameters
    ----------
    path : str or path-like
        Folder with ``text_train``, ``label_train``, ``text_val``, ``label_val``, ``text_test`` and ``label_test``: a
        document a line, and its labels, separated by spaces, on the same line of the other file.

    Returns
    -------
    data : Bunch
        As of :func:`load_jsonl_dir`, without descriptions; the labels in descending training frequency.

    Raises
    ------
    DatasetNotFoundError
        If a file is missing; it says where the data can be had.
    DatasetFormatError
        If a text file and its label file do not have the same number of lines.

    References
    ----------
    .. [1] P. Yang et al., "SGM: Sequence Generation Model for Multi-label Classification", COLING 2018.

    Examples
    --------
    >>> from sklearn_bertlam.datasets import load_aapd
    >>> data = load_aapd("data/aapd")  # doctest: +SKIP
    >>> len(data.train.data), data.test.target.shape  # doctest: +SKIP
    (53840, (1000, 54))
    """
    return _load_sgm(Path(path))


def load_rcv1_v2(path) -> Bunch:
    """Read RCV1-v2, 804,414 newswire stories with 103 topics, from SGM's files or from the LYRL2004 token files.

    SGM's files have a random split (802,414 / 1,000 / 1,000). The LYRL2004 files have a split by time (23,149 / 781,265, no
    validation part). Figures on one do not compare with figures on the other.

    Parameters
    ----------
    path : str or path-like
        Folder with SGM's six files (see :func:`load_aapd`), or with ``lyrl2004_tokens_*.dat`` and
        ``rcv1-v2.topics.qrels``, which may be compressed as ``.gz``.

    Returns
    -------
    data : Bunch
        As of :func:`load_jsonl_dir`, without descriptions; the labels in descending training frequency.

    Raises
    ------
    DatasetNotFoundError
        If files are missing; it says where the data can be had.
    DatasetFormatError
        If a file does not have the expected format; it names the file and the line.

    References
    ----------
    .. [1] D. Lewis et al., "RCV1: A New Benchmark Collection for Text Categorization Research", JMLR 5, 2004.

    Examples
    --------
    >>> from sklearn_bertlam.datasets import load_rcv1_v2
    >>> data = load_rcv1_v2("data/rcv1-v2")  # doctest: +SKIP
    >>> len(data.train.data), data.test.target.shape  # doctest: +SKIP
    (802414, (1000, 103))
    """
    folder = Path(path)
    if any(folder.glob("lyrl2004_tokens_*")):
        return _load_lyrl(folder)
    return _load_sgm(folder, more_places=" " + _LYRL_SOURCE)


def _load_sgm(folder: Path, more_places: str = "") -> Bunch:
    splits = {}
    for name in SPLITS:
        files = folder / f"text_{name}", folder / f"label_{name}"
        for file in files:
            if not file.is_file():
                raise DatasetNotFoundError(f"There is no file {str(file)!r}. {_SGM_SOURCE}{more_places}")
        texts, labels = ([line.rstrip("\n") for line in read_lines(file)] for file in files)
        if len(texts) != len(labels):
            raise DatasetFormatError(f"{files[0]} has {len(texts)} lines but {files[1]} has {len(labels)}.")
        splits[name] = texts, [line.split() for line in labels]
    return split_bunch(splits, {})


def _load_lyrl(folder: Path) -> Bunch:
    topics = _read_topics(_plain_or_gz(folder / "rcv1-v2.topics.qrels"))
    splits = {}
    parts = {"train": ["train"], "test": [f"test_pt{part}" for part in range(4)]}
    for name, pieces in parts.items():
        texts, labels = [], []
        for piece in pieces:
            file = _plain_or_gz(folder / f"lyrl2004_tokens_{piece}.dat")
            for number, text in _read_documents(file):
                if number not in topics:
                    raise DatasetFormatError(f"{file}: document {number} has no topic in rcv1-v2.topics.qrels.")
                texts.append(text)
                labels.append(topics[number])
        splits[name] = texts, labels
    return split_bunch(splits, {})


def _plain_or_gz(file: Path) -> Path:
    for candidate in (file, file.with_name(file.name + ".gz")):
        if candidate.is_file():
            return candidate
    raise DatasetNotFoundError(f"There is no file {str(file)!r}, with or without .gz. {_LYRL_SOURCE}")


def _read_topics(file: Path) -> dict[str, list[str]]:
    """Read lines of topic, document number and 1."""
    topics: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3:
            raise DatasetFormatError(f"{file}, line {number}: expected 'topic document 1', got {line.strip():.80}")
        topics.setdefault(fields[1], []).append(fields[0])
    return topics


def _read_documents(file: Path) -> Iterator[tuple[str, str]]:
    """Read ``.I number``, ``.W`` and lines of tokens, up to the next ``.I``."""
    number: str | None = None
    words: list[str] = []
    for line_number, line in enumerate(read_lines(file), start=1):
        line = line.strip()
        if line.startswith(".I"):
            if number is not None:
                yield number, " ".join(words)
            number, words = line[2:].strip(), []
        elif number is None and line:
            raise DatasetFormatError(f"{file}, line {line_number}: expected '.I' and a document number, got {line:.80}")
        elif line and line != ".W":
            words.append(line)
    if number is not None:
        yield number, " ".join(words)

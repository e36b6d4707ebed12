"""Prediction from an ONNX file, with neither torch nor transformers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, NamedTuple

import joblib
import numpy as np
import scipy.sparse as sp
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from ._cardinality import adjust
from ._files import paths_as_text
from ._multilabel import MultilabelClassifierMixin
from ._onnx_format import COUNT_INPUTS, INPUTS, OUTPUT, OnnxMetadata, check_whole, incomplete_file, require
from ._terms import pairs_of, places_of
from ._tokens import encodable
from ._validation import check_texts, check_threshold, object_array
from .exceptions import OnnxFileError

__all__ = ["OnnxBertLamClassifier"]

_TEXTS_PER_CHUNK = 16384
_SCORES_PER_CHUNK = 2**24
_TOKENS_PER_BATCH = 4096
_FEWEST_TOKENS_COUNTED = 32
_MOST_LABEL_VECTORS = 2**15  # a text has one for each label
_MOST_WEIGHTS = 2**24  # a text has one for each label and term
_ROUND_LENGTH_TO = 8


class _OpenFile(NamedTuple):
    parameters: tuple
    session: Any
    tokenizer: Any
    metadata: OnnxMetadata
    pairs: np.ndarray


class _Text(NamedTuple):
    ids: np.ndarray  # as far as the network reads
    terms: np.ndarray  # word-pieces and known pairs of the whole text, each of them once
    counts: np.ndarray


class OnnxBertLamClassifier(MultilabelClassifierMixin, BaseEstimator):
    """A BertLamClassifier that was fitted elsewhere, read from an ONNX file.

    It predicts what the classifier that wrote the file predicts in float32, and needs numpy, scipy, scikit-learn,
    onnxruntime and tokenizers only. The file is opened when it is first needed. Copies and pickles hold the path, not the
    weights.

    Parameters
    ----------
    path : str or path-like
        A file that ``BertLamClassifier.to_onnx`` wrote.
    threshold : float, array-like of shape (n_labels,) or None, default=None
        A label is predicted where its probability is above the threshold. None takes the one in the file.
    n_threads : int or None, default=None
        Threads to compute with. None takes ``OMP_NUM_THREADS`` where it is set, as joblib does for its workers, and all
        processors otherwise.

    Attributes
    ----------
    classes_ : ndarray of shape (n_labels,)
        The labels.
    n_labels_ : int
        Number of labels.
    threshold_ : float or ndarray of shape (n_labels,)
        The threshold that predict uses.
    sparse_output_ : bool
        Whether predict returns a sparse array.

    See Also
    --------
    BertLamClassifier.to_onnx : Writes the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_bertlam import BertLamClassifier
    >>> from sklearn_bertlam.onnx import OnnxBertLamClassifier
    >>> clf = BertLamClassifier(label_names=["wine", "car"], max_epochs=0, random_state=0)
    >>> clf = clf.fit(["red wine", "white wine", "red car"], [[1, 0], [1, 0], [0, 1]])
    >>> path = Path(tempfile.mkdtemp()) / "wine.onnx"
    >>> clf.to_onnx(path)
    >>> OnnxBertLamClassifier(path).predict_proba(["a glass of wine"]).shape
    (1, 2)
    """

    _parameter_constraints: dict = {
        "path": [str, os.PathLike],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", None],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(self, path, *, threshold=None, n_threads=None):
        self.path = path
        self.threshold = threshold
        self.n_threads = n_threads

    # ---------------------------------------------------------------------------------------------------------- predicting

    def decision_function(self, X):
        """Compute the logit of every label for every text.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        logits : ndarray of float32, shape (n_texts, n_labels)
            Positive where the probability is above one half.

        Raises
        ------
        InvalidTextError
            If the input is not as described.
        OnnxFileError
            If the file is missing, damaged, or not one that this version reads.
        """
        texts = check_texts(X)
        logits = np.empty((len(texts), self.n_labels_), dtype=np.float32)
        stop = 0
        for part in self._scores(texts):
            start, stop = stop, stop + len(part)
            logits[start:stop] = part
        return logits

    def _scores(self, texts: list[str]) -> Iterator[np.ndarray]:
        """Yield the logits of one part of the texts after another, and of none at least."""
        file, cardinality = self._file, self._file.metadata.cardinality
        names = [wanted.name for wanted in file.session.get_inputs()]
        step = max(1, min(_TEXTS_PER_CHUNK, _SCORES_PER_CHUNK // self.n_labels_))
        for start in range(0, max(1, len(texts)), step):
            part = _tokenize(file.tokenizer, texts[start : start + step], file.metadata.n_pieces, file.pairs)
            logits = np.empty((len(part), self.n_labels_), dtype=np.float32)
            for rows, batch in _batches(part, file.metadata):
                logits[rows] = file.session.run([OUTPUT], {name: batch[name] for name in names})[0]
            yield logits if cardinality is None else adjust(logits, *map(np.array, cardinality))

    def predict_proba(self, X):
        """Compute the probability of every label for every text.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        probabilities : ndarray of float32, shape (n_texts, n_labels)
            Each between 0 and 1; a text may have several labels, so rows need not sum to 1.
        """
        return expit(self.decision_function(X))

    def predict(self, X):
        """Tell which labels apply to every text: those whose probability is above ``threshold_``.

        Parameters
        ----------
        X : iterable of str, shape (n_texts,)
            The texts.

        Returns
        -------
        labels : {ndarray, csr_array} of int, shape (n_texts, n_labels)
            Indicator of 0 and 1; sparse where the y of fit was sparse.
        """
        if not self.sparse_output_:
            return self._labels(self.decision_function(X)).astype(np.int64)
        parts = [sp.csr_array(self._labels(part), dtype=np.int64) for part in self._scores(check_texts(X))]
        return sp.csr_array(sp.vstack(parts, format="csr"))  # never dense as a whole

    def _labels(self, logits: np.ndarray) -> np.ndarray:
        return expit(logits) > np.atleast_1d(self.threshold_)

    # ------------------------------------------------------------------------------------------------------------ the file

    @property
    def classes_(self) -> np.ndarray:
        """The labels."""
        return object_array(self._file.metadata.classes)

    @property
    def n_labels_(self) -> int:
        """Number of labels."""
        return len(self._file.metadata.classes)

    @property
    def threshold_(self) -> float | np.ndarray:
        """The probability above which a label is predicted: a number, or one per label."""
        threshold = self._file.metadata.threshold if self.threshold is None else self.threshold
        return check_threshold(threshold, self.classes_)

    @property
    def sparse_output_(self) -> bool:
        """Whether predict returns a sparse array."""
        return self._file.metadata.sparse_output

    @property
    def _file(self) -> _OpenFile:
        """The file, opened at the first call and again where a parameter has changed."""
        parameters = (self.path, self.n_threads)
        file = self.__dict__.get("_open_file")
        if file is None or file.parameters != parameters:
            self._validate_params()
            file = self._open_file = _OpenFile(parameters, *_read(os.fspath(self.path), self.n_threads))
        return file

    # ------------------------------------------------------------------------------------------------- scikit-learn's ways

    def fit(self, X, y, sample_weight=None):
        """Do nothing, as scikit-learn's FrozenEstimator does: what the file holds was fitted before.

        Parameters
        ----------
        X : object
            Ignored.
        y : object
            Ignored.
        sample_weight : object, optional
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def __getstate__(self):
        """Leave the open file out; it is opened again when it is needed."""
        state = super().__getstate__().copy()
        state.pop("_open_file", None)
        return paths_as_text(state)


def _read(path: str, n_threads: int | None) -> tuple[Any, Any, OnnxMetadata, np.ndarray]:
    onnxruntime, tokenizers = require("OnnxBertLamClassifier", "onnxruntime", "tokenizers")
    if not os.path.isfile(path):
        raise OnnxFileError(f"Got path={path!r} but there is no such file. Pass one that BertLamClassifier.to_onnx wrote.")
    session = _open_session(onnxruntime, path, n_threads)
    properties = session.get_modelmeta().custom_metadata_map
    metadata = OnnxMetadata.from_properties(properties, path)
    check_whole(path, properties)
    try:
        tokenizer = tokenizers.Tokenizer.from_str(metadata.tokenizer)
    except Exception as error:  # tokenizers raises no other type
        raise incomplete_file(path, f"tokenizer: {error}") from error
    return session, tokenizer, metadata, np.array(metadata.pairs, dtype=np.int64)


def _open_session(onnxruntime: Any, path: str, n_threads: int | None) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads or _default_threads()
    options.log_severity_level = 4  # what goes wrong is raised, not logged
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of onnxruntime have no common base
        newer = f"or newer than onnxruntime {onnxruntime.__version__} knows, which then has to be updated: "
        raise incomplete_file(path, newer + str(error).strip()) from error


def _default_threads() -> int:
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return int(limit) if limit.isdigit() and int(limit) else joblib.cpu_count()


def _tokenize(tokenizer: Any, texts: list[str], n_pieces: int, pairs: np.ndarray) -> list[_Text]:
    tokenized = []
    for encoding in tokenizer.encode_batch_fast([encodable(text) for text in texts]):
        ids = np.array(encoding.ids, dtype=np.int64)
        whole = np.concatenate([_contents(part) for part in (encoding, *encoding.overflowing)])
        places = places_of(pairs_of(whole, n_pieces), pairs)
        terms = np.concatenate([whole, n_pieces + places[places >= 0]])
        tokenized.append(_Text(ids, *np.unique(terms, return_counts=True)))
    return tokenized


def _contents(encoding: Any) -> np.ndarray:
    return np.array(encoding.ids, dtype=np.int64)[np.array(encoding.special_tokens_mask) == 0]


def _batches(texts: list[_Text], metadata: OnnxMetadata) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield rows and padded inputs of texts of like length, from long to short, under a budget of tokens and of weights."""
    lengths = np.array([len(text.ids) for text in texts])
    n_terms = np.array([max(1, len(text.terms)) for text in texts])
    n_labels = len(metadata.classes)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        width = min(-(-longest // _ROUND_LENGTH_TO) * _ROUND_LENGTH_TO, metadata.max_length)
        most = min(_TOKENS_PER_BATCH // max(width, _FEWEST_TOKENS_COUNTED), _MOST_LABEL_VECTORS // n_labels)
        most_terms = n_terms[order[start : start + max(1, most)]].max()
        most = max(1, min(most, _MOST_WEIGHTS // (n_labels * most_terms)))
        rows = order[start : start + most]
        yield rows, _padded([texts[row] for row in rows], width, metadata.pad_id)
        start += most


def _padded(texts: list[_Text], width: int, pad_id: int) -> dict[str, np.ndarray]:
    """Return every input that a file may want, (B, width) or (B, P)."""
    ids = [text.ids for text in texts]
    mask = _grid([np.ones_like(text) for text in ids], width, 0)
    n_terms = -(-max(1, *(len(text.terms) for text in texts)) // _ROUND_LENGTH_TO) * _ROUND_LENGTH_TO
    counted = (_grid([text[i] for text in texts], n_terms, 0) for i in (1, 2))
    return dict(zip((*INPUTS, *COUNT_INPUTS), (_grid(ids, width, pad_id), mask, *counted), strict=True))


def _grid(rows: list[np.ndarray], width: int, filler: int) -> np.ndarray:
    """Lay out rows of numbers (B, width), filled up at their ends."""
    grid = np.full((len(rows), width), filler, dtype=np.int64)
    grid[np.arange(width) < np.array([len(row) for row in rows])[:, None]] = np.concatenate(rows)
    return grid

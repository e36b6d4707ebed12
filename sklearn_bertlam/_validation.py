"""Every check of what a user hands in: texts, targets, label names and weights."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from numbers import Real
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import _check_sample_weight

from .exceptions import (
    InvalidLabelNamesError,
    InvalidTargetError,
    InvalidTextError,
    LabelWithoutPositivesWarning,
    SingleLabelNameWarning,
    UnsuitableThresholdError,
)

_STRINGS = (
    "y has a string for every text. One column per label is needed: pandas.get_dummies(y) where a text has one label, "
    "pandas.Series(y).str.get_dummies(',') where a string lists several."
)
_LABEL_SETS = (
    "y looks like a collection of label sets. One column per label is needed: use "
    "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
)


class Targets(NamedTuple):
    """Checked targets: stored entries of ``matrix`` (n, K) are 1 (the label applies) or NaN (unknown)."""

    matrix: sp.csr_array
    columns: list | None
    is_sparse: bool


# ---------------------------------------------------------------------------------------------------------------- texts


def check_texts(X) -> list[str]:
    """Return a list of str from any one-dimensional collection of strings."""
    texts = _to_texts(X)
    if not texts:
        raise InvalidTextError("Found array with 0 sample(s) (shape=(0,)) while a minimum of 1 is required.")
    _check_each(texts)
    return texts


def _to_texts(X) -> list:
    if isinstance(X, str):
        raise InvalidTextError("Iterable over raw text documents expected, string object received.")
    return _to_list(X)


def _check_each(texts: list, n_before: int = 0) -> None:
    for position, text in enumerate(texts, start=n_before):
        if not isinstance(text, str):
            raise InvalidTextError(_describe_bad_text(position, text))


def checked_batches(X, batch_size: int) -> Iterator[list[str]]:
    """Return an iterator over lists of at most ``batch_size`` texts, which are taken from a stream as they are needed."""
    is_one_column = isinstance(X, (str, bytes, Mapping, Set)) or not isinstance(X, Iterable) or hasattr(X, "shape")
    return _batches(iter(_to_texts(X) if is_one_column or hasattr(X, "to_pylist") else X), batch_size)


def _batches(stream: Iterator, batch_size: int) -> Iterator[list[str]]:
    n_before = 0
    while batch := list(islice(stream, batch_size)):
        _check_each(batch, n_before)
        yield batch
        n_before += len(batch)


def _to_list(X) -> list:
    if sp.issparse(X):
        raise InvalidTextError("Raw texts expected, got a sparse matrix. Pass the texts themselves, not their vectors.")
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        X = _only_column(X, shape)
    if isinstance(X, (bytes, Mapping, Set)) or not isinstance(X, Iterable):
        raise InvalidTextError(f"Iterable over raw text documents expected, {type(X).__name__} object received.")
    if hasattr(X, "to_pylist"):  # pyarrow
        return X.to_pylist()
    if hasattr(X, "tolist"):  # numpy, pandas
        return X.tolist()
    return list(X)


def _only_column(X, shape: tuple):
    if len(shape) != 2 or shape[1] != 1:
        raise InvalidTextError(
            f"Expected one text per row, got {type(X).__name__} of shape {shape}. "
            "Pass one column, for instance X['text'] or X[:, 0]."
        )
    return np.asarray(X)[:, 0]


def _describe_bad_text(position: int, text) -> str:
    if text is None or type(text).__name__ in ("NAType", "NaTType") or (isinstance(text, Real) and text != text):
        return f"texts[{position}] is {text}. Missing texts are not guessed: drop the row, or replace it with ''."
    if isinstance(text, bytes):
        return f"texts[{position}] is bytes. Decode it first, for instance with .decode('utf-8')."
    return f"texts[{position}] is {text!r:.80} of type {type(text).__name__}. Every text has to be a str."


# -------------------------------------------------------------------------------------------------------------- targets


def check_targets(y, n_texts: int) -> Targets:
    """Return the targets as one CSR array, whatever container they came in."""
    if y is None:
        raise InvalidTargetError("requires y to be passed, but the target y is None.")
    columns = None
    if sp.issparse(y):
        matrix = _sparse_to_csr(y)
    else:
        columns = _column_names(y)
        matrix = _dense_to_csr(_to_array(y))
    _check_values(matrix)
    if matrix.shape[0] != n_texts:
        raise InvalidTargetError(
            f"Found input variables with inconsistent numbers of samples: {n_texts} texts and {matrix.shape[0]} rows in y."
        )
    if matrix.shape[1] == 0:
        raise InvalidTargetError(f"y has no column (shape {matrix.shape}). At least one label is needed.")
    if columns is not None:
        _check_unique(columns, "y has the column {!r} more than once.", InvalidTargetError)
    matrix = matrix.astype(np.float32)
    matrix.eliminate_zeros()
    return Targets(matrix, columns, sp.issparse(y))


def in_order_of(targets: Targets, classes: list) -> Targets:
    """Return targets whose columns are in the order of the classes, where both have the same names.

    Columns without names, numbered ones, and those with other names than any class are taken as they stand.
    """
    columns = targets.columns
    known = set(classes)
    if columns is None or columns == classes or (classes == list(range(len(classes))) and set(columns) != known):
        return targets
    places = {label: place for place, label in enumerate(columns)}
    missing = [label for label in classes if label not in places]
    others = [label for label in columns if label not in known]
    if missing or others:
        if len(missing) == len(classes) or columns == list(range(len(columns))):
            return targets
        named = {"without": missing, "with": others}
        differences = ", ".join(f"{how} {_enumerate(object_array(labels))}" for how, labels in named.items() if labels)
        raise InvalidTargetError(f"The columns of y are not the labels: {differences}.")
    return Targets(targets.matrix[:, [places[label] for label in classes]], classes, targets.is_sparse)


def check_named_targets(y, n_texts: int, label_names) -> Targets:
    """Return the targets in the order of the names where these are the names of its columns."""
    targets = check_targets(y, n_texts)
    is_named = label_names is not None and set(targets.columns or []) == set(label_names)
    return in_order_of(targets, list(label_names)) if is_named else targets


def _sparse_to_csr(y) -> sp.csr_array:
    if y.ndim != 2:
        raise InvalidTargetError(f"y should be an indicator matrix of shape (n_texts, n_labels), got shape {y.shape}.")
    if y.dtype.kind not in "biuf":
        raise InvalidTargetError(f"y should hold only 0, 1 and NaN (unknown), got dtype {y.dtype}.")
    matrix = sp.csr_array(y, copy=True)
    matrix.sum_duplicates()
    return matrix


def _column_names(y) -> list | None:
    if hasattr(y, "column_names"):  # pyarrow.Table
        return list(y.column_names)
    return list(y.columns) if hasattr(y, "columns") else None


def _to_array(y) -> np.ndarray:
    if isinstance(y, str):
        raise InvalidTargetError("y is a string. An indicator matrix with one column per label is needed.")
    if hasattr(y, "to_pandas"):  # pyarrow.Table and polars.DataFrame
        y = y.to_pandas()
    if hasattr(y, "iloc") and hasattr(y, "columns"):
        return _frame_to_array(y)
    if isinstance(y, np.ma.MaskedArray):
        y = np.ma.filled(y.astype(object), np.nan)
    if isinstance(y, (list, tuple)) and any(isinstance(row, (Set, Mapping)) or _has_strings(row) for row in y):
        raise InvalidTargetError(_LABEL_SETS)
    try:
        array = np.asarray(y)
    except ValueError as error:  # rows of different lengths
        raise InvalidTargetError(_LABEL_SETS) from error
    if array.ndim == 1 and (array.dtype.kind in "UST" or any(isinstance(row, str) for row in array)):
        raise InvalidTargetError(_STRINGS)
    if array.ndim == 1 and array.dtype == object and any(isinstance(row, (Sequence, Set)) for row in array):
        raise InvalidTargetError(_LABEL_SETS)
    if array.ndim != 2:
        way = "y.to_frame()" if hasattr(y, "to_frame") else "y.reshape(-1, 1)"
        raise InvalidTargetError(
            f"y should be an indicator matrix of shape (n_texts, n_labels), got an array of shape {array.shape}. "
            f"For one label use {way}; for label sets use sklearn.preprocessing.MultiLabelBinarizer. "
            f"Unknown label type: {type_of_target(array)}."
        )
    return _to_float(array)


def _frame_to_array(y) -> np.ndarray:
    if any("object" in dtype or "str" in dtype for dtype in y.dtypes.astype(str)):
        return _to_float(y.to_numpy(dtype=object))
    try:  # nullable columns have pd.NA, which no float dtype takes by itself
        return y.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return _to_float(y.to_numpy(dtype=object))


def _has_strings(row) -> bool:
    return isinstance(row, (list, tuple)) and any(isinstance(item, str) for item in row)


def _to_float(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "biuf":
        return array.astype(np.float32) if array.dtype == np.float16 else array
    if array.dtype.kind == "c":
        raise InvalidTargetError("Complex data not supported: y should hold only 0, 1 and NaN (unknown).")
    if array.dtype == object:
        if any(isinstance(entry, (Sequence, Set, np.ndarray)) and not isinstance(entry, str) for entry in array.flat):
            raise InvalidTargetError(_LABEL_SETS)
        missing = np.frompyfunc(lambda entry: entry is None or type(entry).__name__ == "NAType", 1, 1)(array).astype(bool)
        array = np.where(missing, np.nan, array)
    are_strings = [isinstance(entry, (str, bytes)) for entry in array.flat]
    if array.shape[1] == 1 and are_strings and all(are_strings):
        raise InvalidTargetError(_STRINGS)
    try:
        if any(are_strings):
            raise ValueError("strings found")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidTargetError(f"y should hold only 0, 1 and NaN (unknown), got dtype {array.dtype}: {error}.") from error


def _dense_to_csr(array: np.ndarray) -> sp.csr_array:
    rows, columns = np.nonzero(array)  # NaN counts as nonzero and stays a stored entry
    return sp.csr_array((array[rows, columns], (rows, columns)), shape=array.shape)


def _check_values(matrix: sp.csr_array) -> None:
    wrong = ~((matrix.data == 0) | (matrix.data == 1) | np.isnan(matrix.data))
    if wrong.any():
        entry = int(np.argmax(wrong))
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
        raise InvalidTargetError(
            f"y should hold only 0, 1 and NaN (unknown), got {matrix.data[entry]} in row {row}, "
            f"column {matrix.indices[entry]}. Unknown label type: continuous or multiclass-multioutput."
        )


def check_label_counts(targets: sp.csr_array, classes: np.ndarray, stacklevel: int = 4) -> None:
    """Refuse labels whose every entry is unknown; warn once of labels that no text has, and of a single one with a name.

    ``stacklevel`` is the distance to the user's call of fit.
    """
    unknown = np.bincount(targets.indices[np.isnan(targets.data)], minlength=targets.shape[1])
    positive = np.bincount(targets.indices[targets.data == 1], minlength=targets.shape[1])
    all_unknown = classes[unknown == targets.shape[0]]
    if len(all_unknown):
        raise InvalidTargetError(
            f"y is NaN in every row for {_enumerate(all_unknown)}. Drop the column or add known entries."
        )
    without = classes[positive == 0]
    if len(without):
        warnings.warn(
            f"No text has {_enumerate(without)}. The estimator learns to predict that such a label never applies.",
            LabelWithoutPositivesWarning,
            stacklevel=stacklevel,
        )
    if len(classes) == 1 and isinstance(classes[0], str):
        warnings.warn(
            f"There is one label only, {classes[0]!r}. Scorers of scikit-learn take its name for the negative one of two "
            "classes, so that roc_auc comes out reversed. To use them, give y as an array; label_names={0: text} still says "
            "what the label is about.",
            SingleLabelNameWarning,
            stacklevel=stacklevel,
        )


def _enumerate(classes: np.ndarray, most: int = 10) -> str:
    shown = ", ".join(repr(label) for label in classes[:most].tolist())
    more = f" and {len(classes) - most} more" if len(classes) > most else ""
    return f"label{'s' if len(classes) > 1 else ''} {shown}{more}"


# ---------------------------------------------------------------------------------------------------------- label names


def check_label_names(
    label_names: Sequence[str] | Mapping[Hashable, str] | None, columns: list | None, n_labels: int
) -> tuple[np.ndarray, list[str] | None]:
    """Return the classes (K,) and the text of each label, or None where labels have no text.

    ``columns`` are the column names of y where y is a DataFrame. Two labels with the same text would be one label to the
    encoder, so the class is put before the text of such labels.
    """
    if label_names is None:
        classes = list(range(n_labels)) if columns is None else columns
        texts = list(map(str, classes)) if any(isinstance(label, str) for label in classes) else None
    elif isinstance(label_names, Mapping):
        classes, texts = _from_mapping(label_names, columns, n_labels)
    else:
        classes, texts = _from_sequence(label_names, columns, n_labels)
    if texts is not None:
        texts = _tell_apart(classes, _check_label_texts(texts))
    return object_array(classes), texts


def check_classes(classes: Sequence) -> list:
    """Return the labels that a user names, each once."""
    labels = list(classes)
    _check_unique(labels, "classes has {!r} more than once.", InvalidLabelNamesError)
    return labels


def check_new_labels(labels: Mapping[Hashable, str], classes: np.ndarray, known_texts: list[str]) -> tuple[list, list[str]]:
    """Return labels that are to be added to ``classes``, and their texts, which no other label may have."""
    if not isinstance(labels, Mapping) or not labels:
        raise InvalidLabelNamesError(
            f"labels should be a dict of label to text with one entry at least, got {labels!r:.80}."
        )
    known = set(classes.tolist())
    twice = [label for label in labels if label in known]
    if twice:
        raise InvalidLabelNamesError(f"The classifier has {_enumerate(object_array(twice))} already.")
    texts = _check_label_texts(list(labels.values()))
    everything = [*{text.strip().lower() for text in known_texts}, *(text.strip().lower() for text in texts)]
    _check_unique(everything, "Two labels would have the text {!r} and be one to the encoder.", InvalidLabelNamesError)
    return list(labels), texts


def _from_mapping(label_names: Mapping, columns: list | None, n_labels: int) -> tuple[list, list]:
    if columns is None:  # the dict's order is that of the columns, but integers from 0 are their positions
        by_position = set(label_names) == set(range(n_labels))
        columns = list(range(n_labels)) if by_position else list(label_names)
    classes = columns
    missing = [label for label in classes if label not in label_names]
    if missing:
        raise InvalidLabelNamesError(f"label_names has no text for {_enumerate(object_array(missing))} of y.")
    _check_number(len(label_names), n_labels)
    return classes, [label_names[label] for label in classes]


def _from_sequence(label_names: Iterable, columns: list | None, n_labels: int) -> tuple[list, list]:
    if isinstance(label_names, (str, bytes, Set)):
        raise InvalidLabelNamesError(
            f"label_names is a {type(label_names).__name__}. Pass a sequence with one name per column of y, in their order."
        )
    if columns is not None:
        check_order(label_names, columns, "label_names", InvalidLabelNamesError)
    names = _check_label_texts(np.asarray(label_names, dtype=object).tolist())
    _check_number(len(names), n_labels)
    _check_unique(names, "label_names has {!r} more than once. Every label needs a name of its own.", InvalidLabelNamesError)
    if columns is not None and set(names) == set(columns):  # the same names in another order
        return columns, columns
    return (names if columns is None else columns), names


def check_order(values, labels: Sequence | np.ndarray, name: str, error: type[ValueError]) -> None:
    """Refuse a Series, which is taken by position, whose index has the labels in another order."""
    index = list(getattr(values, "index", ())) if hasattr(values, "to_dict") else []
    if index and index != list(labels) and set(index) == set(labels):
        raise error(f"{name} is a Series whose index has the labels in another order. Put it in that of classes_.")


def _check_number(n_names: int, n_labels: int) -> None:
    if n_names != n_labels:
        raise InvalidLabelNamesError(f"label_names has {n_names} names but y has {n_labels} columns.")


def _check_unique(names: list, message: str, error: type[ValueError]) -> None:
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise error(message.format(name))


def _check_label_texts(texts: list) -> list[str]:
    for position, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InvalidLabelNamesError(f"The text of label {position} is {text!r}. Every label needs a non-empty str.")
    return texts


def _tell_apart(classes: list, texts: list[str]) -> list[str]:
    counts = Counter(text.strip().lower() for text in texts)
    return [
        f"{label}: {text}" if counts[text.strip().lower()] > 1 else text for label, text in zip(classes, texts, strict=True)
    ]


def _is_int64(item: object) -> bool:
    return isinstance(item, (int, np.integer)) and not isinstance(item, bool) and -(2**63) <= int(item) < 2**63


def object_array(items: list) -> np.ndarray:
    """Make a 1-D array of labels; of integers where all are and 64 bits hold them, of objects otherwise.

    One or two integers are objects too, because scikit-learn's scorers take an array of two integers for the two classes
    of a single binary problem.
    """
    if len(items) > 2 and all(map(_is_int64, items)):
        return np.asarray(items, dtype=np.int64)
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


# ----------------------------------------------------------------------------------------------------------- thresholds


def check_threshold(threshold, classes: Sequence | np.ndarray) -> float | np.ndarray:
    """Return a number, or numbers of shape (K,), between 0 and 1, in the double precision that they were tuned in."""
    check_order(threshold, classes, "threshold", UnsuitableThresholdError)
    try:
        values = np.asarray(threshold, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnsuitableThresholdError(f"threshold should be numbers between 0 and 1, got {threshold!r}.") from error
    if values.shape not in ((), (len(classes),)):
        raise UnsuitableThresholdError(
            f"threshold should be a number or have shape ({len(classes)},), got shape {values.shape}."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise UnsuitableThresholdError(f"threshold should lie between 0 and 1, got {threshold!r}.")
    return values if values.ndim else float(threshold)


# -------------------------------------------------------------------------------------------------------------- weights


def check_sample_weight(sample_weight, n_texts: int) -> np.ndarray:
    """Return finite, non-negative float32 weights of shape (n,), ones by default."""
    weights = _check_sample_weight(sample_weight, np.empty((n_texts, 1)), dtype=np.float32)
    if (weights < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if not (weights > 0).any():
        raise ValueError("sample_weight is zero for every text. At least one weight has to be positive.")
    return weights


def check_pos_weight(pos_weight, classes: Sequence | np.ndarray) -> np.ndarray | None:
    """Return positive float32 weights of shape (K,), or None."""
    if pos_weight is None:
        return None
    check_order(pos_weight, classes, "pos_weight", ValueError)
    n_labels = len(classes)
    try:
        weights = np.asarray(pos_weight, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"pos_weight should be numbers above 0, got {pos_weight!r}.") from error
    if weights.ndim > 1 or weights.size not in (1, n_labels):
        raise ValueError(f"pos_weight should be a number or have shape ({n_labels},), got shape {weights.shape}.")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError(f"pos_weight should be finite and positive, got {pos_weight!r}.")
    return np.broadcast_to(weights, (n_labels,)).copy()

"""Apply a fitted classifier to a partitioned Dask collection, with one model per worker.

Training is not here: grid search and cross-validation run on a Dask cluster through joblib, without any code of this
package. Dask is imported only when a function is called, and any classifier with ``classes_`` and ``predict_proba`` will do.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Integral
from threading import Lock
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_scalar

from ._files import sha256
from ._multilabel import one_column_per_label
from ._parquet import (
    check_destination,
    check_index,
    check_known,
    empty_unless_whole,
    file_name,
    optional,
    stored_schema,
    written_schema,
)
from ._persistence import SAVED_AS
from .exceptions import InvalidTextError

__all__ = ["predict_proba", "predict_proba_parquet"]

# One prediction at a time in a process: its threads already work for this one, and a GPU holds the memory of only one.
_PREDICTING = Lock()
_SECONDS_FOR_A_WORKER = 30


def predict_proba(estimator, collection, *, text_column="text", prefix="", threads_per_worker="auto"):
    """Add the probability of every label to a Dask collection of texts.

    Nothing is computed yet. Every worker process loads the model once and applies it to one partition after another;
    what goes through the scheduler is the name of the model.

    Parameters
    ----------
    estimator : fitted classifier, str or path-like
        With ``classes_`` and ``predict_proba``, or the path of one saved by ``joblib.dump``, or of a BertLamClassifier by
        its ``save``, in a place that all workers can read. Where there is a :class:`distributed.Client`, a classifier is
        sent to every worker here and now, and the result can be computed as long as that client is connected. A path also
        serves workers that join later, restart, or are started by an adaptive cluster.
    collection : dask DataFrame, Series or Bag
        The texts.
    text_column : str, default="text"
        The column of a DataFrame that holds the texts; the name that the texts of a Bag or of a Series without a name get.
    prefix : str, default=""
        Put before every label to make the name of its column.
    threads_per_worker : int or "auto", default="auto"
        Number of torch threads of a worker process while it predicts. "auto" is the number of cores of its host divided by
        the number of workers there, and torch's own number where no ``distributed`` worker computes.

    Returns
    -------
    scored : dask DataFrame
        The columns of the collection and one of float32 per label, named by ``classes_``. Partitions, index and order of
        the rows are those of the collection.

    Raises
    ------
    ImportError
        If Dask is missing.
    InvalidTextError
        If a text is missing or no string, when the result is computed.
    TypeError
        If the estimator has no ``predict_proba``, or the collection is none of Dask's.
    ValueError
        If column names would not be unique, a path holds no classifier, no worker comes within half a minute to send one to,
        or the client is asynchronous; when the result is computed, if the saved model has changed.

    See Also
    --------
    predict_proba_parquet : The same from Parquet to Parquet.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> from sklearn_bertlam.baselines import BinaryRelevanceClassifier
    >>> from sklearn_bertlam.distributed import predict_proba
    >>> clf = BinaryRelevanceClassifier().fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> messages = dd.from_pandas(pd.DataFrame({"text": ["a red wine", "a white car"]}), npartitions=2)
    >>> predict_proba(clf, messages, prefix="label ").compute().columns.tolist()
    ['text', 'label 0', 'label 1']
    """
    if threads_per_worker != "auto":
        check_scalar(threads_per_worker, "threads_per_worker", Integral, min_val=1)
    frame, text_column = _to_frame(collection, text_column)
    model = _SavedModel.at(estimator) if isinstance(estimator, (str, os.PathLike)) else estimator
    labels = _label_columns(_load(model), prefix)
    _check_columns(list(frame.columns), text_column, labels)
    return frame.map_partitions(
        _score_partition,
        _shared(model),
        text_column=text_column,
        labels=labels,
        threads=threads_per_worker,
        meta=_with_probabilities(frame._meta, np.empty((0, len(labels)), dtype=np.float32), labels),
    )


def predict_proba_parquet(
    estimator,
    source,
    destination,
    *,
    text_column="text",
    columns: Sequence[str] | None = None,
    prefix="",
    threads_per_worker="auto",
    blocksize="64MiB",
    overwrite=False,
):
    """Add the probability of every label to a Parquet data set and write it to another one.

    Parameters
    ----------
    estimator : fitted classifier, str or path-like
        As of :func:`predict_proba`.
    source : str or path-like
        A Parquet file, a folder of them, or a pattern with ``*``; also the URL of a storage that fsspec knows.
    destination : str or path-like
        The folder to write to, which neither is in the source nor holds it: one file for each partition, whose names are in
        the order of the source.
    text_column : str, default="text"
        The column that holds the texts.
    columns : sequence of str or None, default=None
        The columns of the source to write, in their Parquet types; None is all. The texts themselves can be left out.
    prefix : str, default=""
        Put before every label to make the name of its column.
    threads_per_worker : int or "auto", default="auto"
        As of :func:`predict_proba`.
    blocksize : str or int, default="64MiB"
        About how much of the source, uncompressed, makes one partition. Row groups are not divided.
    overwrite : bool, default=False
        Whether to delete what ``destination`` holds, before anything is written.

    Raises
    ------
    FileExistsError
        If the destination holds something and ``overwrite`` is False.
    FileNotFoundError
        If there is no source.
    ValueError
        If the destination is the source, is in it or holds it, or a column is not there; and as of :func:`predict_proba`.

    Notes
    -----
    An index that the source has as a column is kept. Row numbers, which is what a file without one is read with, are not
    written, wherever they start. NaN among floating-point numbers becomes null.

    Where an error ends the writing, what was written is removed again, as far as no worker is still writing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from sklearn_bertlam.baselines import BinaryRelevanceClassifier
    >>> from sklearn_bertlam.distributed import predict_proba_parquet
    >>> clf = BinaryRelevanceClassifier().fit(["red wine", "white wine", "red car"], [[1, 1], [1, 0], [0, 1]])
    >>> folder = Path(tempfile.mkdtemp())
    >>> pd.DataFrame({"id": [7, 8], "text": ["a red wine", "a white car"]}).to_parquet(folder / "messages.parquet")
    >>> predict_proba_parquet(clf, folder / "messages.parquet", folder / "scored", columns=["id"])
    >>> pd.read_parquet(folder / "scored").columns.tolist()
    ['id', '0', '1']
    """
    dd = optional("dask.dataframe")
    source, destination = os.fspath(source), os.fspath(destination)
    check_destination(source, destination, overwrite)
    stored = stored_schema(source)
    # Nullable types, so that integers with gaps do not become floats on their way.
    frame = dd.read_parquet(source, blocksize=blocksize, dtype_backend="numpy_nullable")
    if columns is not None:
        check_known(columns, list(frame.columns))
        beside = [text_column] if text_column in frame.columns and text_column not in columns else []
        frame = frame[[*columns, *beside]]
    scored = predict_proba(estimator, frame, text_column=text_column, prefix=prefix, threads_per_worker=threads_per_worker)
    labels = list(scored.columns[len(frame.columns) :])
    if columns is not None:
        scored = scored[[*columns, *labels]]
    check_index(scored._meta)
    schema, has_index = written_schema(scored._meta, stored, labels)
    with empty_unless_whole(destination, overwrite):
        scored.to_parquet(
            destination,
            schema=schema,
            write_index=has_index,
            name_function=partial(file_name, n_digits=max(5, len(str(scored.npartitions)))),
        )


# ------------------------------------------------------------------------------------------------------------ on a worker


def _score_partition(frame, model, text_column, labels, threads, partition_info=None):
    """Score one partition; ``model`` is a classifier, the same object for all partitions, or says where one is."""
    probabilities = np.empty((0, len(labels)), dtype=np.float32)
    if len(frame):
        with _PREDICTING:
            classifier = _load(model)
            with _torch_threads(threads):
                probabilities = _predict(classifier, frame[text_column].tolist(), len(labels), partition_info)
    return _with_probabilities(frame, probabilities, labels)


def _predict(classifier, texts: list, n_labels: int, partition_info: dict[str, Any] | None) -> np.ndarray:
    try:
        return one_column_per_label(classifier.predict_proba(texts), classifier, n_labels).astype(np.float32, copy=False)
    except InvalidTextError as error:  # its position counts within the partition
        raise InvalidTextError(f"Partition {(partition_info or {}).get('number', '?')}: {error}") from error


def _with_probabilities(frame, probabilities: np.ndarray, labels: list[str]):
    import pandas as pd

    return pd.concat([frame, pd.DataFrame(probabilities, index=frame.index, columns=labels)], axis=1)


@contextmanager
def _torch_threads(threads: int | str) -> Iterator[None]:
    """Give torch its number of threads inside the block and put the old one back after it."""
    torch: Any = sys.modules.get("torch")  # a model that needs it has imported it when it was loaded
    number = _cores_per_worker(int(time.monotonic() // 60)) if threads == "auto" else int(threads)
    before = None if torch is None else torch.get_num_threads()
    if number is None or before in (None, number):
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _cores_per_worker(minute: int) -> int | None:
    """Divide the cores among the workers of this host, anew every minute because workers come and go.

    None says that this is no worker process: its threads are then nobody else's.
    """
    try:
        distributed, comm = optional("distributed"), optional("distributed.comm")
        worker = distributed.get_worker()
    except (ImportError, ValueError):
        return None
    if worker.address.startswith("inproc"):
        return None
    host = comm.get_address_host(worker.address)
    n_workers = sum(comm.get_address_host(address) == host for address in distributed.get_client().nthreads())
    return max(1, optional("dask.system").CPU_COUNT // max(1, n_workers))


# ------------------------------------------------------------------------------------------------------------- the model


@dataclass(frozen=True)
class _SavedModel:
    """Where a classifier is, and the hash of it: tasks of another version have another name to Dask."""

    path: str
    content: str

    @classmethod
    def at(cls, path: str | os.PathLike) -> _SavedModel:
        path = os.path.abspath(path)
        described = os.path.join(path, SAVED_AS) if os.path.isdir(path) else path  # has the hashes of the other files
        if not os.path.isfile(described):
            raise FileNotFoundError(f"There is no saved classifier at {path}.")
        return cls(path, sha256(described))


def _load(model):
    return _load_once(model) if isinstance(model, _SavedModel) else model


@lru_cache(maxsize=1)
def _load_once(saved: _SavedModel):
    classifier = _read(saved.path)
    if _SavedModel.at(saved.path) != saved:  # its labels may be others than those that the columns are named by
        raise ValueError(f"The model {saved.path} has changed since it was named. Call the function again.")
    return classifier


def _read(path: str):
    import joblib

    from ._classifier import BertLamClassifier

    if os.path.isdir(path):
        return BertLamClassifier.load(path)
    try:
        return joblib.load(path)
    except (ImportError, MemoryError, OSError):
        raise
    except Exception as error:  # pickle raises whatever it stumbles over
        raise ValueError(
            f"{path} holds no classifier ({type(error).__name__}: {error}). A path is that of a file that joblib.dump has "
            "written, or of a folder that BertLamClassifier.save has."
        ) from error


def _shared(model):
    """Return what stands for the model in every task: where it is saved, or a reference to one object per process."""
    if isinstance(model, _SavedModel):
        return model
    delayed = optional("dask").delayed
    try:
        client = optional("distributed").get_client()
    except (ImportError, ValueError):  # no cluster: all tasks are in this process and take the object as it is
        return delayed(model, pure=False, traverse=False)
    if client.asynchronous:
        raise ValueError("A classifier cannot be sent by an asynchronous client. Save it, and pass its path.")
    try:
        client.wait_for_workers(1, timeout=_SECONDS_FOR_A_WORKER)
    except TimeoutError as error:
        raise ValueError("There is no worker to send the classifier to. Save it, and pass its path.") from error
    (future,) = client.scatter([model], broadcast=True, hash=False)
    return delayed(future)


def _label_columns(estimator, prefix: str) -> list[str]:
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise NotFittedError(f"This {type(estimator).__name__} has no classes_. Fit it before it is applied.")
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(f"This {type(estimator).__name__} has no predict_proba.")
    if not isinstance(prefix, str):
        raise TypeError(f"prefix should be a str, got {prefix!r}.")
    if isinstance(classes, list) and all(np.ndim(part) for part in classes):  # the classes of each label
        classes = range(len(classes))
    return [f"{prefix}{label}" for label in classes]


# --------------------------------------------------------------------------------------------------------- the collection


def _to_frame(collection, text_column: str):
    dd, bag = optional("dask.dataframe"), optional("dask.bag")
    if isinstance(collection, dd.DataFrame):
        return collection, text_column
    if isinstance(collection, dd.Series):
        name = text_column if collection.name is None else collection.name
        return collection.to_frame(name), name
    if isinstance(collection, bag.Bag):
        return collection.map(_text).to_dataframe(meta={text_column: object}), text_column
    raise TypeError(
        f"Expected a Dask DataFrame, Series or Bag, got {type(collection).__module__}.{type(collection).__name__}. "
        "For data in memory use the estimator's own predict_proba, or dask.dataframe.from_pandas."
    )


def _text(item: Any) -> Any:
    """Return an item of a Bag, which may be no record: what it holds beside a text would be lost."""
    if isinstance(item, (Mapping, tuple, list)):
        raise InvalidTextError(
            f"The Bag holds records such as {item!r:.80}. Pass a Bag of texts, or a DataFrame, as to_dataframe() makes it."
        )
    return item


def _check_columns(columns: list, text_column: str, labels: list[str]) -> None:
    if text_column not in columns:
        raise ValueError(f"There is no column {text_column!r}, only {columns}. Name that of the texts with text_column.")
    known = set(columns)
    twice = sorted(name for name, count in Counter(labels).items() if count > 1 or name in known)
    if twice:
        raise ValueError(
            f"Column names would not be unique: {twice}. Pass a prefix for the labels, such as prefix='proba_'."
        )

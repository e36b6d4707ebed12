"""What reading and writing Parquet asks for beside Dask: schemas, columns, and destinations that hold nothing else."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

_INDEX_WITHOUT_NAME = "__null_dask_index__"  # what Dask calls it in Parquet, and knows when it reads it again


def optional(module: str) -> Any:
    """Import a module of the extra ``distributed``, or say how it is had."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"Partitioned collections need Dask, but {module} could not be imported ({error}). "
            "Install it with: pip install 'sklearn-bertlam[distributed]'"
        ) from error


def check_destination(source: str, destination: str, overwrite: bool) -> None:
    """Refuse to write into the source, whatever it is called, or among files of an earlier run."""
    fsspec = optional("fsspec")
    storage, target = fsspec.url_to_fs(destination)
    source_storage, _, paths = fsspec.get_fs_token_paths(source)
    if type(storage) is type(source_storage) and any(_overlap(storage, path, target) for path in paths):
        raise ValueError(f"The destination {destination!r} and the source {source!r} overlap. Choose another folder.")
    if not overwrite and storage.exists(target) and (storage.isfile(target) or storage.ls(target)):
        raise FileExistsError(f"{destination!r} is there and not empty. Choose another folder or pass overwrite=True.")


def _overlap(storage: Any, path: str, other: str) -> bool:
    if "file" in np.atleast_1d(storage.protocol):
        here, there = Path(os.path.realpath(path)), Path(os.path.realpath(other))
        return _is_in(here, there) or _is_in(there, here)
    path, other = path.rstrip("/") + "/", other.rstrip("/") + "/"
    return path.startswith(other) or other.startswith(path)


def _is_in(inner: Path, outer: Path) -> bool:
    """Tell whether a path is, or is below, another one that is there; the system knows what spellings are the same."""
    return outer.exists() and any(part.exists() and part.samefile(outer) for part in (inner, *inner.parents))


@contextmanager
def empty_unless_whole(destination: str, overwrite: bool) -> Iterator[None]:
    """Remove what is at the destination before the block, if so wanted, and what the block has left there when it fails."""
    storage, target = optional("fsspec").url_to_fs(destination)
    if overwrite:
        _empty(storage, target)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # a worker may still be writing
            _empty(storage, target)
        raise


def _empty(storage: Any, target: str) -> None:
    """Remove a file, or what is in a folder: the folder itself may be a link, or where a disk is mounted."""
    storage.invalidate_cache()
    if storage.isfile(target):
        storage.rm(target)
    elif storage.exists(target):
        for part in storage.ls(target, detail=False):
            storage.rm(part, recursive=True)


def stored_schema(source: str) -> Any:
    """Return the Parquet schema of a file, or of a folder or list of them."""
    storage, _, paths = optional("fsspec").get_fs_token_paths(source)
    if not paths or not storage.exists(paths[0]):
        raise FileNotFoundError(f"There is no file {source!r}.")
    return (
        optional("pyarrow.dataset")
        .dataset(paths[0] if len(paths) == 1 else paths, filesystem=storage, format="parquet")
        .schema
    )


def written_schema(meta, stored: Any, labels: list[str]):
    """Return the Parquet schema to write, with the source's own types, and whether the index belongs to it."""
    import pandas as pd

    pa = optional("pyarrow")
    has_index = not isinstance(meta.index, pd.RangeIndex)
    if has_index:
        meta = meta.rename_axis(index=meta.index.name or _INDEX_WITHOUT_NAME).reset_index()
    known = {name: stored.field(name) for name in meta.columns if name in stored.names and name not in labels}
    others = pa.Schema.from_pandas(meta[[name for name in meta.columns if name not in known]], preserve_index=False)
    fields = [known[name] if name in known else others.field(name) for name in meta.columns]
    return pa.schema(fields[1:] + fields[:1] if has_index else fields), has_index


def check_known(columns: Sequence[str], names: list[str]) -> None:
    """Refuse columns that are not there, or named twice."""
    if isinstance(columns, str):
        raise TypeError(f"columns should be a sequence of names, got {columns!r}. Pass [{columns!r}].")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns has a name twice: {list(columns)}.")
    for name in columns:
        if name not in names:
            raise ValueError(f"There is no column {name!r}, only {names}.")


def check_index(meta) -> None:
    """Refuse an index that Parquet cannot hold beside the columns."""
    if meta.index.nlevels > 1:
        raise ValueError(f"An index of several columns ({list(meta.index.names)}) is not kept. Use reset_index() before.")
    if meta.index.name in set(meta.columns):
        raise ValueError(f"The index and a column are both called {meta.index.name!r}. Rename one; labels take a prefix.")


def file_name(number: int, n_digits: int) -> str:
    """Return a name that is sorted as its number is."""
    return f"part.{number:0{n_digits}}.parquet"

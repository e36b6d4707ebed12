"""What plain Python lacks for files that have to be whole, and to survive a power cut."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NOTHING_TO_FLUSH = {errno.EINVAL, errno.ENOTSUP}  # what folders shared with a virtual machine, for one, answer


def sha256(file: str | os.PathLike) -> str:
    """Return the hash of what a file holds."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def paths_as_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without objects of pathlib, whose pickles only the same system and version of Python can read."""
    return {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in values.items()}


def flush_folder(folder: Path) -> None:
    """Have the names of the files in a folder written to the disk, where a program can do so and the disk has to be told."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NOTHING_TO_FLUSH:
                raise
        finally:
            os.close(descriptor)

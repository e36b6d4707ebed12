"""What plain Python lacks for files that have to be whole, and to survive a power cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def sha256(file: str | os.PathLike) -> str:
    """Return the hash of what a file holds."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def flush_folder(folder: Path) -> None:
    """Have the names of the files in a folder written to the disk, where the system does not do so by itself."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""A file from which a training that was killed goes on, to the same model as one that was left alone.

It is written anew after every epoch and every few minutes, completely or not at all, and read without running code from it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ._files import flush_folder
from .exceptions import CheckpointError

_NAME = "checkpoint.pt"
_FORMAT = 4
_LONGEST_SHOWN = 200


class CheckpointFile:
    """The checkpoint of one training.

    Parameters
    ----------
    folder : str or path-like
        Where it is; the folder is made where it is missing.
    """

    def __init__(self, folder: str | os.PathLike):
        self.path = Path(folder) / _NAME

    def read(self) -> dict[str, Any] | None:
        """Return what was last written, or None where nothing was.

        Raises
        ------
        CheckpointError
            If the file is not a checkpoint that this version can read.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            is_known = state["format"] == _FORMAT
        except Exception as error:  # what is raised depends on where the file is damaged
            raise CheckpointError(
                f"{self.path} cannot be read ({type(error).__name__}). Delete it to train from the beginning."
            ) from error
        if not is_known:
            raise CheckpointError(f"{self.path} was written by another version. Delete it to train from the beginning.")
        return state

    def check_folder(self) -> None:
        """Find out before training, not after an epoch of it, whether the folder can be written to."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path.parent):
                pass
        except OSError as error:
            raise CheckpointError(f"checkpoint_dir={str(self.path.parent)!r} cannot be written to ({error}).") from error

    def write(self, state: dict[str, Any]) -> None:
        """Put a state in the place of the last one.

        Raises
        ------
        CheckpointError
            If it cannot be written, for instance to a full disk. The last one stays.
        """
        part = self.path.with_name(f"{_NAME}.part")
        try:
            with part.open("wb") as file:
                torch.save({"format": _FORMAT, **state}, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
            flush_folder(self.path.parent)
        except (OSError, RuntimeError) as error:  # torch.save raises RuntimeError while it handles an OSError
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise CheckpointError(
                f"{self.path} could not be written ({reason}). "
                "Once it can be, the same call of fit goes on from the last checkpoint, if there is one."
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def check(self, saved: Mapping[str, str], identity: Mapping[str, str]) -> None:
        """Refuse to go on with other data or parameters, and say which they are."""
        names = sorted(name for name in {*saved, *identity} if saved.get(name) != identity.get(name))
        if names:
            differences = "; ".join(
                f"{name} was {_shown(saved.get(name))}, now {_shown(identity.get(name))}" for name in names
            )
            raise CheckpointError(
                f"{self.path} belongs to another training: {differences}. Use another checkpoint_dir, or delete the file."
            )


def _shown(description: str | None) -> str:
    """Return what fits into a message; the names of all labels may be a page of text."""
    if description is None:
        return "not there"
    return description if len(description) <= _LONGEST_SHOWN else f"{description[:_LONGEST_SHOWN]} ..."


def fingerprint(*arrays: np.ndarray) -> str:
    """Return a short hash of the contents of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def describe(value: Any) -> str:
    """Return a parameter's value as text that is the same in another process."""
    if isinstance(value, np.random.RandomState):
        return "a RandomState"
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, tuple):
        value = list(value)
    return repr(value.tolist() if hasattr(value, "tolist") else value)


def random_states(random_state: np.random.RandomState) -> dict[str, Any]:
    """Return the state of a generator of numpy as plain values."""
    state: Any = random_state.get_state(legacy=True)
    _, keys, position, has_gauss, cached = state
    return {"keys": torch.from_numpy(keys.astype(np.int64)), "rest": [int(position), int(has_gauss), float(cached)]}


def restore_random_state(random_state: np.random.RandomState, state: dict[str, Any]) -> None:
    """Put a generator of numpy into a state."""
    position, has_gauss, cached = state["rest"]
    random_state.set_state(("MT19937", state["keys"].numpy().astype(np.uint32), position, has_gauss, cached))

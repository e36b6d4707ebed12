"""What all commands share: numbers that make sense, calls that anyone can repeat, and Ctrl-C that ends them."""

from __future__ import annotations

import argparse
import os
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path

from sklearn_bertlam.exceptions import TrainingInterruptedWarning


def positive(word: str) -> int:
    """Read a number of at least 1."""
    return _at_least(1, word)


def natural(word: str) -> int:
    """Read a number of at least 0."""
    return _at_least(0, word)


def _at_least(least: int, word: str) -> int:
    number = int(word)
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a number of at least {least}, got {number}")
    return number


def positive_number(word: str) -> float:
    """Read a number above 0, which need not be whole."""
    number = float(word)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {word}")
    return number


def report_path(word: str) -> Path:
    """Read what a report's files are to be called, without their endings, before anything is measured for it."""
    path = Path(word)
    first = next(part for part in (path, *path.parents) if part.exists() or part == part.parent)
    if not path.name or path.name == ".." or (first != path and not first.is_dir()):
        raise argparse.ArgumentTypeError(f"expected the name of a report in a folder, got {word}")
    return path


def shown(command: str, arguments: Sequence[str]) -> str:
    """Return a call as anyone can repeat it."""
    return shlex.join(["python", "-m", f"benchmarks.{command}", *map(_portable, arguments)])


def _portable(word: str) -> str:
    """Leave out where on this machine a file lies."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return option + equals + (Path(value).name if os.path.isabs(value) or value.startswith("..") else value)


def end_where_training_is_interrupted() -> None:
    """Have Ctrl-C end the command: fit would keep what it has learned by then, which is no measurement."""
    warnings.simplefilter("error", TrainingInterruptedWarning)

"""Files that measurements leave behind: written at once and never mixed."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np


def write_atomically(file: Path, content: Any) -> None:
    """Write JSON so that the file is there completely or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    temporary.write_text(json.dumps(content, default=_number) + "\n", encoding="utf-8")
    temporary.replace(file)


def read_json(file: Path) -> Any:
    """Read what ``write_atomically`` wrote; end with a message where it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SystemExit(
            f"{file} is damaged ({error}). Restore it; the file of a run may also be deleted, and is then measured again."
        ) from error


def report(text: str, out: Path | None, content: dict[str, Any]) -> None:
    """Print what was measured and, where ``out`` is given, leave it as ``out``.md and its numbers as ``out``.json."""
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_name(f"{out.name}.md").write_text(text.strip("\n") + "\n", encoding="utf-8")
        out.with_name(f"{out.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def claim(out: Path, settings: dict[str, Any]) -> int:
    """Refuse a folder that holds results of other settings, and return how many runs of these it holds."""
    file = out / "settings.json"
    if out.is_file():
        raise SystemExit(f"{out} is a file. Choose a folder as --out.")
    if file.is_file():
        there = read_json(file)
        differing = [key for key in settings if there.get(key) != settings[key]]
        if differing:
            changes = "; ".join(f"{key}: {there.get(key)!r} there, {settings[key]!r} now" for key in differing)
            raise SystemExit(f"{out} holds results of other settings ({changes}). Choose another --out.")
    elif out.is_dir() and any(out.iterdir()):
        raise SystemExit(f"{out} is not empty and holds no results of this command. Choose another --out.")
    write_atomically(file, settings)
    return len(list((out / "runs").glob("*.json")))


def check_sizes(sizes: Sequence[int], n_documents: int) -> None:
    """Refuse to draw more training documents than there are."""
    too_many = [size for size in sizes if size > n_documents]
    if too_many:
        raise SystemExit(f"There are {n_documents} training documents, which is fewer than {max(too_many)}.")


def versions() -> str:
    """Return the versions of what results may depend on."""
    packages = ("torch", "scikit-learn", "transformers")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in packages)])


def commit() -> str | None:
    """Return the state of the code, where it lies in a clone of its repository; "-dirty" if it was changed since."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs/results")
        return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

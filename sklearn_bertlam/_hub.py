"""Saved estimators on the Hugging Face hub. The only file that imports huggingface_hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._model_card import model_card
from ._persistence import FILES, save
from .exceptions import HubError


def push(
    estimator: Any,
    repo_id: str,
    *,
    metrics: Mapping[str, float] | None,
    private: bool | None,
    revision: str | None,
    commit_message: str,
    token: str | bool | None,
) -> str:
    """Save an estimator to a repository with a model card, and return the address of the commit."""
    from huggingface_hub import HfApi

    estimator = _without_paths(estimator)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        save(estimator, folder, overwrite=False)
        (folder / "README.md").write_text(model_card(estimator, repo_id, metrics), encoding="utf-8")
        api = HfApi(token=token)
        try:
            api.create_repo(repo_id, private=private, exist_ok=True)
            if revision is not None and not revision.startswith("refs/"):
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message, revision=revision)
        except Exception as error:  # whatever the network stack of the hub client raises
            raise HubError(f"{repo_id!r} could not be written to the hub: {_said_by(error)}") from error
    return str(commit.commit_url)


def pull(repo_id: str, *, revision: str | None, token: str | bool | None, local_files_only: bool) -> str:
    """Download the files of a saved estimator, and no others, into the hub's cache; return their folder."""
    from huggingface_hub import HfApi

    try:
        return HfApi(token=token).snapshot_download(
            repo_id, revision=revision, local_files_only=local_files_only, allow_patterns=sorted(FILES)
        )
    except Exception as error:  # whatever the network stack of the hub client raises
        raise HubError(f"{repo_id!r} could not be had from the hub: {_said_by(error)}") from error


def _said_by(error: Exception) -> str:
    """Return what an error of the hub says, which has advice in its later lines."""
    return " ".join(str(error).split())[:500] or type(error).__name__


def _without_paths(estimator: Any) -> Any:
    """Return the same estimator with the name of its encoder's folder in place of where that lies on this machine."""
    encoder = os.fspath(getattr(estimator, "encoder", None) or "")
    if not (os.path.isdir(encoder) or os.path.isabs(encoder) or encoder.startswith(".")):
        return estimator
    shared = object.__new__(type(estimator))
    shared.__dict__.update(estimator.__dict__)
    shared.encoder = os.path.basename(os.path.realpath(encoder))
    shared._built_with = estimator._built_with | {"encoder": shared.encoder}
    return shared

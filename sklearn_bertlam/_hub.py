"""Saved estimators on the Hugging Face hub. The only file that imports huggingface_hub."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

    api, estimator = HfApi(token=token), _without_paths(estimator)
    model_card(estimator, repo_id, metrics)  # refuses what are no metrics before anything is made
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        save(estimator, folder, overwrite=False)
        with _named_errors(f"{repo_id!r} could not be written to the hub"):
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id  # with the account
            (folder / "README.md").write_text(model_card(estimator, repo_id, metrics), encoding="utf-8")
            if revision is not None and not revision.startswith("refs/"):
                api.create_branch(repo_id, branch=revision, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message, revision=revision)
    return str(commit.commit_url)


def pull(repo_id: str, *, revision: str | None, token: str | bool | None, local_files_only: bool) -> str:
    """Download the files of a saved estimator, and no others, into the hub's cache; return their folder."""
    from huggingface_hub import HfApi

    with _named_errors(f"{repo_id!r} could not be had from the hub"):
        return HfApi(token=token).snapshot_download(
            repo_id, revision=revision, local_files_only=local_files_only, allow_patterns=sorted(FILES)
        )


@contextmanager
def _named_errors(what: str) -> Iterator[None]:
    """Turn whatever the network stack of the hub's client raises into one error, with the advice in its later lines."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split())[:500] or type(error).__name__
        raise HubError(f"{what}: {said}") from error


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

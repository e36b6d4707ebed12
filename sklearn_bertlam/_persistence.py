"""Fitted classifiers as folders, without pickle: JSON, safetensors and the tokenizer's own file. No code runs on loading.

Where an estimator is pickled, its network and tokenizer are the same plain values (:func:`plain_network`), so that other
versions of torch and transformers can read them, and skops has no types of theirs to trust.

What a folder holds
    estimator.json     class, parameters, labels, thresholds, history, and the sha256 of the other files and of itself
    model.safetensors  the weights
    tokenizer.json     the tokenizer, and tokenizer_config.json with its special tokens
    encoder.json       the architecture of the pretrained encoder, where there is one

``FORMAT`` grows when folders can no longer be read in the same way. Older formats are read, newer ones are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ._files import flush_folder, sha256
from .exceptions import SavedModelError, UnsavedParameterWarning

FORMAT = 1
SAVED_AS, _WEIGHTS, _ENCODER = "estimator.json", "model.safetensors", "encoder.json"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
FILES = {SAVED_AS, _WEIGHTS, _ENCODER, *_TOKENIZER}
_SAVING = ".saving-"
_FILES_OF_A_HUB = {"README.md", ".gitattributes"}
_FILES_OF_A_DESKTOP = {".DS_Store", "desktop.ini", "Thumbs.db"}
OF_THIS_MACHINE = {"checkpoint_dir", "device"}  # parameters that a folder neither holds nor sets
_FACTS = (
    "history_",
    "n_iter_",
    "best_epoch_",
    "n_labels_",
    "n_samples_seen_",
    "sparse_output_",
    "_label_texts",
    "_reading",
    "_precision",
    "_expected_threshold",
    "_n_word_pieces",
)


def save(estimator: Any, folder: str | os.PathLike, overwrite: bool) -> None:
    """Write a fitted estimator to a folder, which at any moment can be loaded as what it was or as what it will be.

    The files are written to a folder of their own in there, ``estimator.json`` last, and then moved to where they belong,
    ``estimator.json`` last again. So the former folder counts if and only if it holds an ``estimator.json``.
    """
    estimator._validate_params()  # load does so as well
    target = Path(folder).resolve()
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file. Give the name of a folder.")
    is_new = not target.is_dir()
    if not is_new:
        _finish(target)
        _check_that_it_may_be_written(target, overwrite)
    target.mkdir(parents=True, exist_ok=True)
    try:
        _write(estimator, target / f"{_SAVING}{secrets.token_hex(8)}")
    except BaseException:
        _finish(target)
        if is_new:
            target.rmdir()
        raise
    _finish(target)
    if is_new:
        flush_folder(target.parent)


def _check_that_it_may_be_written(target: Path, overwrite: bool) -> None:
    there = sorted({file.name for file in target.iterdir()} - _FILES_OF_A_DESKTOP)
    if there and not overwrite:
        raise FileExistsError(f"The folder {target} is not empty. Give another one, or use overwrite=True to replace it.")
    if there and SAVED_AS not in there:
        raise FileExistsError(
            f"overwrite=True replaces a saved classifier, but {target} holds other files: {', '.join(there[:5])}. "
            "Give another folder."
        )


def _write(estimator: Any, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir()
    config = _config(estimator)
    texts = _plain_tokenizer(estimator.tokenizer_)
    encoder = _encoder_config(estimator.module_)
    if encoder is not None:
        texts[_ENCODER] = encoder
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    save_file(_weights(estimator.module_), folder / _WEIGHTS)
    (folder / _WEIGHTS).chmod((folder / _TOKENIZER[0]).stat().st_mode)  # safetensors does not ask the umask
    config["files"] = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    config["checksum"] = _checksum(config)
    unfinished = folder / f"{SAVED_AS}.part"
    unfinished.write_text(json.dumps(config, indent=1), encoding="utf-8")
    for file in folder.iterdir():
        with file.open("r+b") as stream:
            os.fsync(stream.fileno())
    unfinished.rename(folder / SAVED_AS)
    flush_folder(folder)


def _finish(target: Path) -> None:
    """Move what was saved completely to its place, and remove what was not."""
    for part in target.glob(f"{_SAVING}*"):
        if (part / SAVED_AS).is_file():
            files = set(json.loads((part / SAVED_AS).read_text(encoding="utf-8"))["files"])
            for name in FILES - files - {SAVED_AS}:
                (target / name).unlink(missing_ok=True)
            for name in FILES & files:
                if (part / name).is_file():  # else it was moved before the save was killed
                    (part / name).replace(target / name)
            flush_folder(target)
            (part / SAVED_AS).replace(target / SAVED_AS)
        shutil.rmtree(part, ignore_errors=True)
    flush_folder(target)


class _Folder:
    """A saved estimator, some of whose files a save that was killed may have left where it wrote them."""

    def __init__(self, path: Path):
        self.path = path
        parts = path.glob(f"{_SAVING}*") if path.is_dir() else []
        self.unfinished = next((part for part in parts if (part / SAVED_AS).is_file()), None)

    def __truediv__(self, name: str) -> Path:
        if self.unfinished is not None and (self.unfinished / name).is_file():
            return self.unfinished / name
        return self.path / name


def _checksum(config: Mapping[str, Any]) -> str:
    """Return the hash of what ``estimator.json`` holds besides it."""
    content = {name: value for name, value in config.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _config(estimator: Any) -> dict[str, Any]:
    from . import __version__

    given = {name: value for name, value in estimator.get_params(deep=False).items() if name not in OF_THIS_MACHINE}
    parameters = _plain_values(given)
    for name in sorted(set(given) - set(parameters)):
        warnings.warn(
            f"{name}={given[name]!r:.60} cannot be saved as JSON; the loaded estimator will have its default.",
            UnsavedParameterWarning,
            stacklevel=5,
        )
    tuned = getattr(estimator, "_tuned_threshold", None)
    return {
        "format": FORMAT,
        "version": __version__,
        "class": type(estimator).__name__,
        "parameters": parameters,
        "classes": [_plain_label(label) for label in estimator.classes_],
        "class_count": estimator.class_count_.tolist(),
        "tuned_threshold": None if tuned is None else tuned.tolist(),
        "labels_per_update": estimator.module_.labels_per_update,
        "facts": {name: _plain(getattr(estimator, name)) for name in _FACTS},
        "built_with": _plain_values(estimator._built_with),
    }


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as JSON knows them, without those that it does not know."""
    plain = {}
    for name, value in values.items():
        with suppress(TypeError):
            plain[name] = _plain(value)
    return plain


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if hasattr(value, "tolist"):  # numpy and pandas
        return _plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return {"__pairs__": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(type(value).__name__)


def _plain_label(label: Any) -> Any:
    plain = label.item() if isinstance(label, np.generic) else label
    if not isinstance(plain, (str, bool, int, float)):
        raise TypeError(f"The label {label!r} is a {type(label).__name__}. Labels that are saved have to be str or numbers.")
    return plain


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"__pairs__"}:
        return {key: _from_plain(item) for key, item in value["__pairs__"]}
    return value


# -------------------------------------------------------------------------------------------------------------- loading


def load(cls: type, folder: str | os.PathLike, device: str) -> Any:
    """Return the estimator of a class that a folder holds."""
    from ._runtime import is_out_of_memory, resolve_device

    source, resolved = _Folder(Path(folder)), str(resolve_device(device))
    config = _read_config(source, cls)
    _check_files(source, config)
    tempfile.gettempdir()  # without any, say so, and not that the files are damaged
    try:
        return _build(cls, source, config, str(device), resolved)
    except Exception as error:  # what is raised depends on what the folder holds
        if isinstance(error, (MemoryError, ImportError)) or is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise _unreadable(source, f"{type(error).__name__}: {reason:.300}") from error


def _read_config(source: _Folder, cls: type) -> dict[str, Any]:
    if not source.path.is_dir():
        raise SavedModelError(f"There is no folder {source.path}. Give the one that save() has written.")
    try:
        config = json.loads((source / SAVED_AS).read_text(encoding="utf-8"))
        saved_format, name, is_whole = config["format"], config["class"], config.get("checksum") == _checksum(config)
    except FileNotFoundError as error:
        raise SavedModelError(f"The folder {source.path} has no {SAVED_AS}. It was not written by save().") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(source, f"{SAVED_AS} was not written by save(), or is damaged") from error
    if not isinstance(saved_format, int) or saved_format > FORMAT:
        raise SavedModelError(
            f"{source.path} has format {saved_format!r}, written by version {config.get('version')!r}, but this version "
            f"reads formats up to {FORMAT}. Update sklearn-bertlam."
        )
    if name != cls.__name__:
        raise SavedModelError(f"{source.path} holds a {name}. Load it with {name}.load.")
    if not is_whole:
        raise _unreadable(source, f"{SAVED_AS} is not the file that was saved: changed")
    return config


def _check_files(source: _Folder, config: dict[str, Any]) -> None:
    known = FILES - {SAVED_AS}
    hashes = config.get("files")
    if not isinstance(hashes, dict) or not {_WEIGHTS, *_TOKENIZER} <= set(hashes) <= known:
        raise _unreadable(source, f"{SAVED_AS} does not list the files that belong to it")
    for name, expected in hashes.items():
        if not (source / name).is_file():
            raise SavedModelError(f"{source / name} is missing. Copy the whole folder, or save again.")
        if not _is_what_was_saved(source / name, expected):
            raise _unreadable(source, f"{name} is not the file that was saved: truncated or changed")
    there = {file.name for file in source.path.iterdir() if not file.name.startswith(_SAVING)}
    others = sorted(there - FILES - _FILES_OF_A_HUB - _FILES_OF_A_DESKTOP)
    if others:
        warnings.warn(f"{source.path} holds files that are not read: {', '.join(others)}.", UserWarning, stacklevel=4)


def _is_what_was_saved(file: Path, expected: str) -> bool:
    if sha256(file) == expected:
        return True
    is_text = file.name in (_ENCODER, *_TOKENIZER)  # whose ends of lines git changes on Windows
    return is_text and hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest() == expected


def _build(cls: type, source: _Folder, config: dict[str, Any], device: str, resolved_device: str) -> Any:
    from safetensors.torch import load_file

    from ._validation import object_array

    known = set(cls._get_param_names()) - OF_THIS_MACHINE  # type: ignore[attr-defined]
    parameters = {name: _from_plain(value) for name, value in config["parameters"].items() if name in known}
    estimator = cls(**parameters, device=device)
    estimator._validate_params()
    for name in _FACTS:
        setattr(estimator, name, config["facts"][name])
    estimator._built_with = {name: _from_plain(value) for name, value in config["built_with"].items() if name in known}
    estimator.classes_ = object_array(config["classes"])
    estimator.class_count_ = np.array(config["class_count"], dtype=np.int64)
    estimator.device_ = resolved_device
    if config["tuned_threshold"] is not None:
        estimator._tuned_threshold = np.array(config["tuned_threshold"])
    _check_label_lengths(estimator)
    texts = {name: (source / name).read_text(encoding="utf-8") for name in config["files"] if name != _WEIGHTS}
    estimator.tokenizer_ = _tokenizer_of(texts)
    encoder = json.loads(texts[_ENCODER]) if _ENCODER in texts else None
    estimator.module_ = _make_module(estimator, encoder, load_file(source / _WEIGHTS), config["labels_per_update"])
    return estimator


def _check_label_lengths(estimator: Any) -> None:
    tuned, texts = getattr(estimator, "_tuned_threshold", None), estimator._label_texts
    known = [values for values in (estimator.classes_, estimator.class_count_, tuned, texts) if values is not None]
    lengths = {estimator.n_labels_, *map(len, known)}
    if len(lengths) > 1:
        raise ValueError(f"labels, their texts, counts and thresholds are not of the same number: {sorted(lengths)}")


# ---------------------------------------------------------------------------------------------- network and tokenizer


def plain_network(estimator: Any) -> dict[str, Any]:
    """Return the network and the tokenizer of a fitted estimator as strings, numbers and arrays."""
    return {
        "weights": {name: value.numpy() for name, value in _weights(estimator.module_).items()},
        "encoder": _encoder_config(estimator.module_),
        "labels_per_update": estimator.module_.labels_per_update,
        "tokenizer": _plain_tokenizer(estimator.tokenizer_),
    }


def restore_network(estimator: Any, plain: Mapping[str, Any]) -> None:
    """Give an estimator the network and the tokenizer that ``plain_network`` has returned, on its ``device_``."""
    import torch

    estimator.tokenizer_ = _tokenizer_of(plain["tokenizer"])
    encoder = None if plain["encoder"] is None else json.loads(plain["encoder"])
    weights = {name: torch.from_numpy(np.array(value)) for name, value in plain["weights"].items()}  # may be read-only
    estimator.module_ = _make_module(estimator, encoder, weights, plain["labels_per_update"])


def _make_module(estimator: Any, encoder: dict | None, weights: Mapping[str, Any], labels_per_update: int | None) -> Any:
    import torch

    from ._forking import prepare_for_forks
    from ._runtime import without_random_numbers

    prepare_for_forks()
    as_fitted = object.__new__(type(estimator))  # its parameters may have been set otherwise since
    as_fitted.__dict__.update(estimator.__dict__ | estimator._built_with)
    with torch.inference_mode(False), torch.enable_grad(), without_random_numbers():
        module = as_fitted._blank_module(encoder).float()
    module.load_state_dict(weights)
    module.labels_per_update = None if labels_per_update is None else int(labels_per_update)
    return module.to(estimator.device_).eval()


def _weights(module: Any) -> dict[str, Any]:
    return {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}


def _encoder_config(module: Any) -> str | None:
    if module.encoder is None:
        return None
    config = json.loads(module.encoder.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)  # where it lay on this machine
    return json.dumps(config, indent=1)


def _plain_tokenizer(tokenizer: Any) -> dict[str, str]:
    """Return what is in the tokenizer's own files."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {name: (Path(folder) / name).read_text(encoding="utf-8") for name in _TOKENIZER}


def _tokenizer_of(texts: Mapping[str, str]) -> Any:
    """Return the tokenizer of such files, and of no other that may lie beside them."""
    from ._encoders import load_tokenizer

    model, settings = _TOKENIZER
    own = {name: value for name, value in json.loads(texts[settings]).items() if not name.endswith("_file")}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / model).write_text(texts[model], encoding="utf-8")
        (Path(folder) / settings).write_text(json.dumps(own), encoding="utf-8")
        return load_tokenizer(folder)


def _unreadable(source: _Folder, reason: str) -> SavedModelError:
    return SavedModelError(f"{source.path} cannot be loaded: {reason}. Save the estimator again.")

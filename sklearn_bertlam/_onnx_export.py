"""A fitted classifier as one ONNX file: token ids and counts of them in, logits out, label vectors as constants."""

from __future__ import annotations

import logging
import os
import re
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from ._onnx_format import CHECKSUM, COUNT_INPUTS, INPUTS, OUTPUT, WEIGHTS, OnnxMetadata, require, seal
from ._tokens import RaggedTokens, tokenize

if TYPE_CHECKING:
    from ._module import LabelAttentionNetwork

_MOST_BYTES = 2 * 10**9  # one protobuf message has to stay below 2 GiB, tokenizer and graph included
_EXAMPLE_LENGTH = 16


def export(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted classifier to an ONNX file, which is there completely or not at all.

    Parameters
    ----------
    estimator : BertLamClassifier
        A fitted classifier; it is not changed.
    path : str or path-like
        The file to write. Weights of more than 2 GB go to a second file beside it, with a name of its own, so that the old
        file has its weights until the new one is in its place.
    """
    require("to_onnx", "onnx", "onnxscript")
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"Got path={str(path)!r}, which is a folder. Pass the path of the file to write.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:  # os.replace needs the same disk
        no_text = tokenize(estimator.tokenizer_, [""], **estimator._reading)
        metadata = _metadata(estimator, no_text.pad_id)
        program = _trace(_Logits(estimator.module_, no_text), int(estimator._reading["max_length"]))
        _describe(program.model, metadata)
        written = Path(folder) / f"{path.name}-{secrets.token_hex(4)}"
        _save(program, written, path.name)
        _put_in_place(written, path)


def _put_in_place(written: Path, path: Path) -> None:
    """Move a file to its place, its weights before it, because it cannot be read without; then remove the old one's."""
    old_weights = _weights_beside(path)
    weights = written.with_name(f"{written.name}.data")
    if weights.exists():
        os.replace(weights, path.with_name(weights.name))
    os.replace(written, path)
    if old_weights is not None:
        with suppress(OSError):  # somebody may be reading them
            old_weights.unlink()


def _weights_beside(path: Path) -> Path | None:
    """Return the file that holds the weights of an older file of the same name."""
    import onnx

    try:
        entries = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    except Exception:  # no file, or no model
        return None
    name = entries.get(WEIGHTS, "")
    is_ours = re.fullmatch(rf"{re.escape(path.name)}-[0-9a-f]+\.data", name)  # a file can name any other
    return path.with_name(name) if is_ours else None


class _Logits(nn.Module):
    """The network of a fitted classifier in float32 on padded token ids.

    B documents, L positions, P word-pieces that a document has, K labels, H hidden units.

    Parameters
    ----------
    module : LabelAttentionNetwork
        The trained network; a copy is used.
    special : RaggedTokens
        Says how many special tokens are around every text.
    """

    label_vectors: torch.Tensor | None

    def __init__(self, module: LabelAttentionNetwork, special: RaggedTokens):
        super().__init__()
        self.n_prefix, self.n_suffix = special.n_prefix, special.n_suffix
        self.network = deepcopy(module).float().cpu()
        self.eval()
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            prepared = self.network.prepare()
        vectors = prepared.label_vectors
        self.register_buffer("label_vectors", None if vectors is None else vectors.detach())
        self.first_position = prepared.encoder.first_position if prepared.encoder else None
        if hasattr(self.network.encoder, "set_attn_implementation"):
            self.network.encoder.set_attn_implementation("eager")  # others choose their kernel by the values of the mask

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        piece_ids: torch.Tensor | None = None,
        piece_counts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return logits (B, K) from ids and mask, (B, L), and the pieces of whole documents and their counts, (B, P)."""
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)  # (L,)
        tokens = self._encode(input_ids, attention_mask, positions)  # (B, L, H)
        content = self._content_mask(attention_mask, positions)  # (B, L)
        logits = self.network.classify(self.network._pool(tokens, content, self.label_vectors))  # (B, K)
        return logits if self.network.words is None else self.network.words(logits, piece_ids, piece_counts)

    def _encode(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.first_position is not None:  # RoBERTa itself would not count a text's literal "<pad>"
            inputs["position_ids"] = positions[None] + self.first_position
        return self.network.encoder(**inputs).last_hidden_state

    def _content_mask(self, attention_mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Leave out padding and special tokens; a text without any content keeps its first token."""
        lengths = attention_mask.sum(dim=1, keepdim=True)  # (B, 1)
        content = (positions >= self.n_prefix) & (positions < lengths - self.n_suffix)  # (B, L)
        return content | (~content.any(dim=1, keepdim=True) & (positions == 0))


def _trace(module: _Logits, max_length: int) -> Any:
    n_tokens = min(_EXAMPLE_LENGTH, max_length)
    shapes = [{0: Dim("batch"), 1: Dim("length", min=2, max=max_length)}] * len(INPUTS)
    names = [*INPUTS]
    if module.network.words is not None:
        shapes += [{0: shapes[0][0], 1: Dim("pieces", min=2)}] * len(COUNT_INPUTS)
        names += COUNT_INPUTS
    # one tensor for each input: an input that is the same object as another would be taken for it
    examples = [torch.ones(2, n_tokens, dtype=torch.int64) for _ in names]
    with _quiet_exporter():
        return torch.onnx.export(
            module,
            tuple(examples),
            input_names=names,
            output_names=[OUTPUT],
            dynamic_shapes=tuple(shapes),
            dynamo=True,
            verbose=False,
        )


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide what a user cannot act on: torch's calls of its own old functions, and operators of libraries not used here."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # inputs have axes in common, which is meant
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _metadata(estimator: Any, pad_id: int) -> OnnxMetadata:
    from . import __version__

    cardinality, words = estimator.module_.cardinality, estimator.module_.words
    return OnnxMetadata(
        classes=[_plain_label(label) for label in estimator.classes_],
        threshold=np.asarray(estimator.threshold_).tolist(),
        max_length=int(estimator._reading["max_length"]),
        pad_id=int(pad_id),
        sparse_output=bool(estimator.sparse_output_),
        cardinality=None if cardinality is None else (cardinality.log_ratio.tolist(), cardinality.is_counted.tolist()),
        n_pieces=0 if words is None else words.n_pieces,
        pairs=[] if words is None else words.pairs.tolist(),
        tokenizer=_tokenizer_with_truncation(estimator.tokenizer_, estimator._reading["max_length"]),
        package_version=__version__,
    )


def _plain_label(label: object) -> str | int:
    if isinstance(label, str):
        return str(label)
    if isinstance(label, (int, np.integer)) and not isinstance(label, bool):
        return int(label)
    raise ValueError(
        f"An ONNX file holds labels of type str or int, got {label!r} of type {type(label).__name__}. "
        "Rename the columns of y and fit again."
    )


def _tokenizer_with_truncation(tokenizer: Any, max_length: int) -> str:
    backend = deepcopy(tokenizer.backend_tokenizer)
    backend.no_padding()
    backend.enable_truncation(max_length, direction="right")
    return backend.to_str()


def _describe(model: Any, metadata: OnnxMetadata) -> None:
    """Replace the exporter's notes, among them the paths of source files, by what prediction needs."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.metadata_props.update(metadata.to_properties())


def _save(program: Any, path: Path, final_name: str) -> None:
    n_bytes = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    too_large = n_bytes > _MOST_BYTES
    placeholder = secrets.token_hex(32)
    program.model.metadata_props[CHECKSUM] = placeholder
    if too_large:
        program.model.metadata_props[WEIGHTS] = f"{path.name}.data"
    program.save(path, external_data=too_large)
    seal(path, placeholder, program.model.metadata_props.get(WEIGHTS))
    if too_large:
        warnings.warn(
            f"The weights take {n_bytes / 1e9:.1f} GB, more than one ONNX file can hold. They are in {path.name}.data, "
            f"which has to stay beside {final_name}.",
            stacklevel=4,
        )

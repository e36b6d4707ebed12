"""Applying a module over texts: parts that fit into memory, and results in the order of the texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch

from ._batches import PackedTexts, TextDataset, TextRows
from ._bert import LinearFactory
from ._cardinality import adjust
from ._runtime import is_out_of_memory, kept_memory
from ._text_module import TextModule
from ._tokens import RaggedTokens
from .exceptions import LessMemoryWarning, OutOfMemoryError

_TOKENS_AT_ONCE = {"cpu": 4096}  # more is no faster there, and needs more memory
_MOST_TOKENS_AT_ONCE = 2**16


def predict_scores(
    module: TextModule,
    tokens: RaggedTokens,
    device: torch.device,
    precision: torch.dtype,
    shared: dict[str, Any],
    method: str = "__call__",
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return what a method of the module, by default its logits, gives for some of n tokenized texts, by default all.

    ``shared`` comes from ``prepared``. Where counts of words and numbers of labels have a say, the logits follow them.
    """
    function = partial(getattr(module, method), **shared)
    rows = np.arange(len(tokens)) if rows is None else rows
    scores = _apply(function, tokens, rows, module, device, precision)
    return scores if method != "__call__" else _with_counts(module, scores, tokens, rows)


def _with_counts(module: TextModule, logits: np.ndarray, tokens: RaggedTokens, rows: np.ndarray) -> np.ndarray:
    if module.words is not None:
        logits = module.words.mix(logits, tokens, rows)
    if module.cardinality is None:
        return logits
    counts = module.cardinality
    return adjust(logits, *(x.cpu().numpy() for x in (counts.log_ratio, counts.is_counted)))


def network_scores(module: TextModule, data: TextDataset, device: torch.device, precision: torch.dtype) -> np.ndarray:
    """Return the network's own logits (n, K) for the texts of a data set, in its order."""
    function = partial(module, **prepared(module, device, precision))
    return _apply(function, data.tokens, data.rows, module, device, precision)


def frozen_outputs(
    function: Callable[[PackedTexts], torch.Tensor],
    data: TextDataset,
    module: TextModule,
    device: torch.device,
    precision: torch.dtype,
) -> np.ndarray:
    """Return the outputs (n, ...) of a module's method for the documents of a data set, in half precision."""
    return _apply(function, data.tokens, data.rows, module, device, precision, dtype=np.float16)


def _apply(
    function: Callable[[PackedTexts], torch.Tensor],
    tokens: RaggedTokens,
    rows: np.ndarray,
    module: TextModule,
    device: torch.device,
    precision: torch.dtype,
    dtype: type = np.float32,
) -> np.ndarray:
    """Apply a function of a batch to some of the texts, long ones first, and return the results in the order of ``rows``."""
    order = np.argsort(-tokens.lengths[rows], kind="stable")
    texts = TextRows(tokens, rows[order])
    result: np.ndarray = np.empty(0, dtype=dtype)

    @torch.inference_mode()
    def outputs(most_tokens: int) -> np.ndarray:
        nonlocal result
        for part, batch in texts.parts(most_tokens, module.values_per_text):
            with autocast(device, precision):
                values = function(batch.to(device)).float().cpu().numpy()  # (B, ...)
            if result.size == 0:
                result = np.empty((len(rows), *values.shape[1:]), dtype=dtype)
            with np.errstate(under="ignore"):  # half precision has no smaller numbers
                result[order[part]] = values
        return result

    most_tokens = tokens_at_once(module, device, training=False)
    with kept_memory(device) if tokens.lengths[rows].sum() > most_tokens else nullcontext():
        return within_memory(outputs, most_tokens, texts)[1]


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Compute in bfloat16 where that is the precision, and in the parameters' own type where it is float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)


def prepared(
    module: TextModule, device: torch.device, precision: torch.dtype, make_linear: LinearFactory | None = None
) -> dict[str, Any]:
    """Return what a module wants to be given with every batch of a prediction."""
    with torch.inference_mode(), autocast(device, precision):
        shared = module.prepare(make_linear)
    return {} if shared is None else {"prepared": shared}


def tokens_at_once(module: TextModule, device: torch.device, training: bool) -> int:
    """Return how many tokens to compute on at once: the module's own number, a fixed one on a CPU, or what memory allows."""
    if module.tokens_at_once is not None:
        return module.tokens_at_once
    if device.type in _TOKENS_AT_ONCE:
        return _TOKENS_AT_ONCE[device.type]
    config = module.encoder.config
    layers = getattr(config, "num_hidden_layers", 12) if training else 2
    bytes_per_token = 4 * layers * 24 * config.hidden_size  # generous
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch keeps what it has freed
    return int(np.clip(free // 2 // bytes_per_token, 2048, _MOST_TOKENS_AT_ONCE))


def within_memory(function: Callable[[int], Any], most_tokens: int, texts: TextRows) -> tuple[int, Any]:
    """Call a function with a number of tokens to compute on at once, and with half of it as long as memory runs out.

    Returns
    -------
    most_tokens : int
        The number that went well.
    result : object
        What the function returned.

    Raises
    ------
    OutOfMemoryError
        If memory does not suffice for the longest text alone.
    """
    longest = int(texts.tokens.lengths[texts.rows].max(initial=1))
    while True:
        try:
            return most_tokens, function(most_tokens)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if most_tokens <= longest:
                raise OutOfMemoryError(
                    f"Out of memory with a single text of {longest} tokens. "
                    "Lower max_length, use a smaller encoder, or free memory on the device."
                ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        halved = max(most_tokens // 2, longest)
        warnings.warn(
            f"Out of memory with {most_tokens} tokens at once; going on with {halved}. The result stays the same.",
            LessMemoryWarning,
            stacklevel=2,
        )
        most_tokens = halved

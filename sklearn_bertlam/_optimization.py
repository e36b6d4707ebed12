"""Whether another precision makes the predictions of a fitted estimator faster, and what it costs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.metrics import f1_score

from ._bert import is_bert
from ._prediction import predict_scores, prepared
from ._quantization import InputRanges, Int8Linears, has_int8
from ._runtime import kept_memory, resolve_precision
from ._tokens import RaggedTokens, tokenize
from .exceptions import InvalidTargetError

_TEXTS_FOR_RANGES = 256
_ROUNDS = 3
_MOST_F1_LOST = 0.005


def compare_precisions(
    estimator: Any, texts: list[str], targets: sp.csr_array | None
) -> tuple[list[list[np.ndarray]] | None, dict[str, Any]]:
    """Time predictions in the precision of training, in bfloat16 where this may be faster, and in 8-bit integers, in turn.

    Returns
    -------
    ranges : list of [array, array] or None
        The smallest and largest inputs of every layer if integers are chosen, else None.
    measured : dict
        "precision" (the fastest of those that are as good), "documents_per_second" and "f1_micro" by precision.
    """
    device = torch.device(estimator.device_)
    if device.type != "cpu" or not is_bert(estimator.module_.encoder):
        raise ValueError(
            f"optimize_for_inference is for BERT-like encoders on a CPU, got {type(estimator.module_.encoder).__name__} "
            f"on {device}. Use the estimator as it is."
        )
    precision = resolve_precision(estimator._precision, device)
    usual = str(precision).removeprefix("torch.")
    tokens = tokenize(estimator.tokenizer_, texts, **estimator._reading)
    ways = {usual: (precision, prepared(estimator.module_, device, precision))}
    if resolve_precision("auto", device) == torch.bfloat16 != precision:
        ways["bfloat16"] = torch.bfloat16, prepared(estimator.module_, device, torch.bfloat16)
    ranges = None
    if has_int8():
        ranges = _ranges(estimator, texts[:_TEXTS_FOR_RANGES], device, precision)
        ways["int8"] = precision, prepared(estimator.module_, device, precision, Int8Linears(ranges))

    seconds, logits = _timed(estimator, tokens, device, ways)
    labels = {name: estimator._labels(some) for name, some in logits.items()}
    f1 = {name: _micro_f1(labels[usual] if targets is None else targets, some) for name, some in labels.items()}
    good = [name for name in seconds if targets is None or f1[name] >= f1[usual] - _MOST_F1_LOST]
    fastest = min(good, key=lambda name: float(np.median(seconds[name])))
    measured = {
        "precision": fastest,
        "documents_per_second": {name: len(texts) / float(np.median(times)) for name, times in seconds.items()},
        "f1_micro": f1,
    }
    return (ranges if fastest == "int8" else None), measured


def _timed(
    estimator: Any, tokens: RaggedTokens, device: torch.device, ways: dict[str, tuple]
) -> tuple[dict[str, list[float]], dict[str, np.ndarray]]:
    """Return the seconds of every round, and the logits, of each way to predict."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    logits: dict[str, np.ndarray] = {}
    with kept_memory(device):
        for _ in range(_ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                logits[name] = predict_scores(estimator.module_, tokens, device, *way)
                seconds[name].append(time.perf_counter() - start)
    return seconds, logits


def _ranges(estimator: Any, texts: list[str], device: torch.device, precision: torch.dtype) -> list[list[np.ndarray]]:
    noting = InputRanges(precision)
    shared = prepared(estimator.module_, device, precision, noting)
    tokens = tokenize(estimator.tokenizer_, texts, **estimator._reading)
    predict_scores(estimator.module_, tokens, device, precision, shared)
    return [[low.numpy(), high.numpy()] for low, high in noting.ranges]


def _micro_f1(targets: Any, labels: Any) -> float:
    targets, labels = (x.toarray() if sp.issparse(x) else np.asarray(x) for x in (targets, labels))
    known = ~np.isnan(targets)
    if not known.any():
        raise InvalidTargetError("y is NaN everywhere, so that no micro-F1 can be measured. Leave it out.")
    return float(f1_score(targets[known].astype(int), labels[known].astype(int), zero_division=1))

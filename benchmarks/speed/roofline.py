"""The speed of matrix products on this machine, and how many of them a document needs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

_SECONDS = 0.4


def matrix_speed(device: str, precision: str, config: Any) -> float:
    """Return the largest speed, in FLOP/s, of matrix products like those of the encoder and of square ones."""
    import torch

    sides = (2048,) if device == "cpu" else (2048, 8192)
    shapes = [(4096, config.hidden_size, config.intermediate_size), *((side, side, side) for side in sides)]
    return max(_speed(torch, device, getattr(torch, precision), *shape) for shape in shapes)


def _speed(torch: Any, device: str, dtype: Any, m: int, k: int, n: int) -> float:
    left, right = torch.randn(m, k, device=device).to(dtype), torch.randn(k, n, device=device).to(dtype)
    repeats = 1 if device == "cpu" else 20

    def seconds() -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / repeats

    seconds()
    end, best = time.perf_counter() + _SECONDS, seconds()
    while time.perf_counter() < end:
        best = min(best, seconds())
    return 2 * m * k * n / best


def flops_per_document(config: Any, lengths: np.ndarray) -> float:
    """Return the mean FLOPs of the encoder's matrix products forward, for texts of so many tokens and no padding.

    Training needs three times as many. Label attention, label texts and the last layer are left out: they are cost, not
    work that every system has to do.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    linear = 2 * lengths * (4 * hidden**2 + 2 * hidden * inner)  # queries, keys, values, output; two layers inside
    attention = 4 * lengths.astype(np.float64) ** 2 * hidden  # scores, and the sums that they weigh
    return float(config.num_hidden_layers * np.mean(linear + attention))

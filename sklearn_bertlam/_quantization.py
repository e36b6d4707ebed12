"""Affine layers in 8-bit integers, for prediction on a CPU.

Weights have a scale per output unit. Inputs have one scale per layer, from the ranges that were seen on typical texts, so
that the result of a text does not depend on the texts beside it. A few units of BERT are far larger than all others; part of
their size is moved into the weights first, as SmoothQuant does [1]_.

References
----------
.. [1] G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch

from ._bert import AddingLinear, Linear, LinearIn, Then, is_gelu
from ._runtime import cpu_operators_take_bfloat16

_LARGEST_WEIGHT = 127
_ALL_LEVELS = 255
_SMALLEST = 1e-6


class Range(NamedTuple):
    """The smallest and largest value of every input unit, each (in,)."""

    low: torch.Tensor
    high: torch.Tensor


class InputRanges:
    """A factory of affine layers that note the range of their inputs.

    Attributes
    ----------
    ranges : list of Range
        One for every layer, in the order in which the layers were made.
    """

    def __init__(self, dtype: torch.dtype):
        self.make_linear = LinearIn(dtype)
        self.ranges: list[Range] = []

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer."""
        linear, index = self.make_linear(weight, bias, then), len(self.ranges)
        self.ranges.append(Range(torch.zeros(weight.shape[1]), torch.zeros(weight.shape[1])))

        def noting(x: torch.Tensor) -> torch.Tensor:
            low, high = torch.aminmax(x.float(), dim=0)
            so_far = self.ranges[index]
            self.ranges[index] = Range(torch.minimum(low, so_far.low), torch.maximum(high, so_far.high))
            return linear(x)

        return noting

    def adding(self, weight: torch.Tensor, bias: torch.Tensor) -> AddingLinear:
        """Make a layer that adds to a residual."""
        product = self(weight, bias, "attention")
        return lambda x, residual, p: residual + product(x)


class Int8Linears:
    """A factory of 8-bit affine layers.

    Parameters
    ----------
    ranges : list of (array, array)
        The smallest and largest inputs, as from ``InputRanges``, for layers that are made in the same order.
    """

    def __init__(self, ranges: Sequence[Sequence]):
        self.ranges = [Range(*map(torch.as_tensor, one)) for one in ranges]
        self.n_made = 0
        self.previous_gives_levels = False
        self.between = torch.bfloat16 if cpu_operators_take_bfloat16() else torch.float32  # the type of other outputs

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer; one with GELU hands levels, not numbers, to the layer after it."""
        quantizer, weights = self._quantized(weight, bias)
        if is_gelu(then):
            self.previous_gives_levels = True
            following = _Quantizer(*self.ranges[self.n_made], torch.ones(len(weight)))
            output: tuple = (following.scale, following.zero_point, torch.uint8, "gelu", [], "none")
        else:
            output = (1.0, 0, self.between, "none", [], "none")

        def linear(x: torch.Tensor) -> torch.Tensor:
            return torch.ops.onednn.qlinear_pointwise(*quantizer(x), *weights, *output)

        return linear if is_gelu(then) or isinstance(then, str) else lambda x: then(linear(x))

    def adding(self, weight: torch.Tensor, bias: torch.Tensor) -> AddingLinear:
        """Make a layer that adds to a residual."""
        quantizer, (*weights, bias) = self._quantized(weight, bias)
        output: tuple = (1.0, 0, self.between, 1.0, 0, "add", 1.0, "none", [], "none")

        def adding(x: torch.Tensor, residual: torch.Tensor, p: float) -> torch.Tensor:
            residual = residual.to(self.between)
            return torch.ops.onednn.qlinear_pointwise.binary(*quantizer(x), *weights, residual, bias, *output)

        return adding

    def _quantized(self, weight: torch.Tensor, bias: torch.Tensor) -> tuple[_Quantizer, tuple[torch.Tensor, ...]]:
        """Return what quantizes the inputs of the next layer, and its weights as the operators take them."""
        low, high = self.ranges[self.n_made]
        smoothing = torch.ones_like(low) if self.previous_gives_levels else _smoothing(low, high, weight)
        quantizer = _Quantizer(low / smoothing, high / smoothing, smoothing, self.previous_gives_levels)
        self.n_made, self.previous_gives_levels = self.n_made + 1, False
        weight = weight * smoothing
        scales = weight.abs().amax(dim=1).clamp(min=_SMALLEST) / _LARGEST_WEIGHT  # (out,)
        integers = torch.ops.onednn.qlinear_prepack((weight / scales[:, None]).round().to(torch.int8), None)
        return quantizer, (integers, scales, torch.zeros(len(weight), dtype=torch.long), bias.float())


def _smoothing(low: torch.Tensor, high: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return by what every input unit is divided, and its weights multiplied."""
    of_input = torch.maximum(high, -low).clamp(min=_SMALLEST)
    of_weight = weight.abs().amax(dim=0).clamp(min=_SMALLEST)
    return (of_input / of_weight).sqrt().clamp(min=_SMALLEST)


class _Quantizer:
    def __init__(self, low: torch.Tensor, high: torch.Tensor, smoothing: torch.Tensor, given_levels: bool = False):
        lowest = min(float(low.min()), 0.0)
        self.levels = _levels()
        self.scale = max(float(high.max()) - lowest, _SMALLEST) / self.levels
        self.zero_point = round(-lowest / self.scale)
        self.factor = 1 / (smoothing * self.scale)
        self.given_levels = given_levels

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, float, int]:
        """Return levels with their scale and zero point."""
        if not self.given_levels:
            x = (x * self.factor).add_(self.zero_point).round_().clamp_(0, self.levels).to(torch.uint8)
        elif self.levels < _ALL_LEVELS:
            x = x.clamp_(max=self.levels)
        return x, self.scale, self.zero_point


@lru_cache(maxsize=1)
def _levels() -> int:
    """Return the largest input whose products are exact: older processors add up two of them in 16 bits, too few for all."""
    n = 16
    weight = torch.ops.onednn.qlinear_prepack(torch.full((1, n), _LARGEST_WEIGHT, dtype=torch.int8), None)
    x = torch.full((1, n), _ALL_LEVELS, dtype=torch.uint8)
    scale, zero_point = torch.ones(1), torch.zeros(1, dtype=torch.long)
    product = torch.ops.onednn.qlinear_pointwise(
        x, 1.0, 0, weight, scale, zero_point, None, 1.0, 0, torch.float32, "none", [], "none"
    )
    return _ALL_LEVELS if product.item() == n * _ALL_LEVELS * _LARGEST_WEIGHT else _ALL_LEVELS // 2


def has_int8() -> bool:
    """Tell whether this build of torch has the operators."""
    names = ("qlinear_prepack", "qlinear_pointwise")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.onednn, name) for name in names)

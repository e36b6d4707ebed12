"""Affine layers in 8-bit integers, for prediction on a CPU.

Weights have a scale per output unit. Inputs have one scale per layer, from the ranges that were seen on typical texts, so
that the result of a text does not depend on the texts beside it. A few units of BERT are far larger than all others; part of
their size is moved into the weights first, as SmoothQuant does [1]_.

References
----------
.. [1] G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ._bert import Linear, Then, is_gelu, linear_in

_LEVELS = 255
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
        self.make_linear = linear_in(dtype)
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


class Int8Linears:
    """A factory of 8-bit affine layers.

    Parameters
    ----------
    ranges : list of Range
        From ``InputRanges``, for layers that are made in the same order.
    """

    def __init__(self, ranges: list[Range]):
        self.ranges = ranges
        self.n_made = 0
        self.previous_gives_levels = False

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer; one with GELU hands levels, not numbers, to the layer after it."""
        given_levels, fused = self.previous_gives_levels, is_gelu(then)
        self.previous_gives_levels = fused
        low, high = self.ranges[self.n_made]
        self.n_made += 1
        smoothing = torch.ones_like(low) if given_levels else _smoothing(low, high, weight)
        quantizer = _Quantizer(low / smoothing, high / smoothing, smoothing)
        output = _Output(torch.bfloat16 if then == "attention" else torch.float32)
        if fused:
            following = _Quantizer(*self.ranges[self.n_made], torch.ones(len(weight)))
            output = _Output(torch.uint8, following.scale, following.zero_point, "gelu")
        linear = _int8_linear(weight * smoothing, bias, quantizer, given_levels, output)
        return linear if fused or isinstance(then, str) else lambda x: then(linear(x))


def _smoothing(low: torch.Tensor, high: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return by what every input unit is divided, and its weights multiplied."""
    of_input = torch.maximum(high, -low).clamp(min=_SMALLEST)
    of_weight = weight.abs().amax(dim=0).clamp(min=_SMALLEST)
    return (of_input / of_weight).sqrt().clamp(min=_SMALLEST)


class _Quantizer:
    def __init__(self, low: torch.Tensor, high: torch.Tensor, smoothing: torch.Tensor):
        lowest = min(float(low.min()), 0.0)
        self.scale = max(float(high.max()) - lowest, _SMALLEST) / _LEVELS
        self.zero_point = round(-lowest / self.scale)
        self.factor = 1 / (smoothing * self.scale)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.factor).add_(self.zero_point).round_().clamp_(0, _LEVELS).to(torch.uint8)


class _Output(NamedTuple):
    dtype: torch.dtype
    scale: float = 1.0
    zero_point: int = 0
    activation: str = "none"


def _int8_linear(
    weight: torch.Tensor, bias: torch.Tensor, quantizer: _Quantizer, given_levels: bool, output: _Output
) -> Linear:
    operators: Any = torch.ops.onednn
    weight_scales = weight.abs().amax(dim=1).clamp(min=_SMALLEST) / 127  # (out,)
    integers = operators.qlinear_prepack((weight / weight_scales[:, None]).round().to(torch.int8), None)
    weights = (integers, weight_scales, torch.zeros(len(weight), dtype=torch.long), bias.float())
    result = (output.scale, output.zero_point, output.dtype, output.activation)

    def linear(x: torch.Tensor) -> torch.Tensor:
        levels = x if given_levels else quantizer(x)
        return operators.qlinear_pointwise(levels, quantizer.scale, quantizer.zero_point, *weights, *result, [], "none")

    return linear


def has_int8() -> bool:
    """Tell whether this build of torch has the operators."""
    return hasattr(torch.ops.onednn, "qlinear_prepack") and hasattr(torch.ops.onednn, "qlinear_pointwise")

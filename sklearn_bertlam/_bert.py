"""BERT on packed tokens: what transformers' ``BertModel`` computes, without padding and with fewer passes over memory.

The weights stay in the transformers model, so that it can be trained, saved and inspected as ever. Matrix products are in
the precision that is asked for, sums and normalisation in float32; in predictions on a CPU, sums are part of the products.

T tokens, H hidden units, h heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import torch
from torch import nn
from torch.nn.functional import embedding, layer_norm, linear

from ._dropout import add_dropped, dropout
from ._runtime import cpu_operators_take_bfloat16
from ._self_attention import SelfAttention

_MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")

Linear = Callable[[torch.Tensor], torch.Tensor]
AddingLinear = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
Then = Linear | Literal["attention"]


class LinearFactory(Protocol):
    """Makes the functions of affine layers from their weight (out, in) and bias (out,)."""

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer before self-attention, or before an activation, which belongs to the function."""

    def adding(self, weight: torch.Tensor, bias: torch.Tensor) -> AddingLinear:
        """Make a layer whose outputs are added to a residual: a function of inputs, residual and the part to drop."""


def is_bert(model: nn.Module) -> bool:
    """Tell whether ``PackedBert`` computes the same as the model's own forward."""
    config: Any = getattr(model, "config", None)
    return (
        getattr(config, "model_type", None) in _MODEL_TYPES
        and not getattr(config, "is_decoder", False)
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
    )


class PackedBert:
    """The forward pass of a BERT model on packed tokens.

    Parameters
    ----------
    model : Module
        A transformers model for which ``is_bert`` holds.
    make_linear : LinearFactory
        Called for each layer's query, key and value in one, attention output, intermediate and output layer.
    """

    def __init__(self, model: Any, make_linear: LinearFactory):
        self.embeddings: Any = model.embeddings
        self.layers = [_Layer(layer, make_linear) for layer in model.encoder.layer]
        self.training = model.training
        padding = self.embeddings.position_embeddings.padding_idx
        self.first_position = 0 if padding is None else padding + 1  # RoBERTa counts from there

    def __call__(self, ids: torch.Tensor, positions: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Return the last hidden state (T, H) in float32, from token ids (T,), positions (T,) and the texts' lengths."""
        attend = SelfAttention(lengths, self.layers[0].heads, ids.device)
        x = self._embed(ids, positions)
        for layer in self.layers:
            x = layer(x, attend, self.training)
        return x.float()

    def _embed(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        e = self.embeddings
        x = embedding(ids, e.word_embeddings.weight, e.word_embeddings.padding_idx)
        x = x + embedding(positions + self.first_position, e.position_embeddings.weight) + e.token_type_embeddings.weight[0]
        return dropout(_normalize(x.float(), e.LayerNorm), e.dropout.p, self.training)  # (T, H)


class _Layer:
    def __init__(self, layer: Any, make_linear: LinearFactory):
        attention = layer.attention.self
        self.heads = attention.num_attention_heads
        parts = (attention.query, attention.key, attention.value)
        self.qkv = make_linear(
            torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]), "attention"
        )
        self.attended = _Sublayer(layer.attention.output, make_linear)
        up = layer.intermediate
        self.up = make_linear(up.dense.weight, up.dense.bias, up.intermediate_act_fn)
        self.down = _Sublayer(layer.output, make_linear)

    def __call__(self, x: torch.Tensor, attend: SelfAttention, training: bool) -> torch.Tensor:
        qkv = self.qkv(x)
        attended = attend(qkv.view(len(x), 3, self.heads, -1))  # (T, h, H / h)
        x = self.attended(attended.flatten(1), x, training)
        return self.down(self.up(x), x, training)  # (T, H)


class _Sublayer:
    """Affine layer, dropout, residual, normalisation."""

    def __init__(self, output: Any, make_linear: LinearFactory):
        self.linear = make_linear.adding(output.dense.weight, output.dense.bias)
        self.p = output.dropout.p
        self.norm = output.LayerNorm

    def __call__(self, x: torch.Tensor, residual: torch.Tensor, training: bool) -> torch.Tensor:
        return _normalize(self.linear(x, residual, self.p if training else 0.0), self.norm)


def _normalize(x: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class LinearIn:
    """A factory of affine layers that compute in a type; gradients reach the weights in theirs."""

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer."""
        dtype, weight, bias = self.dtype, weight.to(self.dtype), bias.to(self.dtype)
        product = _BiasInside.apply if _has_pointwise(dtype, weight.device) else linear
        if isinstance(then, str):
            return lambda x: product(x.to(dtype), weight, bias)
        return lambda x: then(product(x.to(dtype), weight, bias))

    def adding(self, weight: torch.Tensor, bias: torch.Tensor) -> AddingLinear:
        """Make a layer that adds to a residual, in the residual's type."""
        product = self(weight, bias, "attention")
        return lambda x, residual, p: add_dropped(residual, product(x), p, p > 0)


class _BiasInside(torch.autograd.Function):
    """``linear`` in bfloat16 on a CPU, where torch writes the bias to memory first and adds the product to it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        is_wide = x.shape[1] > gradient.shape[1]  # the narrower factor is the one that costs less to turn
        by_weight = (x.T @ gradient).T if is_wide else gradient.T @ x
        return gradient @ weight, by_weight, gradient.sum(dim=0)


class PackedLinearIn(LinearIn):
    """Like ``LinearIn``, for predictions on a CPU: weights are laid out once for the processor, GELU and sums joined in."""

    operators: Any = torch.ops.mkldnn

    def __call__(self, weight: torch.Tensor, bias: torch.Tensor, then: Then) -> Linear:
        """Make a layer."""
        if not (isinstance(then, str) or is_gelu(then)):
            return super().__call__(weight, bias, then)
        dtype, packed, bias = self.dtype, self._packed(weight), bias.to(self.dtype)
        activation = "none" if isinstance(then, str) else "gelu"
        return lambda x: self.operators._linear_pointwise(x.to(dtype), packed, bias, activation, [], "none")

    def adding(self, weight: torch.Tensor, bias: torch.Tensor) -> AddingLinear:
        """Make a layer that adds to a residual, in its own type."""
        dtype, packed, bias = self.dtype, self._packed(weight), bias.to(self.dtype)
        product = self.operators._linear_pointwise.binary
        return lambda x, residual, p: product(x.to(dtype), residual.to(dtype), packed, bias, "add")

    def _packed(self, weight: torch.Tensor) -> torch.Tensor:
        return self.operators._reorder_linear_weight(weight.to(self.dtype), None)


def linear_for_prediction(dtype: torch.dtype, device: torch.device) -> LinearIn:
    """Return the fastest factory of affine layers without gradients."""
    return PackedLinearIn(dtype) if _has_pointwise(dtype, device) else LinearIn(dtype)


def _has_pointwise(dtype: torch.dtype, device: torch.device) -> bool:
    """Tell whether torch can do more with a product before it leaves the processor's cache."""
    return (
        device.type == "cpu"
        and dtype == torch.bfloat16
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and cpu_operators_take_bfloat16()
    )


def is_gelu(activation: Any) -> bool:
    """Tell whether an activation is the exact GELU, not an approximation of it."""
    return type(activation).__name__ == "GELUActivation" or (
        isinstance(activation, nn.GELU) and activation.approximate == "none"
    )

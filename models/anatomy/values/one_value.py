"""One output value of a row, with the numbers that it is made of: convolutions, linear layers, poolings, normalisations,
activations, attention with its masks, recurrent layers, matrix products, softmax, sums and products.

The network runs on a real image with real weights. What is added up here is computed anew from the numbers shown, and
``total`` is what the layer itself gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..axes.layout import without_axis
from ..rows.layer import Layer
from . import activations, recurrent
from .attention import attention
from .caught import Catching, Caught, Found, Position, has_own_forward
from .choices import masked_fill, where
from .multi_head import multi_head
from .norms import batch_norm, group_norm, instance_norm, layer_norm
from .products import bilinear, binary, einsum, linear, matmul, mean_or_sum, softmax
from .strengths import response_norm, rms_norm, unit_length
from .transposed import transposed
from .windows import adaptive, convolution, pooling


@dataclass(frozen=True)
class Part:
    """Numbers with a name: the values under a kernel, the weights, the shares of attention."""

    name: str
    numbers: Tensor


@dataclass(frozen=True)
class Value:
    """One output value. ``parts`` are the numbers, ``rule`` says how they make ``total``, with the sums in between.

    ``position`` is its place in the output, batch axis left out. ``kind`` names the family:
    convolution, transposed convolution, linear, maximum, mean, normalisation, activation, attention, recurrent, product,
    softmax, sum, choice.
    ``computed`` is what the parts give.
    """

    layer: str
    kind: str
    position: Position
    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    rule: str
    computed: float
    total: float


def as_dict(value: Value) -> dict[str, Any]:
    """Return a value as JSON-able data."""
    parts = [{"name": part.name, "numbers": part.numbers.tolist()} for part in value.parts]
    return {
        "layer": value.layer,
        "kind": value.kind,
        "position": list(value.position),
        "shape": list(value.shape),
        "parts": parts,
        "rule": value.rule,
        "computed": value.computed,
        "total": value.total,
    }


def output_value(
    network: nn.Module, row: int | str, image: Tensor, position: Position, batch_axis: int | None = 0
) -> Value:
    """Take one output value of a row apart; ``row`` is its number in the layer table or the name of a module.

    ``image`` is (1, C, H, W), normalised as the network expects it. ``batch_axis``: which axis of the output counts images
    and is left out of ``position``. ValueError where the row has no single value to be
    shown, or the position lies outside its output.
    """
    return value_of(row_as_it_ran(network, row, image), position, row, batch_axis)


def row_as_it_ran(network: nn.Module, row: int | str, image: Tensor) -> Caught:
    """Run a network up to a row and return that one, from which any of its values can be taken. ValueError as for
    :func:`output_value`.
    """
    was_training = network.training
    network.eval()
    try:
        catching = Catching(network, row if isinstance(row, int) else -1, row if isinstance(row, str) else "")
        caught = catching.catch(image)
    finally:
        network.train(was_training)
    if caught is None:
        raise ValueError(f"layer: {row!r} is not a row that runs")
    return caught


def opens(layer: Layer) -> bool:
    """Return whether a row opens to one output value."""
    if not layer.executed:
        return False
    if layer.kind == "module":
        return not layer.children and (layer.base in MODULES or layer.type in (*BY_CALL, *WHOLE))
    return layer.type in CALLS


def value_of(caught: Caught, position: Position, row: int | str = "", batch_axis: int | None = 0) -> Value:
    """Return one output value of a row that ran; the arguments are those of :func:`output_value`."""
    output = caught.output[0] if isinstance(caught.output, tuple | list) else caught.output
    rule = _rule_of(caught)
    inner = caught.inner
    of_call = CALLS.get(inner.call) if inner is not None else None
    if inner is not None and of_call is not None and (of_call is rule or type(caught.module).__name__ in BY_CALL):
        caught, rule = inner, of_call
    name = caught.name or type(caught.module).__name__
    if rule is None or not isinstance(output, Tensor) or not output.is_floating_point():
        kinds = "convolutions, linear layers, poolings, normalisations, activations, attention, LSTMs and sums do"
        raise ValueError(f"layer: {row or name!r} does not open to one value; {kinds}")
    shape = tuple(output.shape)
    missing = batch_axis is not None and len(position) == output.ndim - 1
    full = (*position[:batch_axis], 0, *position[batch_axis:]) if missing else position
    if len(full) != output.ndim or not all(0 <= at < size for at, size in zip(full, shape, strict=True)):
        raise ValueError(f"position: {position} lies outside the output {without_axis(shape, batch_axis)}")
    try:
        with torch.no_grad():
            kind, parts, words, computed = rule(caught, full)
    except (IndexError, KeyError, TypeError, AttributeError, RuntimeError):
        raise ValueError(f"layer: {row or name!r} is called in a way that does not open to one value") from None
    if not _agree(float(computed), float(output[full]), parts):
        raise ValueError(f"layer: {row or name!r} does not open to one value: {_own_way(caught)}")
    return Value(
        name,
        kind,
        position,
        shape,
        tuple(Part(label, numbers.detach()) for label, numbers in parts),
        words,
        float(computed),
        float(output[full]),
    )


def _rule_of(caught: Caught) -> Rule | None:
    if caught.module is None:
        return CALLS.get(caught.call)
    return next((MODULES[base.__name__] for base in type(caught.module).__mro__ if base.__name__ in MODULES), None)


def _agree(computed: float, total: float, parts: list[tuple[str, Tensor]]) -> bool:
    """Return whether the numbers shown make what the layer gave, up to rounding."""
    if math.isnan(computed) or math.isnan(total):
        return math.isnan(computed) and math.isnan(total)
    sizes = [float(numbers.detach().nan_to_num(0, 0, 0).abs().max()) for _, numbers in parts if numbers.numel()]
    largest = max(sizes, default=0.0)
    coarse = any(numbers.dtype in (torch.float16, torch.bfloat16) for _, numbers in parts)
    close = 3e-2 if coarse else 1e-3
    return math.isclose(computed, total, rel_tol=close, abs_tol=close * min(largest, 1.0))


def _own_way(caught: Caught) -> str:
    if caught.module is not None and has_own_forward(caught.module):
        return f"{type(caught.module).__name__} has a forward of its own, which computes something else"
    return "it computes something else than its usual formula"


Rule = Callable[[Caught, Position], Found]
BY_CALL = ("GlobalAveragePool", "MapAverage", "TokenAverage", "LayerScale")
"""Layers outside torch.nn that are one call, which opens."""
WHOLE = ("LocalResponseNorm", "FrozenBatchNorm2d")
"""Layers outside torch.nn that open as those of torch.nn do."""
MODULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), convolution),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), pooling),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d"), pooling),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d"), adaptive),
    **dict.fromkeys(("AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d"), adaptive),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), transposed),
    "Linear": linear,
    "Bilinear": bilinear,
    "FrozenBatchNorm2d": batch_norm,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), batch_norm),
    "LayerNorm": layer_norm,
    "GroupNorm": group_norm,
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"), instance_norm),
    "RMSNorm": rms_norm,
    "LocalResponseNorm": response_norm,
    "Softmax": softmax,
    "MultiheadAttention": multi_head,
    **activations.MODULES,
    **recurrent.MODULES,
}
CALLS: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"), pooling),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), adaptive),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"), adaptive),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), transposed),
    "linear": linear,
    "bilinear": bilinear,
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
    "rms_norm": rms_norm,
    "local_response_norm": response_norm,
    "normalize": unit_length,
    "masked_fill": masked_fill,
    "where": where,
    "einsum": einsum,
    "attention": attention,
    "matmul": matmul,
    "softmax": softmax,
    **dict.fromkeys(("mean", "sum"), mean_or_sum),
    **{word: binary(word) for word in "+−×÷"},
    **activations.CALLS,
}

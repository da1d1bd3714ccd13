"""The tensor walk: the steps that an image takes through a network, one phrase each, at three levels.

Level one are the parts of the network, level two the layers of a block, level three the arithmetic of one output value of a
convolution with the real weights and a real image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .layer_table import Layer


@dataclass(frozen=True)
class Step:
    """One step: shapes without the batch axis, what it does, and how far its output sees into the image."""

    name: str
    type: str
    is_module: bool
    phrase: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    receptive_field: int | None
    is_global: bool
    parameters: int
    macs: int
    times: int
    can_enter: bool


def steps(layer: Layer) -> list[Step]:
    """Return the steps inside one row of the layer tree, in order; wrappers with a single child are seen through."""
    inside = layer
    while len(inside.children) == 1 and inside.children[0].children:
        inside = inside.children[0]
    return [_step(child) for child in inside.children if child.executed]


def _step(layer: Layer) -> Step:
    before = layer.inputs[0][1:] if layer.inputs else ()
    return Step(
        name=layer.name,
        type=layer.type,
        is_module=layer.kind == "module",
        phrase=phrase(layer),
        before=before,
        after=layer.output[1:],
        receptive_field=layer.receptive_field,
        is_global=layer.is_global,
        parameters=layer.parameters,
        macs=layer.macs,
        times=layer.times,
        can_enter=bool(layer.children),
    )


def _window(layer: Layer) -> str:
    kernel = layer.settings.get("kernel_size", ())
    if isinstance(kernel, int):
        kernel = (kernel, kernel)
    return "×".join(map(str, kernel))


def _stride(layer: Layer) -> int:
    stride = layer.settings.get("stride", 1)
    return stride if isinstance(stride, int) else stride[-1]


def _convolution(layer: Layer) -> str:
    groups, channels = layer.settings.get("groups", 1), layer.inputs[0][1]
    kind = "looks through"
    if groups > 1:
        kind = "looks at each channel alone through" if groups == channels else f"looks in {groups} groups through"
    if _window(layer) in ("1×1", "1"):
        kind = "mixes the channels of each pixel," if groups == 1 else f"mixes channels within {groups} groups,"
        text = f"{kind} {channels} → {layer.output[1]}"
    else:
        text = f"{kind} a {_window(layer)} window"
        text += f", {channels} → {layer.output[1]} channels" if channels != layer.output[1] else ""
    return text + (f", every {_ordinal(_stride(layer))} pixel" if _stride(layer) > 1 else "")


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _pool(word: str) -> Callable[[Layer], str]:
    def describe(layer: Layer) -> str:
        return f"keeps the {word} of each {_window(layer)} window, every {_ordinal(_stride(layer))} pixel"

    return describe


PHRASES: dict[str, Callable[[Layer], str]] = {
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "Conv3d": _convolution,
    "MaxPool2d": _pool("maximum"),
    "AvgPool2d": _pool("mean"),
    "Linear": lambda layer: f"weighs all {layer.inputs[0][-1]} values, {layer.output[-1]} times",
    "linear": lambda layer: f"weighs values by a matrix, {layer.output[-1]} results",
    "BatchNorm2d": lambda layer: "brings each channel to mean 0 and standard deviation 1, then scales and shifts it",
    "LayerNorm": lambda layer: (
        "brings the channels of each position to mean 0 and standard deviation 1, then scales and shifts"
    ),
    "LayerNorm2d": lambda layer: (
        "brings the channels of each pixel to mean 0 and standard deviation 1, then scales and shifts"
    ),
    "GroupNorm": lambda layer: (
        "brings each group of channels to mean 0 and standard deviation 1, then scales and shifts"
    ),
    "LocalResponseNorm": lambda layer: "damps a value by the strength of its neighbour channels",
    "ReLU": lambda layer: "sets negative values to zero",
    "ReLU6": lambda layer: "cuts values to the range 0 to 6",
    "LeakyReLU": lambda layer: "shrinks negative values",
    "GELU": lambda layer: "lets large values through, bends small ones towards zero",
    "SiLU": lambda layer: "multiplies each value by its own sigmoid",
    "Hardswish": lambda layer: "multiplies each value by a ramp, a cheap SiLU",
    "Sigmoid": lambda layer: "squeezes values into 0 to 1",
    "Tanh": lambda layer: "squeezes values into -1 to 1",
    "Softmax": lambda layer: "turns scores into shares that sum to 1",
    "Dropout": lambda layer: "in training zeroes values at random; now lets all through",
    "DropPath": lambda layer: "in training leaves the branch out at random; now lets it through",
    "Flatten": lambda layer: "lays all values out in one row",
    "Identity": lambda layer: "hands the values on unchanged",
    "AdaptiveAvgPool2d": lambda layer: f"averages the map down to {layer.output[-2]}×{layer.output[-1]}",
    "AdaptiveMaxPool2d": lambda layer: f"keeps the maximum on a {layer.output[-2]}×{layer.output[-1]} grid",
    "GlobalAveragePool": lambda layer: "averages each channel over the whole map",
    "LSTM": lambda layer: "reads the sequence step by step and keeps a memory",
    "Rearrange": lambda layer: f"reorders axes: {layer.settings.get('pattern', '')}",
    "rearrange": lambda layer: f"reorders axes: {layer.settings['pattern']}",
    "+": lambda layer: "adds a learned table" if "learned" in layer.settings else "adds two branches",
    "×": lambda layer: "multiplies by a learned scale" if "learned" in layer.settings else "multiplies by a gate",
    "concat": lambda layer: f"lays {len(layer.inputs)} tensors side by side",
    "matmul": lambda layer: "multiplies two tensors: each position meets the others",
    "attention": lambda layer: "weighs all positions by their likeness",
}


def phrase(layer: Layer) -> str:
    """Return what a row does, in one phrase, with its own numbers."""
    if layer.type in PHRASES and layer.output and (layer.inputs or layer.kind == "operation"):
        return PHRASES[layer.type](layer)
    if not layer.executed:
        return "does not run outside training"
    return _change(layer)


def _change(layer: Layer) -> str:
    """Return how a block changes the size of what goes through."""
    before, after = (layer.inputs[0][1:] if layer.inputs else ()), layer.output[1:]
    if before == after:
        return "keeps the size"
    if len(before) == 3 and len(after) == 3:
        sides = "keeps the side" if before[-1] == after[-1] else f"side {before[-1]} → {after[-1]}"
        return f"{sides}, channels {before[0]} → {after[0]}"
    return f"{'×'.join(map(str, before))} → {'×'.join(map(str, after))}"


@dataclass(frozen=True)
class Pixel:
    """The arithmetic of one output value: ``window`` and ``kernel`` are (channels of the group, rows, columns).

    The sum of their products, value by value, and the bias make ``total``.
    """

    layer: str
    position: tuple[int, int, int]
    window: Tensor
    kernel: Tensor
    bias: float
    total: float


def output_pixel(network: nn.Module, name: str, image: Tensor, position: tuple[int, int, int]) -> Pixel:
    """Take one output value of the convolution ``name`` apart: channel, row and column of the output in ``position``.

    ``image`` is (1, C, H, W), normalised as the network expects it. ValueError where the layer is no two-dimensional
    convolution with zero padding, or the position lies outside its output.
    """
    layer = dict(network.named_modules()).get(name)
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise ValueError(f"layer: {name!r} is not a two-dimensional convolution with zero padding")
    caught: list[tuple[Tensor, Tensor]] = []

    def catch(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        caught.append((args[0], output))

    hook = layer.register_forward_hook(catch)
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(image)
    finally:
        hook.remove()
        network.train(was_training)
    entering, leaving = caught[0]
    channel, row, column = position
    if not all(0 <= at < size for at, size in zip(position, leaving.shape[1:], strict=True)):
        raise ValueError(f"position: {position} lies outside the output {tuple(leaving.shape[1:])}")
    window = _window_at(layer, entering, channel, row, column)
    kernel = layer.weight.detach()[channel]
    bias = 0.0 if layer.bias is None else float(layer.bias.detach()[channel])
    return Pixel(name, position, window, kernel, bias, float(leaving[0, channel, row, column]))


def _window_at(layer: nn.Conv2d, entering: Tensor, channel: int, row: int, column: int) -> Tensor:
    """Return the input values under the kernel, zeros where it reaches over the edge: (C_in / groups, kernel, kernel)."""
    assert not isinstance(layer.padding, str), "refused before"
    (pad_y, pad_x), (step_y, step_x), (gap_y, gap_x) = layer.padding, layer.stride, layer.dilation
    padded = nn.functional.pad(entering[0], (pad_x, pad_x, pad_y, pad_y))
    per_group = layer.in_channels // layer.groups
    first = channel // (layer.out_channels // layer.groups) * per_group
    height, width = layer.kernel_size
    top, left = row * step_y, column * step_x
    rows = slice(top, top + (height - 1) * gap_y + 1, gap_y)
    columns = slice(left, left + (width - 1) * gap_x + 1, gap_x)
    return padded[first : first + per_group, rows, columns]

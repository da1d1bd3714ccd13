"""The tensor walk: the steps that an image takes through a network, one phrase each, at three levels.

Level one are the parts of the network, level two the layers of a block, level three the arithmetic of one output value of a
convolution with the real weights and a real image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import ideas, phrases
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


def phrase(layer: Layer) -> str:
    """Return what a row does, in one phrase, with its own numbers."""
    if not layer.executed:
        return NOT_RUN.get(layer.runs, "does not run in evaluation")
    own = phrases.of_one_row(layer)
    if own is not None:
        return own
    if layer.kind == "operation":
        return f"computes {layer.type}; {ideas.change(layer)}"
    inside = [child for child in layer.children if child.executed]
    if len(inside) == 1 and ideas.idea_of(layer) is None:
        return phrase(inside[0])
    return ideas.block_phrase(layer)


NOT_RUN = {"training": "does not run outside training", "never": "never runs"}


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

"""One output value of what slides a window: convolutions and poolings."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ....errors import counted
from .caught import Caught, Found, Position, argument, as_tuple, number, plus


def _padded(x: Tensor, before_after: list[tuple[int, int]], mode: str, fill: float = 0.0) -> Tensor:
    """Pad the last axes of one image (C, …), the pairs in the order of the axes."""
    flat = [side for pair in reversed(before_after) for side in pair]
    if not any(flat):
        return x
    if mode in ("zeros", "constant"):
        return functional.pad(x, flat, value=fill)
    return functional.pad(x[None], flat, mode=mode)[0]


def _padding(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        sides = [gap * (k - 1) for k, gap in zip(kernel, dilation, strict=True)]
        return [(side // 2, side - side // 2) for side in sides]
    return [(side, side) for side in as_tuple(padding, len(kernel))]


def _window(x: Tensor, place: Position, kernel: tuple, stride: tuple, dilation: tuple) -> Tensor:
    """Return the values under the kernel at a place of the output; it may end at the border (ceil_mode)."""
    cuts = [
        slice(at * step, at * step + (k - 1) * gap + 1, gap)
        for at, k, step, gap in zip(place, kernel, stride, dilation, strict=True)
    ]
    return x[(slice(None), *cuts)]


def convolution(caught: Caught, at: Position) -> Found:
    x, weight, bias = (argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    count = weight.ndim - 2
    stride, dilation = (
        as_tuple(argument(caught, place, name, 1), count) for place, name in ((3, "stride"), (5, "dilation"))
    )
    groups = argument(caught, 6, "groups", 1)
    kernel = tuple(weight.shape[2:])
    padding = _padding(argument(caught, 4, "padding", 0), kernel, dilation)
    mode = getattr(caught.module, "padding_mode", "zeros")
    channel = at[1]
    first = channel // (weight.shape[0] // groups) * weight.shape[1]
    entering = _padded(x[at[0]], padding, mode)[first : first + weight.shape[1]]
    window, factors = _window(entering, at[2:], kernel, stride, dilation), weight[channel]
    products = (window * factors).sum()
    added = float(bias[channel]) if bias is not None else None
    words = f"the sum of {counted(window.numel(), 'product')} {number(products)}" + plus(added)
    return "convolution", [("values under the kernel", window), ("weights", factors)], words, products + (added or 0.0)


def pooling(caught: Caught, at: Position) -> Found:
    x = argument(caught, 0, "input")
    count = x.ndim - 2 if len(at) == x.ndim else x.ndim - 1
    is_max = "max" in (caught.call or type(caught.module).__name__).lower()
    kernel = as_tuple(argument(caught, 1, "kernel_size"), count)
    stride = as_tuple(argument(caught, 2, "stride") or kernel, count)
    padding = [(side, side) for side in as_tuple(argument(caught, 3, "padding", 0), count)]
    if is_max:
        dilation = as_tuple(argument(caught, 4, "dilation", 1), count)
        x = _padded(x[at[0]], padding, "constant", -math.inf)
        window = _window(x, at[2:], kernel, stride, dilation)[at[1]]
        found = window.max()
        return (
            "maximum",
            [("values in the window", window)],
            f"the largest of {counted(window.numel(), 'value')}",
            found,
        )
    padded = _padded(x[at[0]], padding, "constant")
    window = _window(padded, at[2:], kernel, stride, (1,) * count)[at[1]]
    divisor = argument(caught, 6, "divisor_override")
    if divisor is None and argument(caught, 5, "count_include_pad", True):
        divisor = window.numel()
    elif divisor is None:
        ones = _padded(torch.ones_like(x[at[0]]), padding, "constant")
        divisor = int(_window(ones, at[2:], kernel, stride, (1,) * count)[at[1]].sum())
    words = f"the sum of {counted(window.numel(), 'value')} {number(window.sum())} / {divisor}"
    return "mean", [("values in the window", window)], words, window.sum() / divisor


def adaptive(caught: Caught, at: Position) -> Found:
    x = argument(caught, 0, "input")
    output = caught.output[0] if isinstance(caught.output, tuple) else caught.output
    cuts = [
        slice(place * old // new, -(-(place + 1) * old // new))
        for place, old, new in zip(at[2:], x.shape[2:], output.shape[2:], strict=True)
    ]
    window = x[(at[0], at[1], *cuts)]
    if "max" in (caught.call or type(caught.module).__name__).lower():
        words = f"the largest of {counted(window.numel(), 'value')}"
        return "maximum", [("values in the part", window)], words, window.max()
    words = f"the sum of {counted(window.numel(), 'value')} {number(window.sum())} / {window.numel()}"
    return "mean", [("values in the part", window)], words, window.mean()

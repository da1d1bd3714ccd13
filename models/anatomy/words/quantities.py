"""Sizes, kernels and sides of a row as they are written in a phrase."""

from __future__ import annotations

from collections.abc import Callable

from ..axes.layout import AxisLayout
from ..rows.layer import Layer

Describe = Callable[[Layer], str]


def times_text(numbers: tuple[int, ...] | list[int]) -> str:
    """Return sizes as they are written: 64×49×96."""
    return "×".join(map(str, numbers))


def ordinal(number: int) -> str:
    """Return a number as an ordinal: second, third, 4th."""
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def shape_size(shape: tuple[int, ...]) -> int:
    """Return the number of values of a shape."""
    size = 1
    for side in shape:
        size *= side
    return size


def pair(value: object, count: int) -> tuple[int, ...]:
    """Return a setting that may be one number as ``count`` of them."""
    if isinstance(value, int):
        return (value,) * count
    values = tuple(value) if isinstance(value, tuple | list) else (1,)
    return values * count if len(values) == 1 else values


def kernel_of(layer: Layer) -> tuple[int, ...]:
    """Return the kernel of a convolution or pooling, one number for each axis of its map."""
    count = max(1, len(layer.output) - 2)
    return pair(layer.settings.get("kernel_size", 1), count)


def stride_of(layer: Layer) -> tuple[int, ...]:
    """Return the stride, one number for each axis of the map."""
    return pair(layer.settings.get("stride") or layer.settings.get("kernel_size", 1), max(1, len(layer.output) - 2))


def sides(before: AxisLayout | None, after: AxisLayout | None) -> str:
    """Return how the sides of the map change: 14×14 → 7×7; "" where they are unknown."""
    if before is None or after is None or before.rows is None or after.rows is None:
        return ""
    return f"{before.rows}×{before.columns} → {after.rows}×{after.columns}"

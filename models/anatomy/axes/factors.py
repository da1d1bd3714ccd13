"""The axes of a tensor as tuples of factors, each of which knows where it comes from: rows of the image, channels.

A reshape splits and joins factors, a permutation moves them. So a map cut into windows still knows that its window axis
holds rows and columns, and tokens know their grid. Nothing is guessed from sizes: what cannot be followed is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

Factor = tuple[str, int, int, Any]
"""Label ("b", "c", "h", "w", "t", "n" for tokens, "k" for keys, "?"), size, how far apart neighbours were before the axis
was split, and for "n" the pair (tokens added, factors of the grid). Keys are the places that attention compares its places
with: they are not counted a second time."""
Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]
PLACES = frozenset("hwtn")


def unknown(size: int) -> Axis:
    """Return an axis of which nothing is known."""
    return (("?", size, 1, None),) if size != 1 else ()


def one_factor(label: str, size: int, grid: Any = None) -> Axis:
    """Return an axis of one meaning."""
    return ((label, size, 1, grid),)


def size_of(axis: Axis) -> int:
    """Return the length of an axis."""
    return math.prod(factor[1] for factor in axis)


def labels(axis: Axis) -> set[str]:
    """Return the labels of an axis' factors."""
    return {factor[0] for factor in axis}


@lru_cache(maxsize=4096)
def resized(axis: Axis, size: int) -> Axis:
    """Return an axis after a window, a slice or a padding changed its length: the same meaning, another size."""
    if size_of(axis) == size:
        return axis
    if len(axis) == 1 and axis[0][0] == "n" and axis[0][3]:
        _, grid = axis[0][3]
        inside = math.prod(factor[1] for factor in grid)
        if size == inside:
            return grid
        return one_factor("n", size, (size - inside, grid) if size > inside else None)
    found = labels(axis)
    if len(found) == 1:
        return one_factor(found.pop(), size)
    if found and found <= PLACES:
        return one_factor("n", size)
    return unknown(size)


def holds_places_of_channels(axes: Sequence[Axis], place: int) -> bool:
    """Return whether an axis holds places, and another one their channels, or what may be channels.

    Only then do weights along it mix places. Where no other axis has channels, the places of a one-channel image are
    plain values: all of them in one row, or a row of the image as a step of a sequence.
    """
    axis = axes[place]
    others = [other for at, other in enumerate(axes) if at != place % len(axes)]
    return bool(axis) and labels(axis) <= PLACES and any(labels(other) & {"c", "?"} for other in map(_long, others))


def _long(axis: Axis) -> Axis:
    """Return the factors of an axis that are longer than one."""
    return tuple(factor for factor in axis if factor[1] != 1)


@lru_cache(maxsize=4096)
def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """Return the axes of a tensor that is read in the same order with another shape."""
    left = [factor for axis in axes for factor in axis if factor[1] != 1]
    if not all(shape) or any(factor[1] == 0 for factor in left):
        return tuple(map(unknown, shape))  # nothing was found in the image, so that there is nothing to be followed
    made: list[Axis] = []
    for size in shape:
        axis: list[Factor] = []
        while size > 1:
            if not left:
                return tuple(unknown(length) for length in shape)
            label, length, apart, grid = left[0]
            if size % length == 0:
                _append(axis, left.pop(0))
                size //= length
            elif length % size == 0 and grid is None:
                _append(axis, (label, size, apart * (length // size), None))
                left[0] = (label, length // size, apart, None)
                size = 1
            else:
                return tuple(unknown(length) for length in shape)
        made.append(tuple(axis))
    return _patches_as_channels(made) if not left else tuple(unknown(length) for length in shape)


def _patches_as_channels(axes: list[Axis]) -> Axes:
    """Return axes with the places of a patch that stand beside its channels taken for channels, and channels that stand
    within rows or columns for places: that is what the parts mean from here on.
    """
    made = list(axes)
    if _are_patches(axes):
        made[2] = one_factor("c", size_of(axes[2]))
    for place, axis in enumerate(axes):
        found = labels(axis)
        if len(axis) < 2 or "c" not in found or not found <= PLACES | {"c"}:
            continue
        others = set().union(*(labels(other) for at, other in enumerate(axes) if at != place))
        inside = found - {"c"}
        if inside and inside <= others:
            made[place] = one_factor("c", size_of(axis))
        elif len(inside) == 1 and axis[0][0] != "c" and others & PLACES:
            made[place] = one_factor(inside.pop(), size_of(axis))
    return tuple(made)


def _are_patches(axes: list[Axis]) -> bool:
    """Return whether these are the patches of a one-channel image, each with its places in a row: nothing else has the
    part of the channels.
    """
    if len(axes) != 3 or any(labels(axis) & {"c", "?"} for axis in axes):
        return False
    return bool(labels(axes[2])) and labels(axes[2]) <= labels(axes[1]) <= PLACES


def _append(axis: list[Factor], factor: Factor) -> None:
    """Add a factor to an axis; what was split and stands side by side again is one factor."""
    label, size, apart, grid = factor
    if axis and axis[-1][0] == label and axis[-1][2] == size * apart and grid is None and axis[-1][3] is None:
        axis[-1] = (label, axis[-1][1] * size, apart, None)
    else:
        axis.append(factor)


def joined(parts: list[Axis | None], sizes: list[int]) -> Axis:
    """Return the axis along which tensors were laid side by side; None: a tensor made of weights alone."""
    whole = sum(sizes)
    known = [part for part in parts if part]
    kinds = set().union(*map(labels, known)) if known else set()
    if len(kinds) == 1 and kinds != {"n"} and not (kinds <= PLACES and None in parts):
        return one_factor(kinds.pop(), whole)
    if kinds and kinds <= PLACES:
        maps = [part for part in known if size_of(part) > 1]
        if len(maps) == 1:
            axis = maps[0]
            old = axis[0][3] if len(axis) == 1 and axis[0][0] == "n" else (0, axis)
            if old is not None:
                return one_factor("n", whole, (old[0] + whole - size_of(axis), old[1]))
        return one_factor("n", whole)
    return unknown(whole)

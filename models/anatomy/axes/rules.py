"""What all rules for the axes have in common: how they are called, the arguments of a call, and axes by their sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .factors import Axes, Axis, resized, unknown

Known = dict[int, Axes]
Rule = Callable[[Known, tuple, dict, Sequence[int], int], "Axes | None"]


def by_shape(known: Known, inputs: list[Tensor], shape: Sequence[int]) -> Axes:
    """Return the axes of a value-by-value operation: each axis from an operand that has it in this length."""
    of_data = [(known[id(tensor)], tensor.shape) for tensor in inputs if id(tensor) in known]
    if of_data and of_data[0][1] == shape and all(of_data[0][0]):
        return of_data[0][0]
    made: list[Axis] = [()] * len(shape)
    for place in range(1, len(shape) + 1):
        size = shape[-place]
        for axes, sizes in of_data:
            if len(sizes) >= place and sizes[-place] == size and axes[-place]:
                made[-place] = axes[-place]
                break
        else:
            whole = [axes[-place] for axes, sizes in of_data if len(sizes) == len(shape)]
            made[-place] = resized(whole[0], size) if whole and whole[0] else unknown(size)
    return tuple(made)


def argument(args: tuple, kwargs: dict, place: int, name: str, default: Any = None) -> Any:
    """Return an argument that may be given by its place or by its name."""
    return args[place] if len(args) > place else kwargs.get(name, default)


def numbers(args: tuple, kwargs: dict, place: int, name: str) -> tuple[int, ...]:
    """Return numbers that may be given one by one or as a sequence: permute(0, 2, 1), permute((0, 2, 1))."""
    if name in kwargs:
        found = kwargs[name]
    elif len(args) == place + 1:
        found = args[place]
    else:
        found = args[place:]
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def first_input(args: tuple, kwargs: dict) -> Any:
    """Return the tensor that a call is about."""
    return args[0] if args else kwargs.get("input", kwargs.get("self"))

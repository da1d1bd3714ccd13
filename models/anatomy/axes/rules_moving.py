"""Rules for the axes of operations that move values and compute none: reshape, permute, concatenate, split, index."""

from __future__ import annotations

from collections.abc import Sequence

from .factors import Axes, Axis, joined, one_factor, reshaped, resized, unknown
from .rules import Known, Rule, argument, by_shape, first_input, numbers


def _reshape(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    return reshaped(known[id(first_input(args, kwargs))], shape)


def _permute(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(first_input(args, kwargs))]
    return tuple(axes[place] for place in numbers(args, kwargs, 1, "dims"))


def _transpose(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = list(known[id(first_input(args, kwargs))])
    one, other = argument(args, kwargs, 1, "dim0"), argument(args, kwargs, 2, "dim1")
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def _last_two(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(args[0])]
    return (*axes[:-2], axes[-1], axes[-2])


def _movedim(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(first_input(args, kwargs))]
    source, target = (
        value if isinstance(value, tuple | list) else (value,)
        for value in (argument(args, kwargs, 1, "source"), argument(args, kwargs, 2, "destination"))
    )
    count = len(axes)
    source, target = [at % count for at in source], [at % count for at in target]
    rest = iter(place for place in range(count) if place not in source)
    order = [source[target.index(place)] if place in target else next(rest) for place in range(count)]
    return tuple(axes[place] for place in order)


def _concat(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    tensors = argument(args, kwargs, 0, "tensors")
    place = argument(args, kwargs, 1, "dim", kwargs.get("axis", 0)) % len(shape)
    axes = [known.get(id(tensor)) for tensor in tensors]
    made = list(by_shape(known, list(tensors), shape))
    made[place] = joined(
        [None if own is None else own[place] for own in axes], [tensor.shape[place] for tensor in tensors]
    )
    return tuple(made)


def _stack(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    tensors = argument(args, kwargs, 0, "tensors")
    place = argument(args, kwargs, 1, "dim", 0) % len(shape)
    axes = list(next(known[id(tensor)] for tensor in tensors if id(tensor) in known))
    axes.insert(place, unknown(shape[place]))
    return tuple(axes)


def _split(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(first_input(args, kwargs))]
    return tuple(resized(axis, size) if axis else unknown(size) for axis, size in zip(axes, shape, strict=True))


def _without(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """unbind and select: one axis less."""
    axes = list(known[id(first_input(args, kwargs))])
    del axes[argument(args, kwargs, 1, "dim", 0)]
    return tuple(axes)


def _getitem(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    axes = list(known[id(args[0])])
    index = args[1] if isinstance(args[1], tuple) else (args[1],)
    plain = sum(part is not None and part is not Ellipsis for part in index)
    made: list[Axis] = []
    for part in index:
        if part is Ellipsis:
            skipped = len(axes) - plain
            made += axes[:skipped]
            del axes[:skipped]
            continue
        if part is None:
            made.append(())
            continue
        plain -= 1
        axis = axes.pop(0)
        if isinstance(part, int):
            continue
        if not isinstance(part, slice):
            return None
        made.append(resized(axis, shape[len(made)]) if axis else ())
    return tuple(made + axes)


def _pixel_shuffle(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(first_input(args, kwargs))]
    return tuple(resized(axis, size) for axis, size in zip(axes, shape, strict=True))


def _unfold(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    if len(shape) != 3:
        return None
    return (known[id(first_input(args, kwargs))][0], one_factor("c", shape[1]), one_factor("n", shape[2]))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel"), _reshape
    ),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("T", "mT", "t", "H", "mH"), _last_two),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    "stack": _stack,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split", "narrow"), _split),
    **dict.fromkeys(("unbind", "select"), _without),
    "__getitem__": _getitem,
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _pixel_shuffle),
    "unfold": _unfold,
}

"""Rules for the axes of operations that move values and compute none: reshape, permute, concatenate, split, index."""

from __future__ import annotations

from collections.abc import Sequence

from .factors import PLACES, Axes, Axis, Factor, joined, labels, one_factor, reshaped, resized, size_of, unknown
from .rules import Known, Rule, argument, by_shape, first_input, numbers


def _reshape(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(first_input(args, kwargs))]
    is_row = len(axes) == 2 and labels(axes[1]) == {"c"}
    if is_row and len(shape) == 4 and shape[0] == size_of(axes[0]) and shape[2] == shape[3] > 1:
        return (axes[0], *(one_factor(label, size) for label, size in zip("chw", shape[1:], strict=True)))
    return reshaped(axes, shape)


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
    parts = [None if own is None else own[place] for own in axes]
    if place == 0 and len(shape) > 1 and all(part is not None and labels(part) <= {"b"} for part in parts):
        parts = [one_factor("b", tensor.shape[0]) for tensor in tensors]
    made[place] = joined(parts, [tensor.shape[place] for tensor in tensors])
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
    if len(shape) == first_input(args, kwargs).ndim + 1:
        return _strips(known, args, kwargs, shape)
    if len(shape) != 3:
        return None
    axes = known[id(first_input(args, kwargs))]
    sides = _window_counts(args, kwargs)
    made = tuple(factor for axis, side in zip(axes[2:], sides, strict=True) for factor in resized(axis, side))
    places = made if {factor[0] for factor in made} <= PLACES else one_factor("n", shape[2])
    return (axes[0], one_factor("c", shape[1]), places)


def _window_counts(args: tuple, kwargs: dict) -> list[int]:
    """Return how many windows ``F.unfold`` cuts along rows and columns."""
    names = {"kernel_size": None, "dilation": 1, "padding": 0, "stride": 1}
    given = [argument(args, kwargs, place, name, usual) for place, (name, usual) in enumerate(names.items(), 1)]
    kernel, dilation, padding, stride = ((one, one) if isinstance(one, int) else tuple(one) for one in given)
    sides = first_input(args, kwargs).shape[2:]
    return [(sides[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]


def _strips(known: Known, args: tuple, kwargs: dict, shape: Sequence[int]) -> Axes:
    """``Tensor.unfold``: one axis is cut into strips, whose places become a last axis."""
    axes = list(known[id(first_input(args, kwargs))])
    place = argument(args, kwargs, 1, "dimension") % len(axes)
    size, step = argument(args, kwargs, 2, "size"), argument(args, kwargs, 3, "step")
    axis, count = axes[place], shape[place]
    if size != step or len(axis) != 1 or axis[0][3] is not None:
        axes[place] = resized(axis, count)
        return (*axes, one_factor("c", size) if size != step else unknown(size))
    label, _, apart, _ = axis[0]
    strips: Factor = (label, count, apart * size, None)
    axes[place] = (strips,) if count > 1 else ()
    return (*axes, ((label, size, apart, None),))


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

"""What the axes of each tensor of one run mean: batch, channels, rows, columns, frames, tokens.

Every axis is a tuple of factors, and each factor knows where it comes from: the rows of the image, its columns, the
channels. A reshape splits and joins factors, a permutation moves them. So a map cut into windows still knows that its
window axis holds rows and columns, and tokens know their grid. Nothing is guessed from sizes: what cannot be followed is
unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

Factor = tuple[str, int, int, Any]
"""Label ("b", "c", "h", "w", "t", "n" for tokens, "k" for keys, "?"), size, how far apart neighbours were before the axis
was split, and for "n" the pair (tokens added, factors of the grid). Keys are the places that attention compares its places
with: they are not counted a second time."""
Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]

PLACES = frozenset("hwtn")
IMAGE = {3: "chw", 4: "bchw", 5: "bcthw"}
WORDS = {
    "b": "batch",
    "c": "channels",
    "h": "rows",
    "w": "columns",
    "t": "frames",
    "n": "tokens",
    "k": "keys",
    "?": "?",
}


@dataclass(frozen=True)
class Layout:
    """What a tensor's axes mean. ``axes`` has a word for each: batch, channels, rows, columns, frames, tokens, windows
    (joined with the batch), keys (places that attention compares with), values (channels and places in one), one (a
    single place), "?".

    ``rows`` and ``columns`` are those of the whole map, wherever its places stand, None where there is none or it is
    unknown. ``extra``: tokens beside the grid (a class token). ``windows``: parts of the map that stand in the batch axis.
    """

    axes: tuple[str, ...]
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    channels: int | None = None
    extra: int = 0
    windows: int = 1


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


@lru_cache(maxsize=4096)
def summary(axes: Axes) -> Layout:
    """Return what axes mean, in words and numbers."""
    words: list[str] = []
    counts = dict.fromkeys("hwtc", 1)
    seen: set[str] = set()
    extra, windows = 0, 1
    for place, axis in enumerate(axes):
        found = labels(axis)
        seen |= found
        for label, size, _, grid in axis:
            for inner, length in [part[:2] for part in grid[1]] if grid else [(label, size)]:
                seen.add(inner)
                if inner in counts:
                    counts[inner] *= length
            extra += grid[0] if grid else 0
        if place == 0 and found & PLACES and len(axes) > 2:
            windows = math.prod(factor[1] for factor in axis if factor[0] in PLACES)
            words.append("windows")
        else:
            words.append(_word(found, place))
    is_map = bool({"h", "w"} & seen) and "?" not in seen
    bare = any(factor[0] == "n" and not factor[3] for axis in axes for factor in axis)
    return Layout(
        tuple(words),
        counts["h"] if is_map and not bare and "h" in seen else None,
        counts["w"] if is_map and not bare and "w" in seen else None,
        counts["t"] if "t" in seen and "?" not in seen else None,
        counts["c"] if "c" in seen and "?" not in seen else None,
        extra,
        windows,
    )


def _word(found: set[str], place: int) -> str:
    if not found:
        return "batch" if place == 0 else "one"
    if len(found) == 1:
        return WORDS[next(iter(found))]
    if "?" in found:
        return "?"
    if found <= PLACES:
        return "tokens"
    return "values" if found <= PLACES | {"c"} else "?"


def shuffles(before: Axes | None, after: Axes | None) -> bool:
    """Return whether the channels stand in another order afterwards, and everything else as it was."""
    if before is None or after is None or len(before) != len(after):
        return False
    before, after = (tuple(tuple(f for f in axis if f[1] != 1) for axis in axes) for axes in (before, after))
    moved = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return len(moved) == 1 and all(
        labels(axes[moved[0]]) == {"c"} and size_of(axes[moved[0]]) == size_of(before[moved[0]])
        for axes in (before, after)
    )


class Layouts:
    """Knows what the axes of each tensor of one run mean."""

    def __init__(self) -> None:
        self._known: dict[int, Axes] = {}
        self._alive: list[Any] = []  # so that an id never names two tensors

    def begin(self, images: list[Any]) -> None:
        """Start with the images, channels first."""
        for image in images:
            names = IMAGE.get(image.ndim)
            if names:
                axes = tuple(one_factor(name, size) for name, size in zip(names, image.shape, strict=True))
                self._set(image, axes)

    def of(self, tensor: Tensor) -> Axes | None:
        """Return the axes of a tensor; None for weights and what is made of them alone."""
        return self._known.get(id(tensor))

    def same(self, tensor: Tensor, other: Tensor) -> None:
        """Take for ``other`` what is known of ``tensor``, whose values it has."""
        axes = self._known.get(id(tensor))
        if axes is not None:
            self._set(other, axes)

    def _set(self, tensor: Tensor, axes: Axes) -> None:
        self._known[id(tensor)] = axes
        self._alive.append(tensor)

    def note(self, name: str, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Follow one call from the tensors that it read to those that it made."""
        known = self._known
        first = next((tensor for tensor in inputs if id(tensor) in known), None)
        if first is None:
            return
        rule = RULES.get(name)
        for number, output in enumerate(outputs):
            shape = output.shape
            if rule is not None:
                try:
                    axes = rule(known, args, kwargs, shape, number)
                except (KeyError, IndexError, TypeError, ValueError):
                    axes = None
                if axes is None or len(axes) != len(shape):
                    axes = tuple(map(unknown, shape))
            elif len(inputs) == 1 and first.shape == shape:
                axes = known[id(first)]
            else:
                axes = _by_shape(known, inputs, shape)
            self._set(output, axes)


Known = dict[int, Axes]


def _by_shape(known: Known, inputs: list[Tensor], shape: Sequence[int]) -> Axes:
    """Return the axes of a value-by-value operation: each axis from an operand that has it in this length."""
    made: list[Axis] = [()] * len(shape)
    of_data = [(known[id(tensor)], tensor.shape) for tensor in inputs if id(tensor) in known]
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


def _argument(args: tuple, kwargs: dict, place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _numbers(args: tuple, kwargs: dict, place: int, name: str) -> tuple[int, ...]:
    """Return numbers that may be given one by one or as a sequence: permute(0, 2, 1), permute((0, 2, 1))."""
    if name in kwargs:
        found = kwargs[name]
    elif len(args) == place + 1:
        found = args[place]
    else:
        found = args[place:]
    return tuple(found) if isinstance(found, tuple | list) else (found,)


def _reshape(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    return reshaped(known[id(_input(args, kwargs))], shape)


def _input(args: tuple, kwargs: dict) -> Any:
    return args[0] if args else kwargs.get("input", kwargs.get("self"))


def _permute(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(_input(args, kwargs))]
    return tuple(axes[place] for place in _numbers(args, kwargs, 1, "dims"))


def _transpose(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = list(known[id(_input(args, kwargs))])
    one, other = _argument(args, kwargs, 1, "dim0"), _argument(args, kwargs, 2, "dim1")
    axes[one], axes[other] = axes[other], axes[one]
    return tuple(axes)


def _last_two(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(args[0])]
    return (*axes[:-2], axes[-1], axes[-2])


def _movedim(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(_input(args, kwargs))]
    source, target = (
        value if isinstance(value, tuple | list) else (value,)
        for value in (_argument(args, kwargs, 1, "source"), _argument(args, kwargs, 2, "destination"))
    )
    count = len(axes)
    source, target = [at % count for at in source], [at % count for at in target]
    rest = iter(place for place in range(count) if place not in source)
    order = [source[target.index(place)] if place in target else next(rest) for place in range(count)]
    return tuple(axes[place] for place in order)


def _window(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """A pooling or an up-sampling: all axes keep their meaning."""
    axes = known[id(_input(args, kwargs))]
    return tuple(resized(axis, size) if axis else unknown(size) for axis, size in zip(axes, shape, strict=True))


def _convolution(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """Channels are made anew; rows and columns keep their meaning, and get it where it was unknown."""
    axes = known[id(_input(args, kwargs))]
    if len(axes) != len(shape):
        return tuple(map(unknown, shape))
    dims = len(shape) - 2
    made: list[Axis] = [axes[0], one_factor("c", shape[1])]
    for axis, size, name in zip(axes[2:], shape[2:], {1: "?", 2: "hw", 3: "thw"}[dims], strict=True):
        axis = axis if labels(axis) - {"?"} else one_factor(name, size)
        made.append(resized(axis, size))
    return tuple(made)


def _linear(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """The last axis is made anew: channels, or again tokens where it mixed those."""
    axes = known[id(_input(args, kwargs))]
    last = axes[-1]
    if last and labels(last) <= PLACES:
        made = last if size_of(last) == shape[-1] else one_factor("n", shape[-1])
    else:
        made = one_factor("c", shape[-1])
    return (*axes[:-1], made)


def _concat(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    tensors = _argument(args, kwargs, 0, "tensors")
    place = _argument(args, kwargs, 1, "dim", kwargs.get("axis", 0)) % len(shape)
    axes = [known.get(id(tensor)) for tensor in tensors]
    made = list(_by_shape(known, list(tensors), shape))
    made[place] = joined(
        [None if own is None else own[place] for own in axes], [tensor.shape[place] for tensor in tensors]
    )
    return tuple(made)


def _stack(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    tensors = _argument(args, kwargs, 0, "tensors")
    place = _argument(args, kwargs, 1, "dim", 0) % len(shape)
    axes = list(next(known[id(tensor)] for tensor in tensors if id(tensor) in known))
    axes.insert(place, unknown(shape[place]))
    return tuple(axes)


def _split(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    axes = known[id(_input(args, kwargs))]
    return tuple(resized(axis, size) if axis else unknown(size) for axis, size in zip(axes, shape, strict=True))


def _without(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """unbind and select: one axis less."""
    axes = list(known[id(_input(args, kwargs))])
    del axes[_argument(args, kwargs, 1, "dim", 0)]
    return tuple(axes)


def _reduce(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    axes = known[id(_input(args, kwargs))]
    over = _argument(args, kwargs, 1, "dim", kwargs.get("axis"))
    if over is None:
        over = tuple(range(len(axes)))
    over = {place % len(axes) for place in (over if isinstance(over, tuple | list) else (over,))}
    if len(shape) == len(axes):
        return tuple(
            one_factor(next(iter(labels(axis))), 1)
            if place in over and len(labels(axis)) == 1
            else ()
            if place in over
            else axis
            for place, axis in enumerate(axes)
        )
    return tuple(axis for place, axis in enumerate(axes) if place not in over)


def _matmul(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    first = _input(args, kwargs)
    second = _argument(args, kwargs, 1, "other", kwargs.get("mat2"))
    made = [unknown(size) for size in shape]
    for tensor, end in ((second, 2), (first, 2)):
        axes = known.get(id(tensor))
        if axes is None:
            continue
        for place in range(end + 1, min(len(axes), len(shape)) + 1):
            if tensor.shape[-place] == shape[-place]:
                made[-place] = axes[-place]
    of_first, of_second = known.get(id(first)), known.get(id(second))
    if of_first is not None and len(shape) >= 2 and first.ndim >= 2:
        made[-2] = of_first[-2]
    if of_second is not None and second.ndim >= 2:
        made[-1] = _keys(of_second[-1]) if len(made) > 1 and labels(made[-2]) & PLACES else of_second[-1]
    elif second.ndim >= 2:  # a matrix of weights: channels anew
        made[-1] = one_factor("c", shape[-1])
    return tuple(made)


def _keys(axis: Axis) -> Axis:
    """Return the axis of places that are compared with places: keys."""
    return one_factor("k", size_of(axis)) if labels(axis) & PLACES else axis


def _einsum(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    left, _, right = args[0].replace(" ", "").partition("->")
    tensors = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
    if "." in left or not right:
        return None
    found: dict[str, Axis] = {}
    for letters, tensor in zip(left.split(","), tensors, strict=True):
        for letter, axis in zip(letters, known.get(id(tensor), ()), strict=False):
            if labels(axis) - {"?"} and letter not in found:
                compared = any(labels(found[other]) & PLACES for other in right if other in found)
                found[letter] = _keys(axis) if compared and tensor is not tensors[0] else axis
    return tuple(found[letter] if letter in found else unknown(size) for letter, size in zip(right, shape, strict=True))


def _attention(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    if number:
        return None
    query = _argument(args, kwargs, 0, "query")
    return (*known[id(query)][:-1], one_factor("c", shape[-1]))


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
    axes = known[id(_input(args, kwargs))]
    return tuple(resized(axis, size) for axis, size in zip(axes, shape, strict=True))


def _unfold(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    if len(shape) != 3:
        return None
    return (known[id(_input(args, kwargs))][0], one_factor("c", shape[1]), one_factor("n", shape[2]))


Rule = Callable[[Known, tuple, dict, Sequence[int], int], "Axes | None"]
RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as", "ravel"), _reshape
    ),
    "permute": _permute,
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("T", "mT", "t", "H", "mH"), _last_two),
    **dict.fromkeys(("movedim", "moveaxis"), _movedim),
    **dict.fromkeys(
        (
            "max_pool1d",
            "max_pool2d",
            "max_pool3d",
            "max_pool2d_with_indices",
            "avg_pool1d",
            "avg_pool2d",
            "avg_pool3d",
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "adaptive_max_pool2d",
            "adaptive_max_pool2d_with_indices",
            "adaptive_max_pool1d",
            "lp_pool2d",
            "interpolate",
            "upsample",
            "pad",
            "grid_sample",
            "fft2",
            "rfft2",
            "irfft2",
        ),
        _window,
    ),
    **dict.fromkeys(
        (
            "conv1d",
            "conv2d",
            "conv3d",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
            "deform_conv2d",
            "_conv2d",
            "convolution",
        ),
        _convolution,
    ),
    "linear": _linear,
    **dict.fromkeys(("cat", "concat", "concatenate"), _concat),
    "stack": _stack,
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split", "narrow"), _split),
    **dict.fromkeys(("unbind", "select"), _without),
    **dict.fromkeys(
        (
            "mean",
            "sum",
            "amax",
            "amin",
            "max",
            "min",
            "var",
            "std",
            "norm",
            "vector_norm",
            "linalg_vector_norm",
            "logsumexp",
            "argmax",
            "prod",
            "any",
            "all",
        ),
        _reduce,
    ),
    **dict.fromkeys(("matmul", "bmm", "mm", "__matmul__"), _matmul),
    "einsum": _einsum,
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), _attention),
    "__getitem__": _getitem,
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _pixel_shuffle),
    "unfold": _unfold,
}

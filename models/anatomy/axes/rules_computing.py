"""Rules for the axes of operations that compute: windows, convolutions, products of matrices, sums along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from .factors import PLACES, Axes, Axis, holds_places_of_channels, labels, one_factor, resized, size_of, unknown
from .rules import Known, Rule, argument, first_input


def _window(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """A pooling or an up-sampling: all axes keep their meaning."""
    axes = known[id(first_input(args, kwargs))]
    return tuple(resized(axis, size) if axis else unknown(size) for axis, size in zip(axes, shape, strict=True))


def _convolution(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """Channels are made anew; rows and columns keep their meaning, and get it where it was unknown.

    In front of the channels stands the batch, or nothing: a single image has none.
    """
    axes = known[id(first_input(args, kwargs))]
    if len(axes) != len(shape):
        return tuple(map(unknown, shape))
    dims = argument(args, kwargs, 1, "weight").ndim - 2
    at = len(shape) - dims - 1
    made: list[Axis] = [*axes[:at], _made_channels(axes[at], shape[at], args, kwargs)]
    for axis, size, name in zip(axes[at + 1 :], shape[at + 1 :], {1: "?", 2: "hw", 3: "thw"}[dims], strict=True):
        was_values = dims > 1 and labels(axis) == {"c"} and size_of(axis) > 1  # a linear layer made this map
        axis = axis if labels(axis) - {"?"} and not was_values else one_factor(name, size)
        made.append(resized(axis, size))
    return tuple(made)


def _made_channels(before: Axis, size: int, args: tuple, kwargs: dict) -> Axis:
    """Return the axis of a convolution's channels: images laid side by side as groups stay apart."""
    groups = kwargs.get("groups", next((value for value in args[6:7] if isinstance(value, int)), 1))
    if before[:1] and before[0][0] == "b" and groups % before[0][1] == 0 and size % before[0][1] == 0:
        return (before[0], *one_factor("c", size // before[0][1]))
    return one_factor("c", size)


def _linear(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """The last axis is made anew: channels, or again tokens where it mixed those."""
    axes = known[id(first_input(args, kwargs))]
    last = axes[-1]
    if holds_places_of_channels(axes, -1):
        made = last if size_of(last) == shape[-1] else one_factor("n", shape[-1])
    else:
        made = one_factor("c", shape[-1])
    return (*axes[:-1], made)


def _embedding(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    """Each number becomes a vector: one more axis."""
    return (*known[id(first_input(args, kwargs))], one_factor("c", shape[-1]))


def _recurrent(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    """A recurrent layer keeps the steps of its sequence and makes the values of each anew; its states have no steps."""
    axes = known[id(args[0])]
    if number and len(shape) == 3:  # layers first, then the batch
        return (unknown(shape[0]), axes[0 if args[-1] is True else 1], one_factor("c", shape[-1]))
    return (*axes[:-1], one_factor("c", shape[-1]))


def _added_product(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes:
    return _matmul(known, args[1:], {}, shape, number)


def _reduce(known: Known, args: tuple, kwargs: dict, shape: Sequence[int], number: int) -> Axes | None:
    axes = known[id(first_input(args, kwargs))]
    over = argument(args, kwargs, 1, "dim", kwargs.get("axis"))
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
    first = first_input(args, kwargs)
    second = argument(args, kwargs, 1, "other", kwargs.get("mat2"))
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
    query = argument(args, kwargs, 0, "query")
    return (*known[id(query)][:-1], one_factor("c", shape[-1]))


RULES: dict[str, Rule] = {
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
    "embedding": _embedding,
    **dict.fromkeys(("gru", "lstm", "rnn_tanh", "rnn_relu"), _recurrent),
    **dict.fromkeys(("gru_cell", "lstm_cell", "rnn_tanh_cell", "rnn_relu_cell"), _recurrent),
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
    **dict.fromkeys(("addmm", "baddbmm"), _added_product),
    "einsum": _einsum,
    **dict.fromkeys(("scaled_dot_product_attention", "multi_head_attention_forward"), _attention),
}

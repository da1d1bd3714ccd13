"""One rule for each kind of operation: which places of its inputs a value of its output was made of.

A rule is called as ``rule(fields, packet, args, kwargs, inputs, outputs)`` and returns what the outputs depend on. Which
operations work value by value is read from PyTorch's own tags. What has no rule is said to be unknown, with its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from . import lines, spans
from .lines import Taps
from .spans import Span
from .terms import Seen, Term, as_map, joined, reduced

if TYPE_CHECKING:
    from .receptive_field import ReceptiveFields

aten = torch.ops.aten
Rule = Callable[..., "Seen | list[Seen | None]"]
RULES: dict[Any, Rule] = {}
WEIGHTED = {aten.convolution, aten.addmm, aten.mm, aten.bmm, aten.baddbmm}

BY_VALUE = "picks places by their values"


def rule(*packets: Any) -> Callable[[Rule], Rule]:
    """Register a rule for some operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(packets, function))
        return function

    return register


def operation(*names: str) -> list[Any]:
    """Return the operations of PyTorch with these names, as far as the installed version has them."""
    return [getattr(aten, name) for name in names if hasattr(aten, name)]


def rule_for(packet: Any) -> Rule:
    """Return, and remember, the rule of an operation that has none of its own."""
    overloads = [getattr(packet, name) for name in packet.overloads()]
    by_value = any(torch.Tag.pointwise in overload.tags for overload in overloads)
    RULES[packet] = pointwise if by_value else without_rule
    return RULES[packet]


def made(
    sources: Sequence[Seen], terms: Iterable[Sequence[Term]], weighted: bool = False, everywhere: bool = False
) -> Seen:
    """Return what values depend on that are made of ``sources`` through ``terms``; ``everywhere``: of all places, too.

    Where something local remains, what has none (a gate) is no part of the depth.
    """
    found, reached = joined(terms)
    is_global = everywhere or reached or any(seen.is_global for seen in sources)
    main = [seen for seen in sources if seen.terms] or sources
    depth = max(seen.depth for seen in main) + weighted
    unknown = next((seen.unknown for seen in sources if seen.unknown), "")
    before = () if any(term.is_local for term in found) else main
    return Seen(found, is_global, depth, before, unknown)


def unknown(sources: Sequence[Seen], reason: str) -> Seen:
    """Return what can be said of values whose places are not known."""
    first = next((seen.unknown for seen in sources if seen.unknown), reason)
    return Seen((), any(s.is_global for s in sources), max(s.depth for s in sources), unknown=first)


def name_of(packet: Any) -> str:
    """Return the name of an operation without its library: "grid_sampler_2d"."""
    return packet._qualified_op_name.split("::")[-1]


def moved(seen: Seen, function: Callable[..., Span], *args: Any) -> Seen:
    """Return what values depend on that were only moved; ``function(span, *args)`` tells where they are now."""
    terms = []
    for term in seen.terms:
        rows = None if term.rows is None else function(term.rows, *args)
        columns = None if term.columns is None else function(term.columns, *args)
        terms.append(Term(rows, term.row_line, columns, term.column_line))
    if all(new.rows is old.rows and new.columns is old.columns for new, old in zip(terms, seen.terms, strict=True)):
        return seen
    return Seen(tuple(terms), seen.is_global, seen.depth, (seen,), seen.unknown)


def without_empty(seen: Seen) -> Seen:
    """Return the same without terms of which no value is left: after a slice, say, that takes the class token."""

    def is_left(span: Span | None) -> bool:
        return span is None or span.last is span.first or spans.ends(span) is not None

    terms = tuple(term for term in seen.terms if is_left(term.rows) and is_left(term.columns))
    if len(terms) == len(seen.terms):
        return seen
    return Seen(terms, seen.is_global, seen.depth, seen.before, seen.unknown)


def with_axes(seen: Seen, tensor: Tensor, dimensions: int) -> tuple[Term, ...]:
    """Return the terms of an operand for a result with ``dimensions`` axes, as broadcasting lines them up."""
    if tensor.ndim == dimensions or not seen.terms:
        return seen.terms
    return moved(seen, spans.lifted, dimensions).terms


def normal(axes: Any, dimensions: int) -> tuple[int, ...]:
    """Return axes as sorted numbers from 0; all where none are named."""
    if axes is None or (isinstance(axes, list | tuple) and not axes):
        return tuple(range(dimensions))
    axes = (axes,) if isinstance(axes, int) else axes
    return tuple(sorted({axis % dimensions for axis in axes})) if dimensions else ()


def has_place(seen: Seen, axes: tuple[int, ...]) -> bool:
    """Return whether places lie along one of the axes."""
    return any(
        span is not None and any(axis in axes for axis in span.axes)
        for term in seen.terms
        for span in (term.rows, term.columns)
    )


# --- value by value --------------------------------------------------------------------------------------------------


def pointwise(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Each value is made of the values at its own position."""
    if len(inputs) == 1:
        return fields.seen(inputs[0])  # pyright: ignore[reportReturnType]  one of the inputs depends on the image
    dimensions = outputs[0].ndim
    found = [(tensor, seen) for tensor in inputs if (seen := fields.seen(tensor)) is not None]
    if len(found) == 1 and found[0][0].ndim == dimensions:
        return found[0][1]
    sources = [seen for _, seen in found]
    return made(sources, [with_axes(seen, tensor, dimensions) for tensor, seen in found])


for _packet in operation(
    "clone", "contiguous", "_to_copy", "detach", "alias", "lift_fresh", "dropout", "native_dropout", "relu", "gelu",
    "silu", "hardtanh", "_native_batch_norm_legit_no_training", "masked_fill", "where", "fill", "zeros_like",
    "_prelu_kernel", "lerp", "log_sigmoid_forward", "rrelu_with_noise", "glu", "real", "imag", "_conj", "conj",
    "clamp", "bernoulli", "resolve_conj", "resolve_neg", "hardswish", "hardsigmoid", "elu", "leaky_relu", "mish",
    "softplus", "softshrink", "hardshrink", "threshold", "celu", "selu", "logit", "hardswish_", "hardsigmoid_",
):  # fmt: skip
    RULES[_packet] = pointwise


def without_rule(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """No rule tells which places this operation reads."""
    sources = [seen for tensor in inputs if (seen := fields.seen(tensor)) is not None]
    reason = BY_VALUE if name_of(packet) in ("nonzero", "masked_select") else "has no rule that tells what it reads"
    return unknown(sources, f"{name_of(packet)} {reason}")


@rule(*operation("new_zeros", "new_empty", "new_full", "new_ones", "zeros_like", "ones_like", "empty_like", "full_like",
                 "rand_like", "randn_like", "new_empty_strided"))  # fmt: skip
def new_tensor(
    fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any
) -> list[Seen | None]:
    """A new tensor has the shape of another and none of its values."""
    return [None]


# --- values that only move -------------------------------------------------------------------------------------------


@rule(*operation("view", "_unsafe_view", "reshape", "_reshape_copy", "_reshape_alias", "unflatten", "flatten"))
def view(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    return moved(seen, spans.viewed, args[0].shape, outputs[0].shape)


@rule(*operation("as_strided", "as_strided_"))
def as_strided(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Another layout in memory; unless the shape stays, it is not known what lies where."""
    seen = fields.seen(args[0])
    assert seen is not None
    shape = outputs[0].shape
    spans_ = [span for term in seen.terms for span in (term.rows, term.columns) if span is not None]
    stays = tuple(args[0].shape) == tuple(args[1]) and all(span.dimensions == len(shape) for span in spans_)
    return seen if stays else unknown([seen], "as_strided reads values by their address")


@rule(*operation("view_as_real"))
def view_as_real(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return moved(fields.seen(args[0]), spans.unsqueezed, args[0].ndim)  # pyright: ignore[reportArgumentType]


@rule(*operation("view_as_complex"))
def view_as_complex(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return dropped(fields.seen(args[0]), (args[0].ndim - 1,))  # pyright: ignore[reportArgumentType]


@rule(*operation("permute"))
def permute(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return moved(fields.seen(args[0]), spans.permuted, tuple(args[1]))  # pyright: ignore[reportArgumentType]


@rule(*operation("transpose", "t", "swapaxes", "numpy_T", "mT"))
def transpose(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    order = list(range(args[0].ndim))
    if len(order) < 2:
        return seen
    a, b = args[1:3] if len(args) > 2 else (-1, -2)
    order[a], order[b] = order[b], order[a]
    return moved(seen, spans.permuted, tuple(order))


@rule(*operation("unsqueeze"))
def unsqueeze(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return moved(fields.seen(args[0]), spans.unsqueezed, args[1] % outputs[0].ndim)  # pyright: ignore[reportArgumentType]


@rule(*operation("squeeze"))
def squeeze(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen, shape = fields.seen(args[0]), args[0].shape
    assert seen is not None
    asked = normal(args[1] if len(args) > 1 else None, len(shape))
    return dropped(seen, tuple(axis for axis in asked if shape[axis] == 1))


def dropped(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on after axes of length 1 were dropped; the only place of a map is all of the map."""
    if not axes:
        return seen
    if has_place(seen, axes):
        seen = over(seen, axes)
    return moved(seen, spans.squeezed_out, axes)


@rule(*operation("expand"))
def expand(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return moved(fields.seen(args[0]), spans.lifted, outputs[0].ndim)  # pyright: ignore[reportArgumentType]


@rule(*operation("repeat"))
def repeat(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = moved(fields.seen(args[0]), spans.lifted, outputs[0].ndim)  # pyright: ignore[reportArgumentType]
    return moved(seen, spans.repeated, tuple(args[1]))


@rule(*operation("slice"))
def slice_(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    axis, start, stop, step = (*args[1:], *(0, None, None, 1)[len(args) - 1 :])
    start, stop, step = slice(start, stop, step).indices(args[0].shape[axis])
    return part(seen, axis % args[0].ndim, start, stop, step)


def part(seen: Seen, axis: int, start: int, stop: int, step: int = 1) -> Seen:
    """Return what a slice of an axis depends on."""
    if not has_place(seen, (axis,)):
        return seen
    if stop <= start:
        return Seen((), seen.is_global, seen.depth, (seen,), seen.unknown)

    def cut(span: Span) -> Span:
        return spans.sliced(span, axis, start, stop, step) if span.first.shape[axis] > 1 else span

    return without_empty(moved(seen, cut))


@rule(*operation("split", "unsafe_split", "split_with_sizes", "unsafe_split_with_sizes", "chunk", "unsafe_chunk",
                 "tensor_split"))  # fmt: skip
def split(
    fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any
) -> Seen | list[Seen | None]:
    seen = fields.seen(args[0])
    assert seen is not None
    axis = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % args[0].ndim
    if not has_place(seen, (axis,)):
        return seen
    found: list[Seen | None] = []
    start = 0
    for output in outputs:
        found.append(part(seen, axis, start, start + output.shape[axis]))
        start += output.shape[axis]
    return found


@rule(*operation("select"))
def select(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    return one_entry(seen, args[1] % args[0].ndim, args[2], args[0].shape[args[1]])


def one_entry(seen: Seen, axis: int, place: int, length: int) -> Seen:
    """Return what one entry of an axis depends on, the axis dropped."""
    if length == 1 or not has_place(seen, (axis,)):
        return dropped(seen, (axis,))
    return resolved(without_empty(moved(seen, spans.selected, axis, place)))


def resolved(seen: Seen) -> Seen:
    """Return the same, with what reaches all places of an axis said to do so: the last state of a scan."""
    terms = []
    for term in seen.terms:
        rows = (term.rows, term.row_line) if term.rows is None or term.rows.axes else as_map(term.rows, term.row_line)
        columns = (
            (term.columns, term.column_line)
            if term.columns is None or term.columns.axes
            else as_map(term.columns, term.column_line)
        )
        terms.append(Term(*rows, *columns))
    return made([seen], [terms])


@rule(*operation("unbind"))
def unbind(
    fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any
) -> Seen | list[Seen | None]:
    seen = fields.seen(args[0])
    assert seen is not None
    axis = (args[1] if len(args) > 1 else 0) % args[0].ndim
    if not has_place(seen, (axis,)):
        return dropped(seen, (axis,))
    return [one_entry(seen, axis, place, len(outputs)) for place in range(len(outputs))]


@rule(*operation("flip"))
def flip(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return moved(fields.seen(args[0]), spans.flipped, normal(args[1], args[0].ndim))  # pyright: ignore[reportArgumentType]


@rule(*operation("roll"))
def roll(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    shifts = args[1] if isinstance(args[1], list | tuple) else [args[1]]
    axes = list(args[2]) if len(args) > 2 and args[2] else []
    if not axes:
        return unknown([seen], "roll moves values across all axes at once")
    for axis, shift in zip(axes, shifts, strict=True):
        if shift and has_place(seen, (axis % args[0].ndim,)):
            seen = rolled(seen, axis % args[0].ndim, int(shift))
    return seen


def rolled(seen: Seen, axis: int, shift: int) -> Seen:
    """Return what a map depends on that was moved along an axis; a plain map becomes a map of its own."""
    terms = []
    for term in moved(seen, lambda span: spans.rolled(span, axis, shift) if axis in span.axes else span).terms:
        terms.append(Term(*_as_new_map(term.rows, term.row_line), *_as_new_map(term.columns, term.column_line)))
    return made([seen], [terms])


def _as_new_map(span: Span | None, line: Any) -> Any:
    if span is None or len(span.axes) != 1:
        return span, line
    return as_map(span, line)


@rule(*operation("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
                 "replication_pad2d", "replication_pad3d", "pad", "_pad_circular"))  # fmt: skip
def pad(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Beyond the border a map goes on as in a larger image."""
    seen = fields.seen(args[0])
    assert seen is not None
    shape, widths = args[0].shape, args[1]
    for index in range(len(widths) // 2):
        axis, (before, after) = len(shape) - 1 - index, widths[2 * index : 2 * index + 2]
        if (before or after) and has_place(seen, (axis,)):
            stop = shape[axis] + after
            seen = moved(
                seen,
                lambda span, axis=axis, start=-before, stop=stop: (
                    spans.stretched(span, axis, start, stop) if axis in span.axes else span
                ),
            )
    return without_empty(seen)


@rule(*operation("cat", "concat", "concatenate"))
def cat(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % outputs[0].ndim
    return _beside(fields, [(tensor, fields.seen(tensor)) for tensor in args[0]], axis)


@rule(*operation("stack"))
def stack(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % outputs[0].ndim
    found = [(tensor, fields.seen(tensor)) for tensor in args[0]]
    return _beside(fields, [(t.unsqueeze(axis), s and moved(s, spans.unsqueezed, axis)) for t, s in found], axis)


def _beside(fields: ReceptiveFields, parts: list[tuple[Tensor, Seen | None]], axis: int) -> Seen:
    """Return what tensors laid side by side depend on. Where no places lie along the axis (channels), all on all."""
    sources = [seen for _, seen in parts if seen is not None]
    spans_ = [span for seen in sources for term in seen.terms for span in (term.rows, term.columns) if span is not None]
    if not any(axis in span.axes or not span.axes for span in spans_):
        return made(sources, [seen.terms for seen in sources])
    length = sum(tensor.shape[axis] for tensor, _ in parts)
    terms, start = [], 0
    for tensor, seen in parts:
        where = range(start, start + tensor.shape[axis])
        start = where.stop
        if seen is not None and len(where):
            terms.append(moved(seen, spans.placed, axis, where, length).terms)
    return made(sources, terms)


@rule(*operation("index_select"))
def index_select(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen, axis = fields.seen(args[0]), args[1] % args[0].ndim
    if seen is None or fields.seen(args[2]) is not None:
        return unknown([s for t in inputs if (s := fields.seen(t))], f"index_select {BY_VALUE}")
    if not has_place(seen, (axis,)):
        return seen
    index = fields.values.of(args[2])
    if index is None:
        return unknown([seen], "index_select reads places from a table whose values are unknown")
    return without_empty(moved(seen, _with_index(fields, index), axis))


def _with_index(fields: ReceptiveFields, index: Tensor) -> Callable[[Span, int], Span]:
    def take(span: Span, axis: int) -> Span:
        key = (id(index), span, axis)
        if key not in fields.kept:
            fields.kept[key] = (index, spans.indexed(span, axis, np.asarray(index.numpy())))
        return fields.kept[key][1]

    return take


@rule(*operation("index"))
def index(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Advanced indexing, with a list of tensors or None for each axis."""
    seen, chosen = fields.seen(args[0]), args[1]
    named = [i for i in chosen if i is not None]
    if seen is None or any(fields.seen(i) is not None for i in named):
        return unknown([s for t in inputs if (s := fields.seen(t))], f"indexing {BY_VALUE}")
    axes = tuple(axis for axis, i in enumerate(chosen) if i is not None)
    if any(i.dtype in (torch.bool, torch.uint8) for i in named) or has_place(seen, axes):
        values = [None if i is None else fields.values.of(i) for i in chosen]
        if any(v is None for i, v in zip(chosen, values, strict=True) if i is not None):
            return unknown([seen], "indexing reads places from a table whose values are unknown")
    else:
        values = [None if i is None else torch.zeros(tuple(i.shape), dtype=torch.long) for i in chosen]
    arrays = [None if v is None else v.cpu().numpy() for v in values]
    return without_empty(moved(seen, lambda span: _advanced(span, arrays, args[0].shape)))


def _advanced(span: Span, chosen: list[Any], shape: Sequence[int]) -> Span:
    full = list(span.first.shape)
    places: list[Any] = []
    for axis, index in enumerate(chosen):
        if index is None:
            places.append(slice(None))
        elif index.dtype == bool:
            for a in range(axis, axis + index.ndim):
                full[a] = shape[a]
            places.append(index)
        else:
            places.append(index if span.first.shape[axis] > 1 else np.zeros_like(index))
    first, last = (np.broadcast_to(array, full)[tuple(places)] for array in (span.first, span.last))
    if span.last is span.first:
        last = first
    return spans._squeezed(Span(first, last, tuple(range(first.ndim))))


@rule(*operation("gather", "take_along_dim"))
def gather(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen, axis = fields.seen(args[0]), args[1] % args[0].ndim
    chooser = fields.seen(args[2])
    sources = [s for s in (seen, chooser) if s is not None]
    if seen is None or not has_place(seen, (axis,)):
        return made(sources, [s.terms for s in sources])
    values = None if chooser is not None else fields.values.of(args[2])
    if values is None:
        return unknown(sources, f"gather {BY_VALUE}" if chooser else "gather reads a table whose values are unknown")
    index, shape = values.numpy(), args[0].shape

    def take(span: Span) -> Span:
        def along(array: Any) -> Any:
            sides = [s if a == axis else n for a, (s, n) in enumerate(zip(shape, index.shape, strict=True))]
            return np.take_along_axis(np.broadcast_to(array, sides), index, axis)

        return spans._squeezed(span.mapped(along, tuple(range(index.ndim))))

    return without_empty(moved(seen, take))


@rule(*operation("unfold"))
def unfold(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Windows of an axis, whose places come to lie along a new last axis."""
    seen, axis, size, step = fields.seen(args[0]), args[1] % args[0].ndim, args[2], args[3]
    assert seen is not None
    count = outputs[0].shape[axis]
    table = np.arange(count)[:, None] * step + np.arange(size)  # (windows, places)
    order = (*(a for a in range(args[0].ndim + 1) if a != axis + 1), axis + 1)

    def cut(span: Span) -> Span:
        if axis not in span.axes:
            return spans.unsqueezed(span, span.dimensions)
        return spans.permuted(spans.indexed(span, axis, table), order)

    return moved(seen, cut)


@rule(*operation("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"))
def shuffle(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen, (*lead, channels, height, width), r = fields.seen(args[0]), args[0].shape, args[1]
    assert seen is not None
    n = len(lead)
    if "channel" in name_of(packet):
        return seen if not has_place(seen, (n,)) else unknown([seen], "channel_shuffle of places")
    if packet is aten.pixel_shuffle:
        inner, order = (*lead, channels // r**2, r, r, height, width), (n, n + 3, n + 1, n + 4, n + 2)
    else:
        inner, order = (*lead, channels, height // r, r, width // r, r), (n, n + 2, n + 4, n + 1, n + 3)
    order = (*range(n), *order)
    seen = moved(seen, spans.viewed, tuple(args[0].shape), inner)
    seen = moved(seen, spans.permuted, order)
    return moved(seen, spans.viewed, tuple(inner[axis] for axis in order), tuple(outputs[0].shape))


# --- windows ---------------------------------------------------------------------------------------------------------


def along(span: Span | None, line: Any, axis: int, taps: Taps, places: int) -> Any:
    """Return span and line after windows along one axis."""
    if span is None or axis not in span.axes:
        return span, line
    if span.plain != axis:
        own = spans.pattern(span, line.places) if span.axes == (axis,) else None
        if own is None:
            return spans.clipped(span, axis, taps, places), line
        line = lines.through(line, own, span.first.size)
    return spans.grid(span.dimensions, axis, places), lines.through(line, taps, places)


def slid(terms: Sequence[Term], axes: Sequence[int], taps: Sequence[Taps], shape: Sequence[int]) -> list[Term]:
    """Return the terms after windows along some axes, from which a map of ``shape`` was made."""
    found = []
    for term in terms:
        rows, row_line, columns, column_line = term
        for axis, tap in zip(axes, taps, strict=True):
            rows, row_line = along(rows, row_line, axis, tap, shape[axis])
            columns, column_line = along(columns, column_line, axis, tap, shape[axis])
        found.append(Term(rows, row_line, columns, column_line))
    return found


def windows(
    seen: Seen, before: Sequence[int], after: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any
) -> list[Term]:
    """Return the terms after a convolution or a pooling along the last axes; a window as large as the map reaches all."""
    axes, taps, exact = [], [], []
    first = len(before) - len(kernel)
    for i in range(len(kernel)):
        axis = first + i
        if kernel[i] == 1 and stride[i] == 1 and padding[i] == 0:
            continue
        axes.append(axis)
        taps.append(lines.window(kernel[i], stride[i], padding[i], dilation[i]))
        if after[axis] == 1 < before[axis] == dilation[i] * (kernel[i] - 1) + 1 and not padding[i]:
            exact.append(axis)
    if not axes:
        return list(seen.terms)
    found = slid(seen.terms, axes, taps, after)
    if exact:
        whole = [less for term in seen.terms if (less := reduced(term, tuple(exact))) is not None]
        found += [term for term in slid(whole, axes, taps, after) if not term.is_local]
    return found


def sequence(value: Any, length: int) -> tuple[int, ...]:
    """Return one number for each spatial axis."""
    value = tuple(value) if isinstance(value, list | tuple) else (value,)
    return value * length if len(value) == 1 else value


@rule(aten.convolution, *operation("_convolution", "mkldnn_convolution", "cudnn_convolution"))
def convolution(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    image, weight = args[0], args[1]
    seen = fields.seen(image)
    if seen is None or fields.seen(weight) is not None or packet is not aten.convolution:
        sources = [s for t in inputs if (s := fields.seen(t))]
        return unknown(sources, "a convolution whose kernel is made of the image")
    stride, padding, dilation, transposed, groups = args[3], args[4], args[5], args[6], args[8]
    n = image.ndim - 2
    stride, padding, dilation = (sequence(value, n) for value in (stride, padding, dilation))
    if n == 2 and not transposed and (quick := _plain_convolution(seen, weight, stride, padding, dilation, outputs[0])):
        return quick
    if has_place(seen, (1,)) and groups < image.shape[1]:
        seen = over(seen, (1,))
    if transposed:
        axes = range(2, 2 + n)
        taps = [
            lines.transposed_window(weight.shape[2 + i], stride[i], padding[i], dilation[i]) for i in range(n)
        ]  # fmt: skip
        return made([seen], [slid(seen.terms, axes, taps, outputs[0].shape)], True)
    if weight.shape[2:].numel() == 1 and stride == (1,) * n and padding == (0,) * n:
        return Seen(seen.terms, seen.is_global, seen.depth + 1, seen.before, seen.unknown)
    terms = windows(seen, image.shape, outputs[0].shape, weight.shape[2:], stride, padding, dilation)
    return made([seen], [terms], True)


def _plain_convolution(
    seen: Seen, weight: Tensor, stride: Any, padding: Any, dilation: Any, output: Tensor
) -> Seen | None:
    """Return the same for one plain map and a window that is smaller, which is nearly always so, and quickly."""
    if len(seen.terms) != 1:
        return None
    rows, row_line, columns, column_line = seen.terms[0]
    if rows is None or columns is None or rows.plain != 2 or columns.plain != 3:
        return None
    _, _, k_rows, k_columns = weight.shape
    _, _, height, width = output.shape
    if k_rows == k_columns == stride[0] == stride[1] == 1 and padding == (0, 0):
        return Seen(seen.terms, seen.is_global, seen.depth + 1, seen.before, seen.unknown)
    if height == 1 or width == 1:
        return None
    taps = lines.window(k_rows, stride[0], padding[0], dilation[0])
    new_rows = lines.through(row_line, taps, height)
    if row_line is column_line and (k_rows, stride[0], padding[0], dilation[0], height) == (
        (k_columns, stride[1], padding[1], dilation[1], width)
    ):
        new_columns = new_rows
    else:
        taps = lines.window(k_columns, stride[1], padding[1], dilation[1])
        new_columns = lines.through(column_line, taps, width)
    term = Term(spans.grid(4, 2, height), new_rows, spans.grid(4, 3, width), new_columns)
    return Seen((term,), seen.is_global, seen.depth + 1, (), seen.unknown)


def _pooling(n: int, dilated: bool) -> Rule:
    def pool(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
        seen = fields.seen(args[0])
        assert seen is not None
        kernel = sequence(args[1], n)
        stride = sequence(args[2], n) if len(args) > 2 and args[2] else kernel
        padding = sequence(args[3], n) if len(args) > 3 else (0,) * n
        dilation = sequence(args[4], n) if dilated and len(args) > 4 else (1,) * n
        return made([seen], [windows(seen, args[0].shape, outputs[0].shape, kernel, stride, padding, dilation)])

    return pool


for _n in (1, 2, 3):
    for _packet in operation(f"avg_pool{_n}d"):
        RULES[_packet] = _pooling(_n, dilated=False)
    for _packet in operation(f"max_pool{_n}d", f"max_pool{_n}d_with_indices"):
        RULES[_packet] = _pooling(_n, dilated=True)


@rule(*operation("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d",
                 "adaptive_avg_pool1d", "adaptive_max_pool1d"))  # fmt: skip
def adaptive_pool(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen, before, after = fields.seen(args[0]), args[0].shape, outputs[0].shape
    assert seen is not None
    spatial = range(len(before) - len(sequence(args[1], 1)), len(before))
    whole = tuple(axis for axis in spatial if after[axis] == 1)
    less = over(seen, whole) if whole else seen
    axes = [axis for axis in spatial if 1 < after[axis] != before[axis]]
    return made([less], [slid(less.terms, axes, [lines.adaptive(before[a], after[a]) for a in axes], after)])


def _resampling(a_side: int, corners: bool) -> Rule:
    def resample(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
        seen, before, after = fields.seen(args[0]), args[0].shape, outputs[0].shape
        assert seen is not None
        axes = [axis for axis in range(2, len(before)) if before[axis] != after[axis]]
        taps = []
        for axis in axes:
            if a_side:
                taps.append(lines.interpolated(before[axis], after[axis], corners and bool(args[2]), a_side))
            else:
                taps.append(lines.nearest(before[axis], after[axis]))
        return made([seen], [slid(seen.terms, axes, taps, after)])

    return resample


for _names, _taps_a_side in (
    (("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
      "_upsample_nearest_exact2d", "_upsample_nearest_exact3d"), 0),
    (("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), 1),
    (("upsample_bicubic2d",), 2),
):  # fmt: skip
    for _packet in operation(*_names):
        RULES[_packet] = _resampling(_taps_a_side, corners=True)


@rule(*operation("im2col"))
def im2col(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """``F.unfold``: windows become columns, (B, C·k·k, L)."""
    seen, kernel, dilation, padding, stride = fields.seen(args[0]), *(sequence(v, 2) for v in args[1:5])
    assert seen is not None
    shape = list(args[0].shape)
    sides = [
        (shape[-2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    ]  # fmt: skip
    lead = len(shape) - 3
    full = (*shape[:lead], shape[lead], kernel[0], kernel[1], *sides)

    def columns(span: Span) -> Span:
        for i in (1, 0):  # the last axis first, so that the earlier one keeps its number
            axis = lead + 1 + i
            table = np.arange(kernel[i])[:, None] * dilation[i] + np.arange(sides[i]) * stride[i]
            if axis in span.axes:
                span = spans.stretched(span, axis, -padding[i], shape[axis] + padding[i])
                span = spans.indexed(span, axis, table)
            else:
                span = spans.indexed(span, axis, table)
        # (…, C, ky, y, kx, x) to (…, C, ky, kx, y, x)
        order = (*range(lead + 1), lead + 1, lead + 3, lead + 2, lead + 4)
        return spans.viewed(spans.permuted(span, order), full, tuple(outputs[0].shape))

    return moved(seen, columns)


@rule(*operation("col2im"))
def col2im(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """``F.fold``: each value is the sum of the columns whose windows hold its place."""
    seen, size, kernel, dilation, padding, stride = fields.seen(args[0]), *(sequence(v, 2) for v in args[1:6])
    assert seen is not None
    counts = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    lead, shape = args[0].ndim - 2, tuple(args[0].shape)
    parts = (*shape[:lead], outputs[0].shape[lead], *kernel, *counts)
    seen = over(moved(seen, spans.viewed, shape, parts), (lead,))
    return moved(seen, spans.folded, kernel, stride, padding, dilation, tuple(size))


# --- all values along an axis ----------------------------------------------------------------------------------------


def over(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on that are made of all values along ``axes``, which stay with length 1."""
    if not has_place(seen, axes):
        return seen
    return made([seen], [[less for term in seen.terms if (less := reduced(term, axes)) is not None]])


REDUCTIONS = {  # where the axes and keepdim stand among the arguments
    "mean": (1, 2), "sum": (1, 2), "amax": (1, 2), "amin": (1, 2), "max": (1, 2), "min": (1, 2), "std": (1, 3),
    "var": (1, 3), "prod": (1, 2), "any": (1, 2), "all": (1, 2), "argmax": (1, 2), "argmin": (1, 2),
    "linalg_vector_norm": (2, 3), "logsumexp": (1, 2), "nansum": (1, 2), "norm": (2, 3), "median": (1, 2),
    "nanmedian": (1, 2), "var_mean": (1, 3), "std_mean": (1, 3), "count_nonzero": (1, 9), "aminmax": (9, 9),
    "mode": (1, 2), "kthvalue": (2, 3), "nanmean": (1, 2),
}  # fmt: skip


def reduction(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    if len(args) > 1 and isinstance(args[1], Tensor):  # max of two tensors
        return pointwise(fields, packet, args, kwargs, inputs, outputs)
    seen = fields.seen(args[0])
    assert seen is not None
    at, _ = REDUCTIONS[name_of(packet)]
    asked = args[at] if len(args) > at else kwargs.get("dim")
    axes = normal(None if isinstance(asked, bool) else asked, args[0].ndim)
    less = over(seen, axes)
    return less if outputs[0].ndim == args[0].ndim else moved(less, spans.squeezed_out, axes)


for _packet in operation(*REDUCTIONS):
    RULES[_packet] = reduction


def beside_all(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on that are made of the value at their position and of all along ``axes``: a norm."""
    if not has_place(seen, axes):
        return seen
    less = over(seen, axes)
    return made([seen], [seen.terms, less.terms], everywhere=less.is_global)


@rule(*operation("_softmax", "_safe_softmax", "_log_softmax", "softmax", "log_softmax"))
def softmax(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return beside_all(fields.seen(args[0]), normal(args[1], args[0].ndim))  # pyright: ignore[reportArgumentType]


@rule(*operation("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"))
def scan(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """The last place of a running sum has seen all."""
    return beside_all(fields.seen(args[0]), normal(args[1], args[0].ndim))  # pyright: ignore[reportArgumentType]


@rule(*operation("native_layer_norm", "layer_norm", "_fused_rms_norm", "rms_norm"))
def layer_norm(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    n = args[0].ndim
    return beside_all(fields.seen(args[0]), tuple(range(n - len(args[1]), n)))  # pyright: ignore[reportArgumentType]


@rule(*operation("native_group_norm"))
def group_norm(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return beside_all(fields.seen(args[0]), tuple(range(1, args[0].ndim)))  # pyright: ignore[reportArgumentType]


@rule(*operation("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "_batch_norm_impl_index"))
def batch_norm(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """With the statistics of training each value is its own; with those of the batch (instance norm) all meet."""
    seen = fields.seen(args[0])
    assert seen is not None
    live = next((value for value in args[3:6] if isinstance(value, bool)), False)
    return beside_all(seen, tuple(a for a in range(args[0].ndim) if a != 1)) if live else seen


@rule(*operation("_fft_r2c", "_fft_c2c", "_fft_c2r"))
def fft(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    return over(fields.seen(args[0]), normal(args[1], args[0].ndim))  # pyright: ignore[reportArgumentType]


@rule(*operation("sort", "topk", "argsort"))
def order(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    seen = fields.seen(args[0])
    assert seen is not None
    given = [value for value in args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    axis = given[-1] if len(given) > (packet is aten.topk) else kwargs.get("dim", -1)
    if has_place(seen, normal(axis, args[0].ndim)):
        return unknown([seen], f"{name_of(packet)} {BY_VALUE}")
    return seen


# --- products --------------------------------------------------------------------------------------------------------


@rule(*operation("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "linear", "matmul", "addbmm"))
def product(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Rows times columns: the first factor is read along its last axis, the second along the one before."""
    bias = args[0] if "add" in name_of(packet) else None
    a, b = args[1:3] if bias is not None else args[:2]
    dimensions = outputs[0].ndim
    sources, terms = [], []
    if bias is not None and (seen := fields.seen(bias)) is not None:
        sources.append(seen)
        terms.append(with_axes(seen, bias, dimensions))
    for factor, axis in ((a, a.ndim - 1), (b, max(0, b.ndim - 2))):
        if (seen := fields.seen(factor)) is None:
            continue
        sources.append(seen)
        less = over(seen, (axis,))
        if less.is_global and not seen.is_global:
            sources.append(less)
        if factor.ndim > dimensions:
            less = moved(less, spans.squeezed_out, (axis,))
        terms.append(less.terms)
    return made(sources, terms, weighted=packet in WEIGHTED and len(sources) < len(inputs))


@rule(*operation("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                 "_scaled_dot_product_efficient_attention", "_scaled_dot_product_fused_attention_overrideable",
                 "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math",
                 "scaled_dot_product_attention"))  # fmt: skip
def attention(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """Each query meets all keys and values."""
    sources, terms, everywhere = [], [], False
    last = args[0].ndim - 1
    for tensor, axes in ((args[0], (last,)), (args[1], (last - 1, last)), (args[2], (last - 1,))):
        if (seen := fields.seen(tensor)) is None:
            continue
        less = over(seen, axes)
        sources.append(seen)
        terms.append(less.terms)
        everywhere |= less.is_global
    return made(sources or [s for t in inputs if (s := fields.seen(t))], terms, everywhere=everywhere)


@rule(*operation("_native_multi_head_attention", "_transformer_encoder_layer_fwd"))
def fused_layer(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    """A whole attention layer in one operation: (B, tokens, width)."""
    sources = [seen for tensor in inputs if (seen := fields.seen(tensor)) is not None]
    query = fields.seen(args[0])
    less = [over(seen, (1, 2)) for seen in sources]
    terms = [seen.terms for seen in less] + ([query.terms] if query is not None else [])
    return made(sources, terms, weighted=True, everywhere=any(seen.is_global for seen in less))


# --- operations whose places depend on values -------------------------------------------------------------------------


@rule(*operation("grid_sampler_2d", "grid_sampler_3d", "grid_sampler"))
def grid_sampler(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> Seen:
    sources = [seen for tensor in inputs if (seen := fields.seen(tensor)) is not None]
    return unknown(sources, "grid_sample reads places that are computed")


# --- writing into a part of a tensor ----------------------------------------------------------------------------------


@rule(*operation("copy_", "copy"))
def copy(fields: ReceptiveFields, packet: Any, args: Any, kwargs: Any, inputs: Any, outputs: Any) -> list[Seen | None]:
    seen = fields.seen(args[1])
    if seen is None:  # constants are written over what was there
        return [fields.seen(args[0])]
    return [Seen(with_axes(seen, args[1], args[0].ndim), seen.is_global, seen.depth, (seen,), seen.unknown)]


def write_through(fields: ReceptiveFields, view: Tensor) -> None:
    """Add what was written into a view to the tensor that it is a view of.

    Along axes with places it stands where it was written; along others (channels) all values take part in it.
    """
    base, written = view._base, fields.seen(view)
    assert base is not None
    if written is None:
        return
    known = fields.seen(base)
    where = _where(base, view)
    if where is None:
        fields.keep(base, unknown([written], "values are written into a view"))
        return
    seen = written
    for axis, (part_, is_dropped) in enumerate(where):
        if is_dropped:
            seen = moved(seen, spans.unsqueezed, axis)
        if len(part_) < base.shape[axis] and (is_dropped or has_place(seen, (axis,))):
            seen = moved(seen, spans.placed, axis, part_, base.shape[axis])
    if known is None or all(len(p) == n for (p, _), n in zip(where, base.shape, strict=True)):
        fields.keep(base, seen)
    else:
        fields.keep(base, made([known, seen], [known.terms, seen.terms]))


def _where(base: Tensor, view: Tensor) -> list[tuple[range, bool]] | None:
    """Return for each axis of a tensor which entries a view of it holds, and whether the view has dropped the axis."""
    offset = int(view.storage_offset()) - int(base.storage_offset())
    starts = [0] * base.ndim
    for axis in sorted(range(base.ndim), key=base.stride, reverse=True):
        if base.shape[axis] > 1 and base.stride(axis):
            starts[axis], offset = divmod(offset, int(base.stride(axis)))
    found: list[tuple[range, bool]] = []
    own = 0
    for axis, size in enumerate(base.shape):
        left, dropped_axes = view.ndim - own, base.ndim - axis
        entries = _entries(starts[axis], size, base.stride(axis), view, own) if own < view.ndim else None
        if entries and (left == dropped_axes or size > 1 or view.shape[own] == 1):
            found.append((entries, False))
            own += 1
            continue
        found.append((range(starts[axis], starts[axis] + 1), True))
    return found if own == view.ndim and not offset else None


def _entries(start: int, size: int, stride: int, view: Tensor, axis: int) -> range | None:
    """Return the entries of an axis that an axis of a view holds; None where it belongs to another."""
    length = view.shape[axis]
    if length == 1:
        return range(start, start + 1)
    if not stride or view.stride(axis) % stride:
        return None
    step = view.stride(axis) // stride
    last = start + (length - 1) * step
    return range(start, last + 1, step) if step and last < size else None

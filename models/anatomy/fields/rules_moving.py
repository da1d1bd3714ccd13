"""Operations that only move values: views, permutations, slices, rolls, paddings, tensors laid side by side."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from . import spans
from .rules import (
    Call,
    aten,
    has_place,
    made,
    moved,
    name_of,
    normal,
    operation,
    over,
    rule,
    unknown,
    without_empty,
)
from .spans import Span
from .terms import Seen, Term, as_map
from .tracked import Tracked


@rule(*operation("view", "_unsafe_view", "reshape", "_reshape_copy", "_reshape_alias", "unflatten", "flatten"))
def view(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    return moved(seen, spans.viewed, call.args[0].shape, call.outputs[0].shape)


@rule(*operation("as_strided", "as_strided_"))
def as_strided(fields: Tracked, call: Call) -> Seen:
    """Another layout in memory; unless the shape stays, it is not known what lies where."""
    seen = fields.entering(call.args[0])
    shape = call.outputs[0].shape
    spans_ = [span for term in seen.terms for span in (term.rows, term.columns) if span is not None]
    stays = tuple(call.args[0].shape) == tuple(call.args[1]) and all(span.dimensions == len(shape) for span in spans_)
    return seen if stays else unknown([seen], "as_strided reads values by their address")


@rule(*operation("view_as_real"))
def view_as_real(fields: Tracked, call: Call) -> Seen:
    return moved(fields.entering(call.args[0]), spans.unsqueezed, call.args[0].ndim)


@rule(*operation("view_as_complex"))
def view_as_complex(fields: Tracked, call: Call) -> Seen:
    return dropped(fields.entering(call.args[0]), (call.args[0].ndim - 1,))


@rule(*operation("permute"))
def permute(fields: Tracked, call: Call) -> Seen:
    return moved(fields.entering(call.args[0]), spans.permuted, tuple(call.args[1]))


@rule(*operation("transpose", "t", "swapaxes", "numpy_T", "mT"))
def transpose(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    order = list(range(call.args[0].ndim))
    if len(order) < 2:
        return seen
    a, b = call.args[1:3] if len(call.args) > 2 else (-1, -2)
    order[a], order[b] = order[b], order[a]
    return moved(seen, spans.permuted, tuple(order))


@rule(*operation("unsqueeze"))
def unsqueeze(fields: Tracked, call: Call) -> Seen:
    return moved(fields.entering(call.args[0]), spans.unsqueezed, call.args[1] % call.outputs[0].ndim)


@rule(*operation("squeeze"))
def squeeze(fields: Tracked, call: Call) -> Seen:
    seen, shape = fields.entering(call.args[0]), call.args[0].shape
    asked = normal(call.args[1] if len(call.args) > 1 else None, len(shape))
    return dropped(seen, tuple(axis for axis in asked if shape[axis] == 1))


def dropped(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on after axes of length 1 were dropped; the only place of a map is all of the map."""
    if not axes:
        return seen
    if has_place(seen, axes):
        seen = over(seen, axes)
    return moved(seen, spans.squeezed_out, axes)


@rule(*operation("expand"))
def expand(fields: Tracked, call: Call) -> Seen:
    return moved(fields.entering(call.args[0]), spans.lifted, call.outputs[0].ndim)


@rule(*operation("repeat"))
def repeat(fields: Tracked, call: Call) -> Seen:
    seen = moved(fields.entering(call.args[0]), spans.lifted, call.outputs[0].ndim)
    return moved(seen, spans.repeated, tuple(call.args[1]))


@rule(*operation("slice"))
def slice_(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    axis, start, stop, step = (*call.args[1:], *(0, None, None, 1)[len(call.args) - 1 :])
    start, stop, step = slice(start, stop, step).indices(call.args[0].shape[axis])
    return part(seen, axis % call.args[0].ndim, start, stop, step)


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
def split(fields: Tracked, call: Call) -> Seen | list[Seen | None]:
    seen = fields.entering(call.args[0])
    axis = (call.args[2] if len(call.args) > 2 else call.kwargs.get("dim", 0)) % call.args[0].ndim
    if not has_place(seen, (axis,)):
        return seen
    found: list[Seen | None] = []
    start = 0
    for output in call.outputs:
        found.append(part(seen, axis, start, start + output.shape[axis]))
        start += output.shape[axis]
    return found


@rule(*operation("select"))
def select(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    return one_entry(seen, call.args[1] % call.args[0].ndim, call.args[2], call.args[0].shape[call.args[1]])


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
def unbind(fields: Tracked, call: Call) -> Seen | list[Seen | None]:
    seen = fields.entering(call.args[0])
    axis = (call.args[1] if len(call.args) > 1 else 0) % call.args[0].ndim
    if not has_place(seen, (axis,)):
        return dropped(seen, (axis,))
    return [one_entry(seen, axis, place, len(call.outputs)) for place in range(len(call.outputs))]


@rule(*operation("flip"))
def flip(fields: Tracked, call: Call) -> Seen:
    return moved(fields.entering(call.args[0]), spans.flipped, normal(call.args[1], call.args[0].ndim))


@rule(*operation("roll"))
def roll(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    shifts = call.args[1] if isinstance(call.args[1], list | tuple) else [call.args[1]]
    axes = list(call.args[2]) if len(call.args) > 2 and call.args[2] else []
    if not axes:
        return unknown([seen], "roll moves values across all axes at once")
    for axis, shift in zip(axes, shifts, strict=True):
        if shift and has_place(seen, (axis % call.args[0].ndim,)):
            seen = rolled(seen, axis % call.args[0].ndim, int(shift))
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
def pad(fields: Tracked, call: Call) -> Seen:
    """Beyond the border a map goes on as in a larger image."""
    seen = fields.entering(call.args[0])
    shape, widths = call.args[0].shape, call.args[1]
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
def cat(fields: Tracked, call: Call) -> Seen:
    axis = (call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)) % call.outputs[0].ndim
    return _beside(fields, [(tensor, fields.seen(tensor)) for tensor in call.args[0]], axis)


@rule(*operation("stack"))
def stack(fields: Tracked, call: Call) -> Seen:
    axis = (call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)) % call.outputs[0].ndim
    found = [(tensor, fields.seen(tensor)) for tensor in call.args[0]]
    return _beside(fields, [(t.unsqueeze(axis), s and moved(s, spans.unsqueezed, axis)) for t, s in found], axis)


def _beside(fields: Tracked, parts: list[tuple[Tensor, Seen | None]], axis: int) -> Seen:
    """Return what tensors laid side by side depend on. Where no places lie along the axis (channels), all on all;
    not so in the batch, along which nothing mixes.
    """
    sources = [seen for _, seen in parts if seen is not None]
    spans_ = [span for seen in sources for term in seen.terms for span in (term.rows, term.columns) if span is not None]
    differ = len({seen.terms for seen in sources}) > 1
    if not any(axis in span.axes or not span.axes for span in spans_) and not (axis == 0 and differ):
        return made(sources, [seen.terms for seen in sources])
    length = sum(tensor.shape[axis] for tensor, _ in parts)
    terms, start = [], 0
    for tensor, seen in parts:
        where = range(start, start + tensor.shape[axis])
        start = where.stop
        if seen is not None and len(where):
            terms.append(moved(seen, spans.placed, axis, where, length).terms)
    return made(sources, terms)


@rule(*operation("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"))
def shuffle(fields: Tracked, call: Call) -> Seen:
    seen, (*lead, channels, height, width), r = fields.entering(call.args[0]), call.args[0].shape, call.args[1]
    n = len(lead)
    if "channel" in name_of(call.packet):
        return seen if not has_place(seen, (n,)) else unknown([seen], "channel_shuffle of places")
    if call.packet is aten.pixel_shuffle:
        inner, order = (*lead, channels // r**2, r, r, height, width), (n, n + 3, n + 1, n + 4, n + 2)
    else:
        inner, order = (*lead, channels, height // r, r, width // r, r), (n, n + 2, n + 4, n + 1, n + 3)
    order = (*range(n), *order)
    seen = moved(seen, spans.viewed, tuple(call.args[0].shape), inner)
    seen = moved(seen, spans.permuted, order)
    return moved(seen, spans.viewed, tuple(inner[axis] for axis in order), tuple(call.outputs[0].shape))

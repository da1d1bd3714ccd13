"""Operations that pick values: by an index whose numbers are known, in windows of an axis, or by other values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import spans
from .rules import (
    BY_VALUE,
    Call,
    aten,
    has_place,
    made,
    moved,
    name_of,
    normal,
    operation,
    rule,
    unknown,
    without_empty,
)
from .spans import Span
from .terms import Seen
from .tracked import Tracked


@rule(*operation("index_select"))
def index_select(fields: Tracked, call: Call) -> Seen:
    seen, axis = fields.seen(call.args[0]), call.args[1] % call.args[0].ndim
    if seen is None or fields.seen(call.args[2]) is not None:
        return unknown([s for t in call.inputs if (s := fields.seen(t))], f"index_select {BY_VALUE}")
    if not has_place(seen, (axis,)):
        return seen
    index = fields.values.of(call.args[2])
    if index is None:
        return unknown([seen], "index_select reads places from a table whose values are unknown")
    return without_empty(moved(seen, _with_index(fields, index), axis))


def _with_index(fields: Tracked, index: Tensor) -> Callable[[Span, int], Span]:
    def take(span: Span, axis: int) -> Span:
        key = (id(index), span, axis)
        if key not in fields.kept:
            fields.kept[key] = (index, spans.indexed(span, axis, np.asarray(index.numpy())))
        return fields.kept[key][1]

    return take


@rule(*operation("index"))
def index(fields: Tracked, call: Call) -> Seen:
    """Advanced indexing, with a list of tensors or None for each axis."""
    seen, chosen = fields.seen(call.args[0]), call.args[1]
    named = [i for i in chosen if i is not None]
    if seen is None or any(fields.seen(i) is not None for i in named):
        return unknown([s for t in call.inputs if (s := fields.seen(t))], f"indexing {BY_VALUE}")
    axes = tuple(axis for axis, i in enumerate(chosen) if i is not None)
    if any(i.dtype in (torch.bool, torch.uint8) for i in named) or has_place(seen, axes):
        values = [None if i is None else fields.values.of(i) for i in chosen]
        if any(v is None for i, v in zip(chosen, values, strict=True) if i is not None):
            return unknown([seen], "indexing reads places from a table whose values are unknown")
    else:
        values = [None if i is None else torch.zeros(tuple(i.shape), dtype=torch.long) for i in chosen]
    arrays = [None if v is None else v.cpu().numpy() for v in values]
    return without_empty(moved(seen, lambda span: _advanced(span, arrays, call.args[0].shape)))


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
def gather(fields: Tracked, call: Call) -> Seen:
    seen, axis = fields.seen(call.args[0]), call.args[1] % call.args[0].ndim
    chooser = fields.seen(call.args[2])
    sources = [s for s in (seen, chooser) if s is not None]
    if seen is None or not has_place(seen, (axis,)):
        return made(sources, [s.terms for s in sources])
    values = None if chooser is not None else fields.values.of(call.args[2])
    if values is None:
        return unknown(sources, f"gather {BY_VALUE}" if chooser else "gather reads a table whose values are unknown")
    index, shape = values.numpy(), call.args[0].shape

    def take(span: Span) -> Span:
        def along(array: Any) -> Any:
            sides = [s if a == axis else n for a, (s, n) in enumerate(zip(shape, index.shape, strict=True))]
            return np.take_along_axis(np.broadcast_to(array, sides), index, axis)

        return spans._squeezed(span.mapped(along, tuple(range(index.ndim))))

    return without_empty(moved(seen, take))


@rule(*operation("unfold"))
def unfold(fields: Tracked, call: Call) -> Seen:
    """Windows of an axis, whose places come to lie along a new last axis."""
    seen, axis, size, step = fields.entering(call.args[0]), call.args[1] % call.args[0].ndim, call.args[2], call.args[3]
    count = call.outputs[0].shape[axis]
    table = np.arange(count)[:, None] * step + np.arange(size)  # (windows, places)
    order = (*(a for a in range(call.args[0].ndim + 1) if a != axis + 1), axis + 1)

    def cut(span: Span) -> Span:
        if axis not in span.axes:
            return spans.unsqueezed(span, span.dimensions)
        return spans.permuted(spans.indexed(span, axis, table), order)

    return moved(seen, cut)


@rule(*operation("grid_sampler_2d", "grid_sampler_3d", "grid_sampler"))
def grid_sampler(fields: Tracked, call: Call) -> Seen:
    sources = [seen for tensor in call.inputs if (seen := fields.seen(tensor)) is not None]
    return unknown(sources, "grid_sample reads places that are computed")


@rule(*operation("sort", "topk", "argsort"))
def order(fields: Tracked, call: Call) -> Seen:
    seen = fields.entering(call.args[0])
    given = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    axis = given[-1] if len(given) > (call.packet is aten.topk) else call.kwargs.get("dim", -1)
    if has_place(seen, normal(axis, call.args[0].ndim)):
        return unknown([seen], f"{name_of(call.packet)} {BY_VALUE}")
    return seen

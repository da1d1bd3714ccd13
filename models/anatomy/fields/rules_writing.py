"""Operations that write into a part of a tensor."""

from __future__ import annotations

from torch import Tensor

from . import spans
from .rules import (
    Call,
    has_place,
    made,
    moved,
    operation,
    rule,
    unknown,
    with_axes,
)
from .terms import Seen
from .tracked import Tracked


@rule(*operation("copy_", "copy"))
def copy(fields: Tracked, call: Call) -> list[Seen | None]:
    seen = fields.seen(call.args[1])
    if seen is None:  # constants are written over what was there
        return [fields.seen(call.args[0])]
    return [Seen(with_axes(seen, call.args[1], call.args[0].ndim), seen.is_global, seen.depth, (seen,), seen.unknown)]


def write_through(fields: Tracked, view: Tensor) -> None:
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

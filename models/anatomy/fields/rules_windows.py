"""Operations that slide a window along a map: convolutions, poolings, interpolations, and windows laid out as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from . import lines, spans
from .lines import Taps
from .rules import (
    RULES,
    Call,
    Rule,
    aten,
    has_place,
    made,
    moved,
    operation,
    over,
    rule,
    unknown,
    without_grids,
)
from .spans import Span
from .terms import Seen, Term, over_channels, reduced
from .tracked import Tracked


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
def convolution(fields: Tracked, call: Call) -> Seen:
    image, weight = call.args[0], call.args[1]
    seen = fields.seen(image)
    if seen is None or fields.seen(weight) is not None or call.packet is not aten.convolution:
        sources = [s for t in call.inputs if (s := fields.seen(t))]
        return unknown(sources, "a convolution whose kernel is made of the image")
    stride, padding, dilation, transposed, groups = call.args[3], call.args[4], call.args[5], call.args[6], call.args[8]
    n = image.ndim - 2
    stride, padding, dilation = (sequence(value, n) for value in (stride, padding, dilation))
    if (
        n == 2
        and not transposed
        and (quick := _plain_convolution(seen, weight, stride, padding, dilation, call.outputs[0]))
    ):
        return quick
    if has_place(seen, (1,)) and groups < image.shape[1]:
        seen = made([seen], [[less for term in seen.terms if (less := over_channels(term, 1)) is not None]])
    if transposed:
        axes = range(2, 2 + n)
        taps = [
            lines.transposed_window(weight.shape[2 + i], stride[i], padding[i], dilation[i]) for i in range(n)
        ]  # fmt: skip
        return made([seen], [slid(seen.terms, axes, taps, call.outputs[0].shape)], True)
    if weight.shape[2:].numel() == 1 and stride == (1,) * n and padding == (0,) * n:
        return Seen(seen.terms, seen.is_global, seen.depth + 1, seen.before, seen.unknown)
    terms = windows(seen, image.shape, call.outputs[0].shape, weight.shape[2:], stride, padding, dilation)
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
    def pool(fields: Tracked, call: Call) -> Seen:
        seen = fields.seen(call.args[0])
        assert seen is not None
        kernel = sequence(call.args[1], n)
        stride = sequence(call.args[2], n) if len(call.args) > 2 and call.args[2] else kernel
        padding = sequence(call.args[3], n) if len(call.args) > 3 else (0,) * n
        dilation = sequence(call.args[4], n) if dilated and len(call.args) > 4 else (1,) * n
        return made(
            [seen], [windows(seen, call.args[0].shape, call.outputs[0].shape, kernel, stride, padding, dilation)]
        )

    return pool


for _n in (1, 2, 3):
    for _packet in operation(f"avg_pool{_n}d"):
        RULES[_packet] = _pooling(_n, dilated=False)
    for _packet in operation(f"max_pool{_n}d", f"max_pool{_n}d_with_indices"):
        RULES[_packet] = _pooling(_n, dilated=True)


@rule(*operation("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d",
                 "adaptive_avg_pool1d", "adaptive_max_pool1d"))  # fmt: skip
def adaptive_pool(fields: Tracked, call: Call) -> Seen:
    seen, before, after = fields.entering(call.args[0]), call.args[0].shape, call.outputs[0].shape
    spatial = range(len(before) - len(sequence(call.args[1], 1)), len(before))
    whole = tuple(axis for axis in spatial if after[axis] == 1)
    less = without_grids(over(seen, whole), seen) if whole else seen
    axes = [axis for axis in spatial if 1 < after[axis] != before[axis]]
    return made([less], [slid(less.terms, axes, [lines.adaptive(before[a], after[a]) for a in axes], after)])


def _resampling(a_side: int, corners: bool) -> Rule:
    def resample(fields: Tracked, call: Call) -> Seen:
        seen, before, after = fields.seen(call.args[0]), call.args[0].shape, call.outputs[0].shape
        assert seen is not None
        axes = [axis for axis in range(2, len(before)) if before[axis] != after[axis]]
        taps = []
        for axis in axes:
            if a_side:
                taps.append(lines.interpolated(before[axis], after[axis], corners and bool(call.args[2]), a_side))
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
def im2col(fields: Tracked, call: Call) -> Seen:
    """``F.unfold``: windows become columns, (B, C·k·k, L)."""
    seen, kernel, dilation, padding, stride = fields.entering(call.args[0]), *(sequence(v, 2) for v in call.args[1:5])
    shape = list(call.args[0].shape)
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
        return spans.viewed(spans.permuted(span, order), full, tuple(call.outputs[0].shape))

    return moved(seen, columns)


@rule(*operation("col2im"))
def col2im(fields: Tracked, call: Call) -> Seen:
    """``F.fold``: each value is the sum of the columns whose windows hold its place."""
    seen, size, kernel, dilation, padding, stride = (
        fields.entering(call.args[0]),
        *(sequence(v, 2) for v in call.args[1:6]),
    )
    counts = [(size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    lead, shape = call.args[0].ndim - 2, tuple(call.args[0].shape)
    parts = (*shape[:lead], call.outputs[0].shape[lead], *kernel, *counts)
    seen = over(moved(seen, spans.viewed, shape, parts), (lead,))
    return moved(seen, spans.folded, kernel, stride, padding, dilation, tuple(size))

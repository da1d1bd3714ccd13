"""Which places of a map each value of a tensor belongs to, along one axis of the image, whatever shape the tensor has.

A ``Span`` is made anew by each operation that moves values: a view, a permutation, a slice, windows cut out of a map. It
knows nothing of pixels, so the same few spans serve all blocks of a network, and what was worked out once is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import ParamSpec, TypeVar

import numpy as np

from .lines import Taps

P = ParamSpec("P")
R = TypeVar("R")
Array = np.ndarray
Shape = tuple[int, ...]
FAR = 2**30
"""Where ``first`` is FAR and ``last`` is -FAR, a value belongs to no place: a class token, say."""


class Span:
    """For each value of a tensor the ``first`` and the ``last`` place that it was made of, broadcast to its shape.

    ``axes``: the axes of the tensor along which places lie. ``plain``: the one axis whose i-th entry is place i, else -1.
    The two arrays are one and the same where every value belongs to a single place.
    """

    __slots__ = ("axes", "first", "last", "plain")

    def __init__(self, first: Array, last: Array, axes: Shape, plain: int = -1) -> None:
        self.first, self.last, self.axes, self.plain = first, last, axes, plain

    @property
    def dimensions(self) -> int:
        """How many axes the tensor has."""
        return self.first.ndim

    def mapped(self, function: Callable[[Array], Array], axes: Shape) -> Span:
        """Return the span after an operation that only moves values."""
        first = function(self.first)
        return Span(first, first if self.last is self.first else function(self.last), axes)


OWN: dict[tuple, Span] = {}
"""The one span of each content, so that equal spans are the same object."""
LARGEST_OWN = 2**18
LONGEST_PERIOD = 16
"""Places of the longest pattern that is looked for in the middle of a map."""


def _one(span: Span) -> Span:
    """Return the span that stands for all with the same content."""
    if span.first.size > LARGEST_OWN:
        return span
    last = b"" if span.last is span.first else span.last.tobytes()
    return OWN.setdefault((span.first.shape, span.axes, span.first.tobytes(), last), span)


@lru_cache(4096)
def grid(dimensions: int, axis: int, places: int) -> Span:
    """Return the span of a plain map: entry i of ``axis`` is place i."""
    shape = [1] * dimensions
    shape[axis] = places
    array = np.arange(places, dtype=np.int32).reshape(shape)
    return Span(array, array, (axis,), axis)


CACHES: list[Callable] = [grid]


def _kept(function: Callable[P, R]) -> Callable[P, R]:
    """Keep what was worked out, until ``forget`` is called."""

    def result(*args: P.args, **kwargs: P.kwargs) -> R:
        made = function(*args, **kwargs)
        return _one(made) if isinstance(made, Span) and made.plain < 0 else made

    cached = lru_cache(8192)(result)
    CACHES.append(cached)
    return cached  # pyright: ignore[reportReturnType]  the same call


def forget() -> None:
    """Give the memory of earlier networks back."""
    OWN.clear()
    for cache in CACHES:
        cache.cache_clear()  # pyright: ignore[reportFunctionMemberAccess]  made by lru_cache


@_kept
def is_single(span: Span) -> bool:
    """Return whether every value belongs to one place, or to none."""
    return span.last is span.first or bool((span.first >= span.last).all())


@_kept
def lifted(span: Span, dimensions: int) -> Span:
    """Return the span with axes of length 1 in front, as broadcasting adds them."""
    more = dimensions - span.dimensions
    if not more:
        return span
    if span.plain >= 0:
        return grid(dimensions, span.plain + more, span.first.size)
    return span.mapped(lambda a: a.reshape((1,) * more + a.shape), tuple(axis + more for axis in span.axes))


@_kept
def permuted(span: Span, order: Shape) -> Span:
    """Return the span after ``permute``."""
    order = tuple(axis % len(order) for axis in order)
    if span.plain >= 0:
        return grid(len(order), order.index(span.plain), span.first.size)
    return span.mapped(lambda a: a.transpose(order), tuple(sorted(order.index(axis) for axis in span.axes)))


@_kept
def viewed(span: Span, before: Shape, after: Shape) -> Span:
    """Return the span after ``view`` from one shape to another."""
    groups = _groups(before, after)
    full = list(span.first.shape)
    middle: list[int] = []
    axes: list[int] = []
    for entering, leaving in groups:
        if any(span.first.shape[axis] > 1 for axis in entering):
            for axis in entering:
                full[axis] = before[axis]
            middle += [after[axis] for axis in leaving]
        else:
            middle += [1] * len(leaving)
        if leaving and any(axis in span.axes for axis in entering):
            axes += leaving

    def reshape(array: Array) -> Array:
        return np.broadcast_to(array, full).reshape(middle)

    return _squeezed(span.mapped(reshape, tuple(axes)))


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Pair the axes of two shapes of equal size: those of a pair hold the same values in the same order."""
    groups, i, j = [], 0, 0
    while i < len(before) or j < len(after):
        entering, leaving = [], []
        a = b = 1
        if i < len(before):
            entering.append(i)
            a, i = before[i], i + 1
        if j < len(after):
            leaving.append(j)
            b, j = after[j], j + 1
        while a != b:
            if (a < b and i < len(before)) or j >= len(after):
                entering.append(i)
                a, i = a * before[i], i + 1
            else:
                leaving.append(j)
                b, j = b * after[j], j + 1
        groups.append((entering, leaving))
    # An axis of length 1 that is left alone goes with its neighbour: a map of one place may be flattened.
    joined: list[tuple[list[int], list[int]]] = []
    for entering, leaving in groups:
        if joined and (not leaving or not entering):
            joined[-1] = (joined[-1][0] + entering, joined[-1][1] + leaving)
        else:
            joined.append((entering, leaving))
    return joined


def _squeezed(span: Span) -> Span:
    """Return the span without the axes along which it is the same everywhere, so that it stays small."""
    first, last, axes = span.first, span.last, list(span.axes)
    for axis in span.axes:
        if first.shape[axis] == 1:
            continue
        one = first.take([0], axis)
        other = last.take([0], axis)
        if (first == one).all() and (last == other).all():
            first, last = one, (one if last is first else other)
            if len(axes) > 1:
                axes.remove(axis)
    varying = [axis for axis in axes if first.shape[axis] > 1]
    return _named(Span(first, last, tuple(varying or axes[:1])))


def _named(span: Span) -> Span:
    """Return the one span of a plain map, where this is one."""
    if len(span.axes) == 1:
        axis = span.axes[0]
        if span.first.size == span.first.shape[axis] and (span.last is span.first or (span.last == span.first).all()):
            places = span.first.ravel()
            if places[0] == 0 and (np.diff(places) == 1).all():
                return grid(span.dimensions, axis, len(places))
    return span


@_kept
def sliced(span: Span, axis: int, start: int, stop: int, step: int) -> Span:
    """Return the span after a slice of an axis."""
    return _named(span.mapped(lambda a: a[(slice(None),) * axis + (slice(start, stop, step),)], span.axes))


def indexed(span: Span, axis: int, index: Array) -> Span:
    """Return the span after the entries ``index`` of an axis were taken; ``index`` may have any number of axes."""
    more = index.ndim - 1
    axes = [a if a < axis else a + more for a in span.axes if a != axis]
    axes += range(axis, axis + index.ndim)
    if span.first.shape[axis] == 1:
        index = np.zeros((1,) * index.ndim, dtype=np.int32)
    return _squeezed(span.mapped(lambda a: a.take(index, axis), tuple(sorted(axes))))


@_kept
def selected(span: Span, axis: int, place: int) -> Span:
    """Return the span after one entry of an axis was taken and the axis dropped."""
    axes = tuple(a if a < axis else a - 1 for a in span.axes if a != axis)
    return span.mapped(lambda a: a.take(place if a.shape[axis] > 1 else 0, axis), axes)


@_kept
def unsqueezed(span: Span, axis: int) -> Span:
    """Return the span with a new axis of length 1."""
    axes = tuple(a if a < axis else a + 1 for a in span.axes)
    return _named(span.mapped(lambda a: np.expand_dims(a, axis), axes))


@_kept
def squeezed_out(span: Span, axes: Shape) -> Span:
    """Return the span without some axes, along which no places lie or just one."""
    kept = [axis for axis in range(span.dimensions) if axis not in axes]
    left = tuple(kept.index(axis) for axis in span.axes if axis in kept)
    return _named(span.mapped(lambda a: a.take(0, axes[0]) if len(axes) == 1 else a.squeeze(axes), left))


@_kept
def flipped(span: Span, axes: Shape) -> Span:
    """Return the span after ``flip``."""
    return span.mapped(lambda a: np.flip(a, tuple(axis for axis in axes if a.shape[axis] > 1)), span.axes)


@_kept
def repeated(span: Span, times: Shape) -> Span:
    """Return the span after ``repeat``, or after an axis of length 1 was expanded where places lie along it."""
    tiles = tuple(n if span.first.shape[axis] > 1 else 1 for axis, n in enumerate(times))
    return span.mapped(lambda a: np.tile(a, tiles), span.axes)


@_kept
def union(a: Span, b: Span) -> Span | None:
    """Return the span of values made of both; None where places lie along different axes, which must stay apart."""
    if a is b:
        return a
    if not (set(a.axes) <= set(b.axes) or set(b.axes) <= set(a.axes)):
        return None
    axes = a.axes if len(a.axes) >= len(b.axes) else b.axes
    both = Span(np.minimum(a.first, b.first), np.maximum(a.last, b.last), axes)
    return _squeezed(both) if a.first.max() >= FAR and b.first.max() >= FAR else _named(both)


@_kept
def reduced(span: Span, axes: Shape) -> Span:
    """Return the span of values that are each made of all values along ``axes``, which stay with length 1."""
    left = tuple(axis for axis in span.axes if axis not in axes)
    return Span(span.first.min(axes, keepdims=True), span.last.max(axes, keepdims=True), left)


@_kept
def ends(span: Span) -> tuple[int, int] | None:
    """Return the latest first and the earliest last place of all values; None where no value belongs to a place."""
    real = span.first <= span.last
    if not real.any():
        return None
    return int(span.first[real].max()), int(span.last[real].min())


@_kept
def gap(span: Span, axes: Shape) -> int:
    """Return the widest step from one place that is read along ``axes`` to the next."""
    count = prod(span.first.shape[axis] for axis in axes)
    where = tuple(range(-len(axes), 0))
    first = np.moveaxis(span.first, axes, where).reshape(-1, count)
    last = np.moveaxis(span.last, axes, where).reshape(-1, count)
    order = np.argsort(first, axis=1, kind="stable")
    first, last = np.take_along_axis(first, order, 1), np.take_along_axis(last, order, 1)
    steps = first[:, 1:] - np.maximum.accumulate(last, axis=1)[:, :-1]
    steps = steps[(first[:, 1:] < FAR) & (first[:, :-1] < FAR)]
    return max(1, int(steps.max())) if steps.size else 1


@_kept
def pattern(span: Span, places: int = 0) -> Taps | None:
    """Return how a span along a single axis repeats; None where it has no pattern.

    ``places``: of the map; a pattern of all of it moves on by as many places as there are for each entry.
    """
    first, last = span.first.ravel(), span.last.ravel()
    if len(span.axes) != 1 or len(first) != span.first.shape[span.axes[0]]:
        return None
    is_whole = first.min() <= 0 and last.max() >= places - 1 > 0
    return _pattern(first, last, places / len(first) if is_whole else 0.0)


@_kept
def seen_from(points: Span, span: Span) -> Taps | None:
    """Return how ``span`` follows from the place that each value belongs to in ``points``; None where it does not."""
    shape = np.broadcast_shapes(points.first.shape, span.first.shape)
    place, first, last = (np.broadcast_to(a, shape).ravel() for a in (points.first, span.first, span.last))
    real = place < FAR
    if (first[~real] < FAR).any():
        return None
    place, first, last = place[real], first[real], last[real]
    if not place.size or place.min() != 0:
        return None
    places = int(place.max()) + 1
    firsts, lasts = np.full(places, FAR, np.int32), np.full(places, -FAR, np.int32)
    firsts[place], lasts[place] = first, last
    if firsts.max() >= FAR or (firsts[place] != first).any() or (lasts[place] != last).any():
        return None
    return _pattern(firsts, lasts, 1.0)


def _pattern(first: Array, last: Array, slope: float) -> Taps | None:
    """Return how places repeat that lie in a row and move on by ``slope`` (0: not known), roughly.

    Windows that stop at the border, instead of reaching over it, break the pattern there; then the middle decides.
    """
    if first.max() >= FAR:
        return None
    ends = list(zip(first.tolist(), last.tolist(), strict=True))
    period = _period(ends)
    step = _step(ends, 0, period) if 2 * period <= len(ends) else 0
    if step and (not slope or 0.7 < abs(step) / period / slope < 1.4):
        return Taps(tuple(a for a, _ in ends[:period]), tuple(b for _, b in ends[:period]), step)
    for period in range(1, min(len(ends) // 4, LONGEST_PERIOD) + 1):
        middle = len(ends) // 2 - period
        step = _step(ends, middle, period)
        if step > 0:
            return _continued(ends, period, middle, step)
    if len(ends) == 1:
        return Taps(ends[0][:1], ends[0][1:], 1)
    return None


Ends = list[tuple[int, int]]


def _period(ends: Ends) -> int:
    """Return after how many places the steps from one to the next repeat, over all of them (Knuth, Morris, Pratt)."""
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(ends)]
    known = [0] * len(steps)
    for i in range(1, len(steps)):
        matched = known[i - 1]
        while matched and steps[i] != steps[matched]:
            matched = known[matched - 1]
        known[i] = matched + (steps[i] == steps[matched])
    return len(steps) - known[-1] if steps else 1


def _step(ends: Ends, start: int, period: int) -> int:
    """Return by how many places the pattern moves on from one period to the next, 0 where it is not the same."""
    one, next_ = ends[start : start + period], ends[start + period : start + 2 * period]
    steps = {after - before for a, b in zip(one, next_, strict=True) for before, after in zip(a, b, strict=True)}
    return steps.pop() if len(steps) == 1 else 0


def _continued(ends: Ends, period: int, middle: int, step: int) -> Taps:
    """Return the pattern of the middle carried on to the border."""
    places = [(middle + (i - middle) % period, (i - middle) // period) for i in range(period)]
    first, last = (tuple(ends[at][end] + turns * step for at, turns in places) for end in (0, 1))
    return Taps(first, last, step)


@_kept
def clipped(span: Span, axis: int, taps: Taps, outputs: int) -> Span:
    """Return the span after windows along one axis of pieces that end at their border: of strips, of words."""
    length = span.first.shape[axis]
    period = len(taps.first)
    shape = list(span.first.shape)
    shape[axis] = outputs
    first, last = np.full(shape, FAR, np.int32), np.full(shape, -FAR, np.int32)
    for output in range(outputs):
        turn, rest = divmod(output, period)
        low, high = taps.first[rest] + turn * taps.step, taps.last[rest] + turn * taps.step
        there = (slice(None),) * axis + (slice(max(0, low), max(0, min(length, high + 1))),)
        if span.first[there].size:
            here = (slice(None),) * axis + (output,)
            first[here], last[here] = span.first[there].min(axis), span.last[there].max(axis)
    return Span(first, last, span.axes)


@_kept
def folded(span: Span, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, sides: Shape) -> Span:
    """Return the span of the map (…, C, H, W) made of columns (…, C, k, k, rows, columns) that are laid over each other."""
    lead = span.dimensions - 4
    counts = tuple((sides[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
    full = (*span.first.shape[:lead], *kernel, *counts)
    shape = (*span.first.shape[:lead], *sides)
    first, last = np.full(shape, FAR, np.int32), np.full(shape, -FAR, np.int32)
    for tap in np.ndindex(*kernel):
        rows, columns = (np.arange(counts[i]) * stride[i] - padding[i] + tap[i] * dilation[i] for i in (0, 1))
        row = np.flatnonzero((rows >= 0) & (rows < sides[0]))
        column = np.flatnonzero((columns >= 0) & (columns < sides[1]))
        here, there = (..., *tap, *np.ix_(row, column)), (..., *np.ix_(rows[row], columns[column]))
        first[there] = np.minimum(first[there], np.broadcast_to(span.first, full)[here])
        last[there] = np.maximum(last[there], np.broadcast_to(span.last, full)[here])
    return _squeezed(Span(first, last, tuple(range(lead, lead + 2))))


@_kept
def rolled(span: Span, axis: int, shift: int) -> Span:
    """Return the span after ``roll``: along a map as in a large image, where no place comes around."""
    taps = pattern(span) if span.axes == (axis,) else None
    if taps is None or taps.step <= 0:
        return span.mapped(lambda a: np.roll(a, shift, axis), span.axes)
    return stretched(span, axis, -shift, span.first.shape[axis] - shift)


@_kept
def stretched(span: Span, axis: int, start: int, stop: int) -> Span:
    """Return the entries ``start`` to ``stop`` of an axis, which may reach beyond both ends: the pattern goes on there."""
    length = span.first.shape[axis]
    taps = pattern(span) if span.axes == (axis,) else None
    if taps is None:
        return _filled(span, axis, start, stop)
    shape = [1] * span.dimensions
    shape[axis] = stop - start

    def entries(array: Array, ends: tuple[int, ...]) -> Array:
        values = []
        for place in range(start, stop):
            turn, rest = divmod(place, len(ends))
            inside = 0 <= place < length
            values.append(int(array.flat[place]) if inside else ends[rest] + turn * taps.step)
        return np.array(values, dtype=np.int32).reshape(shape)

    first = entries(span.first, taps.first)
    return Span(first, first if span.last is span.first else entries(span.last, taps.last), span.axes)


def _filled(span: Span, axis: int, start: int, stop: int) -> Span:
    """Return the entries ``start`` to ``stop`` of an axis; what lies outside belongs to no place."""
    length = span.first.shape[axis]
    widths = [(0, 0)] * span.dimensions
    widths[axis] = (max(0, -start), max(0, stop - length))
    inside = (slice(None),) * axis + (slice(max(0, start), None if stop >= length else stop),)
    first = np.pad(span.first[inside], widths, constant_values=FAR)
    last = np.pad(span.last[inside], widths, constant_values=-FAR)
    return Span(first, last, span.axes)


@_kept
def placed(span: Span, axis: int, where: range, length: int) -> Span:
    """Return the span as a part of a longer axis: its entries stand at ``where``, the others belong to no place."""
    shape = list(span.first.shape)
    shape[axis] = length
    first, last = np.full(shape, FAR, np.int32), np.full(shape, -FAR, np.int32)
    there = (slice(None),) * axis + (slice(where.start, where.stop, where.step),)
    first[there], last[there] = span.first, span.last
    return _squeezed(Span(first, last, tuple(sorted({*span.axes, axis}))))

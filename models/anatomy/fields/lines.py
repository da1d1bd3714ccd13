"""The places of one axis of a map, and which pixels of the image each of them sees along it.

A ``Line`` continues beyond the border: place -1 sees what it would see if the image were larger. So a field has the size
that it has inside a large image, however small the map at hand is.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple


class Line(NamedTuple):
    """Place i sees the pixels ``low(i)`` to ``high(i)``; after ``period`` places the pattern repeats, ``shift`` pixels on.

    ``places`` is how many places the map has; ``lo`` and ``hi`` are the first and last pixel of the places 0 to
    ``period`` - 1. Along the line neither decreases, or neither increases.
    """

    places: int
    period: int
    shift: int
    lo: tuple[int, ...]
    hi: tuple[int, ...]

    def low(self, place: int) -> int:
        """Return the first pixel that a place sees."""
        turn, rest = divmod(place, self.period)
        return self.lo[rest] + turn * self.shift

    def high(self, place: int) -> int:
        """Return the last pixel that a place sees."""
        turn, rest = divmod(place, self.period)
        return self.hi[rest] + turn * self.shift


class Taps(NamedTuple):
    """Output place o reads the input places ``first[o]`` to ``last[o]``; the pattern repeats ``step`` places on."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    step: int


def image_line(side: int) -> Line:
    """Return the line of an image: each pixel sees itself."""
    return Line(side, 1, 1, (0,), (0,))


@lru_cache(4096)
def size(line: Line) -> int:
    """Return how many pixels the place with the widest view sees."""
    return max(high - low for low, high in zip(line.lo, line.hi, strict=True)) + 1


@lru_cache(4096)
def through(line: Line, taps: Taps, places: int) -> Line:
    """Return the line of a layer whose output places read the places of ``line`` that ``taps`` tell."""
    if line.period == 1 and len(taps.first) == 1:
        jump = line.shift
        ends = (taps.first[0] * jump, taps.last[0] * jump)
        return Line(places, 1, jump * taps.step, (line.lo[0] + min(ends),), (line.hi[0] + max(ends),))
    turns = line.period // gcd(line.period, taps.step) if taps.step else 1
    lo, hi = [], []
    for turn in range(turns):
        for first, last in zip(taps.first, taps.last, strict=True):
            ends = (first + turn * taps.step, last + turn * taps.step)
            lo.append(min(map(line.low, ends)))
            hi.append(max(map(line.high, ends)))
    return _shortest(Line(places, len(lo), line.shift * (turns * taps.step // line.period), tuple(lo), tuple(hi)))


def _shortest(line: Line) -> Line:
    """Return the same line with the smallest period that tells it."""
    for period in range(1, line.period):
        if line.period % period or line.shift * period % line.period:
            continue
        shift = line.shift * period // line.period
        if all(ends[i + period] == ends[i] + shift for ends in (line.lo, line.hi) for i in range(line.period - period)):
            return Line(line.places, period, shift, line.lo[:period], line.hi[:period])
    return line


@lru_cache(4096)
def hull(a: Line, b: Line) -> Line | None:
    """Return the line of two branches that meet place by place; None where their places do not lie side by side."""
    if a == b:
        return a
    if a.places != b.places or a.shift * b.period != b.shift * a.period:
        return None
    if a.period == b.period == 1:
        return Line(a.places, 1, a.shift, (min(a.lo[0], b.lo[0]),), (max(a.hi[0], b.hi[0]),))
    period = a.period * b.period // gcd(a.period, b.period)
    lo = tuple(min(a.low(i), b.low(i)) for i in range(period))
    hi = tuple(max(a.high(i), b.high(i)) for i in range(period))
    return _shortest(Line(a.places, period, a.shift * (period // a.period), lo, hi))


def covers(line: Line, first: int, last: int, gap: int) -> bool:
    """Return whether the places ``first`` to ``last``, every ``gap``-th of them at least, reach all of the map.

    Every second place reaches all of it where neighbours that are read see adjoining pixels.
    """
    if first >= gap or last <= line.places - 1 - gap:
        return False
    if gap <= 1:
        return True
    steps = range(line.period)
    if line.shift < 0:
        return all(line.high(i + gap) >= line.low(i) - 1 for i in steps)
    return all(line.low(i + gap) <= line.high(i) + 1 for i in steps)


@lru_cache(4096)
def window(kernel: int, stride: int, padding: int, dilation: int) -> Taps:
    """Return the taps of a convolution or a pooling."""
    return Taps((-padding,), (-padding + dilation * (kernel - 1),), stride)


@lru_cache(4096)
def transposed_window(kernel: int, stride: int, padding: int, dilation: int) -> Taps:
    """Return the taps of a transposed convolution: of the kernel's places only every ``stride``-th meets an input.

    An output that no input reaches is given the input before it.
    """
    first, last = [], []
    for output in range(stride):
        met = [
            (output + padding - dilation * tap) // stride
            for tap in range(kernel)
            if (output + padding - dilation * tap) % stride == 0
        ] or [(output + padding) // stride]
        first.append(min(met))
        last.append(max(met))
    return Taps(tuple(first), tuple(last), 1)


@lru_cache(4096)
def nearest(before: int, after: int) -> Taps:
    """Return the taps of a map of ``before`` places stretched or shrunk to ``after`` by repeating or leaving out places."""
    common = gcd(before, after)
    step, outputs = before // common, after // common
    first = tuple(output * step // outputs for output in range(outputs))
    return Taps(first, first, step)


@lru_cache(4096)
def interpolated(before: int, after: int, corners: bool, a_side: int) -> Taps:
    """Return the taps of an interpolation; ``a_side`` places on either side: 1 for linear, 2 for cubic weights.

    ``corners``: the outermost places of both maps lie upon each other.
    """
    if corners and after > 1 and before > 1:
        common = gcd(before - 1, after - 1)
        step, outputs, offset = (before - 1) // common, (after - 1) // common, 0
    else:
        common = gcd(before, after)
        step, outputs = before // common, after // common
        offset = step - outputs  # of the middle of a place, in halves of an output
    first, last = [], []
    for output in range(outputs):
        whole, rest = divmod(2 * output * step + offset, 2 * outputs)
        first.append(whole - a_side + 1 if rest else whole)
        last.append(whole + a_side if rest else whole)
    return Taps(tuple(first), tuple(last), step)


@lru_cache(4096)
def adaptive(before: int, after: int) -> Taps:
    """Return the taps of an adaptive pooling from ``before`` to ``after`` places."""
    common = gcd(before, after)
    step, outputs = before // common, after // common
    first = tuple(output * step // outputs for output in range(outputs))
    last = tuple(-(-(output + 1) * step // outputs) - 1 for output in range(outputs))
    return Taps(first, last, step)

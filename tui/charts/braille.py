"""Curves as dots: two columns and four rows of dots to a character cell, as the Braille patterns have them.

Every column of dots keeps the smallest and the largest value of its stretch of the x axis, so a spike of one step among a
million is seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .series import Floats, PlottedCurve

DOTS_ACROSS, DOTS_DOWN = 2, 4
# Unicode, "Braille Patterns": the bit of each dot of a cell, by row and column.
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
DASH, DASH_EVERY = 4, 6
_FAR = 1e6


@dataclass(frozen=True)
class Stroke:
    """A curve reduced to ``columns`` of dots, each (columns,); NaN where there is none.

    ``joined``: whether the line goes on from the column before; ``placed``: whether values lie in the column itself.
    """

    low: Floats
    high: Floats
    joined: NDArray[np.bool_]
    placed: NDArray[np.bool_]

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest value; None where nothing is visible."""
        if not self.placed.any():
            return None
        return float(np.min(self.low[self.placed])), float(np.max(self.high[self.placed]))


def logarithms(curve: PlottedCurve) -> PlottedCurve:
    """Return log10 of the values; those that are not positive become gaps."""

    def log(values: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(values > 0, np.log10(values), np.inf)

    # Of a row with values on both sides of zero the positive part is kept.
    low = np.where((curve.low <= 0) & (curve.high > 0), np.where(curve.mean > 0, curve.mean, curve.high), curve.low)
    mean = np.where((curve.mean <= 0) & (curve.high > 0), curve.high, curve.mean)
    return PlottedCurve(curve.x, log(low), log(curve.high), log(mean), curve.spacing)


def columns_of(x: Floats, low: float, high: float, columns: int) -> NDArray[np.int64]:
    """Return the column of dots of each place; -1 and ``columns`` are left and right of the image."""
    # Halves, because the distance between two numbers can be too large for a number.
    span = high / 2 - low / 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        part = (x / 2 - low / 2) / span if span > 0 else np.where(x < low, -1.0, np.where(x > high, 2.0, 0.0))
        found = np.floor(np.clip(np.where(np.isnan(part), 0.0, part) * columns, -1.0, columns + 1.0)).astype(np.int64)
    return np.where(x < low, -1, np.where(x > high, columns, np.clip(found, 0, columns - 1)))


def stroke(curve: PlottedCurve, low: float, high: float, columns: int) -> Stroke:
    """Return the curve between ``low`` and ``high`` of the x axis, smallest and largest value for each of ``columns``."""
    found_low, found_high = np.full(columns, np.nan), np.full(columns, np.nan)
    joined, placed = np.zeros(columns, dtype=bool), np.zeros(columns, dtype=bool)
    # One place more on either side, so that the line goes on to the edge of the image.
    first = max(int(np.searchsorted(curve.x, low, side="left")) - 1, 0)
    last = int(np.searchsorted(curve.x, high, side="right")) + 1
    x, lows, highs, means = (part[first:last] for part in (curve.x, curve.low, curve.high, curve.mean))
    finite = np.isfinite(lows)
    gaps = np.cumsum(~finite)[finite]
    column = columns_of(x[finite], low, high, columns)
    if not len(column):
        return Stroke(found_low, found_high, joined, placed)
    lows, highs, means = lows[finite], highs[finite], np.clip(means[finite], lows[finite], highs[finite])
    starts = np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
    ends = np.concatenate([starts[1:], [len(column)]]) - 1
    at = column[starts]
    unbroken = np.concatenate([[False], gaps[starts[1:]] == gaps[ends[:-1]]])
    inside = (at >= 0) & (at < columns)
    here = at[inside]
    found_low[here] = np.minimum.reduceat(lows, starts)[inside]
    found_high[here] = np.maximum.reduceat(highs, starts)[inside]
    joined[here], placed[here] = unbroken[inside], True
    _bridge(found_low, found_high, joined, (at, means[starts], means[ends], unbroken), x[finite], (low, high))
    return Stroke(found_low, found_high, joined, placed)


def _bridge(low: Floats, high: Floats, joined: NDArray[np.bool_], points: tuple, x: Floats, limits: tuple) -> None:
    """Fill the columns between two that have values with a straight line, where no gap lies between them."""
    at, firsts, lasts, unbroken = points
    columns = len(low)
    empty = np.flatnonzero(np.isnan(low))
    right = np.searchsorted(at, empty)
    within = (right > 0) & (right < len(at))
    empty, right = empty[within], right[within]
    empty, right = empty[unbroken[right]], right[unbroken[right]]
    if not len(empty):
        return
    left = right - 1
    # Beyond the edges a column says nothing of the distance, so the places themselves are used there.
    width = (limits[1] / 2 - limits[0] / 2) or 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        start = np.where(at[left] < 0, (x[0] / 2 - limits[0] / 2) / width * columns, at[left])
        end = np.where(at[right] >= columns, (x[-1] / 2 - limits[0] / 2) / width * columns, at[right])
        part = np.clip(np.nan_to_num((empty - start) / np.maximum(end - start, 1e-9)), 0.0, 1.0)
        values = lasts[left] * (1 - part) + firsts[right] * part
    low[empty] = high[empty] = values
    joined[empty] = True


def rows_of(values: Floats, low: float, high: float, rows: int) -> NDArray[np.int64]:
    """Return the row of dots of each value, counted from the top; values beyond the limits lie outside the image."""
    span = high / 2 - low / 2
    with np.errstate(over="ignore", invalid="ignore"):
        part = (high / 2 - values / 2) / span if span > 0 else np.full(len(values), 0.5)
        dots = np.where(np.isnan(part), _FAR, np.clip(part * (rows - 1), -_FAR, _FAR))
    return np.rint(dots).astype(np.int64)


def spans(line: Stroke, low: float, high: float, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first and last row of dots of each column, joined to the column before; top > bottom: nothing."""
    empty = np.isnan(line.low)
    top, bottom = rows_of(line.high, low, high, rows), rows_of(line.low, low, high, rows)
    top, bottom = np.where(empty, 1, top), np.where(empty, 0, bottom)
    before_top, before_bottom = np.roll(top, 1), np.roll(bottom, 1)
    linked = line.joined & ~empty & ~np.roll(empty, 1)
    linked[:1] = False
    down = linked & (top > before_bottom + 1)
    up = linked & (bottom < before_top - 1)
    # Either column takes half of the step between them.
    middle_down, middle_up = (top + before_bottom) // 2, (bottom + before_top) // 2
    new_top = np.where(down, middle_down + 1, top)
    new_bottom = np.where(up, middle_up, bottom)
    new_bottom[:-1] = np.where(down[1:], np.maximum(new_bottom[:-1], middle_down[1:]), new_bottom[:-1])
    new_top[:-1] = np.where(up[1:], np.minimum(new_top[:-1], middle_up[1:] + 1), new_top[:-1])
    return new_top, new_bottom


def dots(top: NDArray[np.int64], bottom: NDArray[np.int64], rows: int, texture: str = "solid") -> NDArray[np.bool_]:
    """Return the image of one line, shape (rows, columns); ``texture`` is "solid", "dashed" or "dotted" (every other
    dot).
    """
    row, column = np.arange(rows)[:, None], np.arange(len(top))
    drawn = (row >= top) & (row <= bottom)
    if texture == "dashed":
        return drawn & (column % DASH_EVERY < DASH)
    return drawn & ((row + column) % 2 == 0) if texture == "dotted" else drawn


def cells(drawn: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the bits of the Braille patterns of each cell, shape (rows / 4, columns / 2)."""
    rows, columns = drawn.shape
    parts = drawn.reshape(rows // DOTS_DOWN, DOTS_DOWN, columns // DOTS_ACROSS, DOTS_ACROSS).astype(np.uint8)
    return np.einsum("rdca,da->rc", parts, _BITS).astype(np.uint8)

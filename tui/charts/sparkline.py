"""Curves of one line height, drawn with eighths of a block. No Textual."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], cells: int, low: float | None = None, high: float | None = None) -> str:
    """Draw ``values`` in exactly ``cells`` cells, from ``low`` to ``high`` (by default their extent); no number is a gap.

    Of more values than cells each cell shows the mean of its share, of fewer each value has one cell, flush left.
    """
    shown = _thinned(values, cells)
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return " " * cells
    bottom = min(finite) if low is None else low
    top = max(finite) if high is None else high
    return "".join(_block(value, bottom, top) for value in shown).ljust(cells)


def _thinned(values: Sequence[float], cells: int) -> list[float]:
    if len(values) <= cells:
        return list(values)
    edges = [index * len(values) // cells for index in range(cells + 1)]
    return [_mean(values[begin:end]) for begin, end in itertools.pairwise(edges)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    # Each is divided before the sum: the sum of two numbers can be too large for a number.
    return sum(value / len(finite) for value in finite) if finite else math.nan


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    span = high / 2 - low / 2
    part = (value / 2 - low / 2) / span if span > 0 else 0.0
    return BLOCKS[min(max(round(part * (len(BLOCKS) - 1)), 0), len(BLOCKS) - 1)]

"""Ticks of the axes: round numbers, and their texts. No Textual, no plotting library."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

LARGEST_POWER = 307
"""Powers of ten beyond it are no numbers any more; a logarithmic axis has no ticks there."""


def nice_ticks(low: float, high: float, max_count: int) -> list[float]:
    """Return one to ``max_count`` round numbers (1, 2, 2.5, 5 times a power of ten apart) from ``low`` to ``high``."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    exponent = math.floor(math.log10(span)) - 2
    for step in (factor * 10.0**power for power in range(exponent, exponent + 5) for factor in (1, 2, 2.5, 5)):
        if step == 0.0:  # below the smallest number above zero
            continue
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= max(max_count, 1):
            return [number * step for number in range(first, last + 1)] or [low]
    return [low]


def log_ticks(low: float, high: float, max_count: int = 5) -> tuple[list[float], list[str]]:
    """Return the positions (log10) and labels (the values themselves) of ticks for an axis from 10^low to 10^high."""
    low, high = (min(max(limit, -LARGEST_POWER), LARGEST_POWER) for limit in (low, high))
    decades = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if len(inside) >= 2:
            break
    else:
        inside = [10.0**low] if high - low < 1e-9 else [10.0**low, 10.0**high]
    every = max(1, math.ceil(len(inside) / max_count))
    kept = inside[::every]
    return [math.log10(value) for value in kept], [tick_text(value) for value in kept]


def tick_text(value: float) -> str:
    """Return a number for an axis, at most six characters or so: 0.05, 1.2, 30k, 1e-05."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        return f"{value:.0e}"
    if size >= 1e4:
        return f"{value / 1000:.0f}k"
    if size >= 1e3:
        return f"{value:.0f}"
    return f"{value:.3g}"


def tick_texts(positions: Sequence[float]) -> list[str]:
    """Return the numbers for an axis, with as many digits as it takes to tell neighbours apart."""
    texts = [tick_text(place) for place in positions]
    if len(set(texts)) == len(texts):
        return texts
    step = min((b - a for a, b in itertools.pairwise(positions)), default=0.0)
    digits = min(max(-math.floor(math.log10(step)), 0), 6) if step > 0 else 0
    return [f"{place:.{digits}f}" for place in positions]


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit for an axis of that extent, in seconds, and its sign."""
    return (3600.0, "h") if seconds >= 7200 else (60.0, "min") if seconds >= 180 else (1.0, "s")

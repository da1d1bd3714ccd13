"""Ticks of the axes: round numbers, and their texts. No Textual, no plotting library."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence

LARGEST_POWER = 307
"""Powers of ten beyond it are no numbers any more; a logarithmic axis has no ticks there."""
MOST_DIGITS, LONGEST = 8, 12
"""Of a label behind the point, and in all; where that does not tell ticks apart, they are rounded."""


def nice_ticks(low: float, high: float, max_count: int) -> list[float]:
    """Return one to ``max_count`` round numbers (1, 2, 2.5, 5 times a power of ten apart) from ``low`` to ``high``."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    exponent = math.floor(math.log10(span)) - 2
    powers = range(exponent, min(exponent + 5, sys.float_info.max_10_exp + 1))
    for step in (factor * 10.0**power for power in powers for factor in (1, 2, 2.5, 5)):
        if step in (0.0, math.inf):  # below the smallest number above zero, or beyond the largest
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
    """Return a number for an axis, in at most six characters or so: 0.05, 1.2, 12.5k, 1e-5, 2.5e6."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    if size >= 1e4:
        return f"{value / 1000:.4g}k"
    if size >= 1e3:
        return f"{value:.0f}"
    return f"{value:.3g}"


def tick_texts(positions: Sequence[float]) -> list[str]:
    """Return the numbers for an axis, with as many digits as it takes for each to be its place and not near it."""
    texts = [tick_text(place) for place in positions]
    step = min((b - a for a, b in itertools.pairwise(positions)), default=0.0)
    if all(_reads_as(text, place, step) for text, place in zip(texts, positions, strict=True)):
        return texts
    for digits in range(MOST_DIGITS + 1):
        longer = [f"{place:.{digits}f}" for place in positions]
        if all(_reads_as(text, place, step) for text, place in zip(longer, positions, strict=True)):
            return longer if max(map(len, longer)) <= LONGEST else texts
    return texts


def _reads_as(text: str, place: float, step: float) -> bool:
    """Return whether a label says its place, to a hundredth of what lies between two; a single one to its three digits."""
    said = 1000 * float(text[:-1]) if text.endswith("k") else float(text)
    return abs(said - place) <= (step / 100 if step > 0 else abs(place) / 100)


def value_ticks(
    low: float, high: float, max_count: int, *, log: bool = False, shares: bool = False
) -> tuple[list[float], list[str]]:
    """Return the positions and labels of ticks for an axis of values, which are log10 of them where ``log``.

    The labels of ``shares``, 0 to 1, are in per cent.
    """
    if log:
        positions, labels = log_ticks(low + 2 * shares, high + 2 * shares, max_count)
        positions = [place - 2 * shares for place in positions]
    else:
        positions = nice_ticks(low, high, max_count)
        labels = tick_texts([100 * place for place in positions] if shares else positions)
    return positions, [f"{label} %" for label in labels] if shares else labels


def fitting(labels: Sequence[str], width: int) -> list[str]:
    """Return the labels for an axis that has ``width`` cells for them; one that is longer is left out, not cut."""
    if any(len(label) > width for label in labels):
        labels = [label.replace(" %", "%") for label in labels]
    return [label if len(label) <= width else "" for label in labels]


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit for an axis of that extent, in seconds, and its sign."""
    return (3600.0, "h") if seconds >= 7200 else (60.0, "min") if seconds >= 180 else (1.0, "s")

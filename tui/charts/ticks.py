"""The arithmetic of curves: plain numbers in, plain numbers out. No Textual, no plotting library.

A gap in a curve is a NaN. Whatever a run wrote, the numbers that leave this module can be plotted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

GAP = math.nan
LARGEST_POWER = 307
"""Powers of ten beyond it are no numbers any more; a logarithmic axis has no ticks there."""


@dataclass(frozen=True)
class Line:
    """One curve. ``role`` says how it is drawn: "train", "validation", "raw" (behind a smoothed one) or "best" (a point)."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    role: str = "train"

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(math.isfinite(y) for y in self.ys)


@dataclass(frozen=True)
class ChartData:
    """What one chart shows. ``log`` asks for a logarithmic y axis; ``y_range`` fixes the axis (accuracy: 0 to 1)."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    log: bool = False
    y_range: tuple[float, float] | None = None
    note: str = ""


def sanitise(values: Sequence[float]) -> list[float]:
    """The values with infinities as gaps, since no axis can hold them."""
    return [value if math.isfinite(value) else GAP for value in values]


def log_values(values: Sequence[float]) -> list[float]:
    """log10 of the positive values; zero, negative and infinite ones become gaps."""
    return [math.log10(value) if 0 < value < math.inf else GAP for value in values]


def bucket(xs: Sequence[float], ys: Sequence[float], columns: int) -> tuple[list[float], list[float]]:
    """At most two points for each of ``columns`` equal slices of the x axis: the smallest and the largest of its values.

    So a spike of one step among a million survives. A slice without a finite value, but with others, becomes a gap. Points
    without a finite x are left out. The points come in the order of x.
    """
    points = [(x, y if math.isfinite(y) else GAP) for x, y in zip(xs, ys, strict=False) if math.isfinite(x)]
    if len(points) <= 2 or columns < 1:
        return [x for x, _ in points], [y for _, y in points]
    low, high = min(point[0] for point in points), max(point[0] for point in points)
    # Halves, because the distance between two numbers can be too large for a number.
    span = high / 2 - low / 2
    slices: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        column = min(int((point[0] / 2 - low / 2) / span * columns), columns - 1) if span > 0 else 0
        kept = slices.get(column)
        slices[column] = [point, point] if kept is None else _widen(kept, point)
    out = [point for column in sorted(slices) for point in _in_order(slices[column])]
    return [x for x, _ in out], [y for _, y in out]


def _widen(kept: list[tuple[float, float]], point: tuple[float, float]) -> list[tuple[float, float]]:
    """Smallest and largest point of a slice after one more; a gap gives way to any number."""
    smallest, largest = kept
    if math.isnan(point[1]):
        return kept
    if math.isnan(smallest[1]):
        return [point, point]
    return [point if point[1] < smallest[1] else smallest, point if point[1] > largest[1] else largest]


def _in_order(kept: list[tuple[float, float]]) -> list[tuple[float, float]]:
    smallest, largest = kept
    if smallest == largest or math.isnan(smallest[1]):
        return [smallest]
    return [smallest, largest] if smallest[0] <= largest[0] else [largest, smallest]


def ema(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average with the weight of the past ``weight`` (0: as it is, towards 1: smoother), debiased.

    The average starts at zero and is divided by 1 - weight^n, so that the first values are not dragged down (Kingma and Ba,
    Adam, 2015, section 3). Gaps stay gaps and do not disturb what follows.
    """
    if not 0 < weight < 1:
        return list(values)
    smooth, remaining, out = 0.0, 1.0, []
    for value in values:
        if not math.isfinite(value):
            out.append(GAP)
            continue
        smooth = weight * smooth + (1 - weight) * value
        remaining *= weight
        out.append(smooth / (1 - remaining))
    return out


def finite_range(lines: Sequence[Line]) -> tuple[float, float] | None:
    """Smallest and largest finite y of all lines; None where there is none."""
    values = [y for line in lines for y in line.ys if math.isfinite(y)]
    return (min(values), max(values)) if values else None


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """At most ``most`` round numbers (1, 2, 2.5, 5 times a power of ten apart) from ``low`` to ``high``; at least one."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    exponent = math.floor(math.log10(span)) - 2
    for step in (factor * 10.0**power for power in range(exponent, exponent + 5) for factor in (1, 2, 2.5, 5)):
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        if last - first + 1 <= max(most, 1):
            return [number * step for number in range(first, last + 1)] or [low]
    return [low]


def log_ticks(low: float, high: float, most: int = 5) -> tuple[list[float], list[str]]:
    """Positions (log10) and labels (the values themselves) of ticks for an axis from 10^low to 10^high."""
    low, high = (min(max(limit, -LARGEST_POWER), LARGEST_POWER) for limit in (low, high))
    decades = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5)):
        values = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if len(inside) >= 2:
            break
    else:
        inside = [10.0**low] if high - low < 1e-9 else [10.0**low, 10.0**high]
    every = max(1, math.ceil(len(inside) / most))
    kept = inside[::every]
    return [math.log10(value) for value in kept], [tick_text(value) for value in kept]


def tick_text(value: float) -> str:
    """A number for an axis, at most six characters or so: 0.05, 1.2, 30k, 1e-05."""
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


def tick_texts(places: Sequence[float]) -> list[str]:
    """Numbers for an axis, with as many digits as it takes to tell neighbours apart."""
    texts = [tick_text(place) for place in places]
    if len(set(texts)) == len(texts):
        return texts
    step = min((b - a for a, b in itertools.pairwise(places)), default=0.0)
    digits = min(max(-math.floor(math.log10(step)), 0), 6) if step > 0 else 0
    return [f"{place:.{digits}f}" for place in places]


def time_unit(seconds: float) -> tuple[float, str]:
    """The unit for an axis of that extent, in seconds, and its sign."""
    return (3600.0, "h") if seconds >= 7200 else (60.0, "min") if seconds >= 180 else (1.0, "s")

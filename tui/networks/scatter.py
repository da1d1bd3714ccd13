"""Networks as points: which axes there are, and where each point falls in a grid of cells. No Textual."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...models.catalogue.notes import quantity
from ...models.catalogue.registry import Variant
from ..charts import ticks

NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Axis:
    """``value`` gives NaN where a network has none; ``log`` axes show powers of ten."""

    title: str
    value: Callable[[Variant], float]
    log: bool
    text: Callable[[float], str]


def top_one(variant: Variant) -> float:
    """Return the published top-1 accuracy in per cent, NaN where the note gives none."""
    for key, value in variant.published.items():
        if key.lower().startswith("top-1") and (found := NUMBER.search(str(value))):
            accuracy = float(found[0])
            return 100 - accuracy if "error" in key.lower() else accuracy
    return math.nan


YEAR = Axis("year", lambda variant: float(variant.year), False, lambda value: f"{value:.0f}")
MACS = Axis("MACs", lambda variant: float(variant.paper_stem.macs or math.nan), True, quantity)
PARAMETERS = Axis("parameters", lambda variant: float(variant.paper_stem.parameters or math.nan), True, quantity)
ACCURACY = Axis("published top-1 %", top_one, False, lambda value: f"{value:.0f}")
PAIRS = {
    "year and MACs": (YEAR, MACS),
    "year and parameters": (YEAR, PARAMETERS),
    "MACs and accuracy": (MACS, ACCURACY),
    "parameters and accuracy": (PARAMETERS, ACCURACY),
}


@dataclass(frozen=True)
class ScatterPoint:
    """A network at a column and a row (0 at the top)."""

    name: str
    column: int
    row: int


@dataclass(frozen=True)
class Plot:
    """Points in a grid; ``x_ticks`` are (column, label), ``y_ticks`` (row, label)."""

    points: tuple[ScatterPoint, ...]
    x_ticks: tuple[tuple[int, str], ...]
    y_ticks: tuple[tuple[int, str], ...]
    missing: int


def place(variants: Sequence[Variant], pair: str, columns: int, rows: int) -> Plot:
    """Put networks into a grid; ``missing`` counts those that have no value on one of the axes."""
    x_axis, y_axis = PAIRS[pair]
    found = [(variant.name, _scaled(x_axis, variant), _scaled(y_axis, variant)) for variant in variants]
    known = [row for row in found if math.isfinite(row[1]) and math.isfinite(row[2])]
    if not known or columns < 2 or rows < 2:
        return Plot((), (), (), len(found) - len(known))
    x_low, x_high = _limits([x for _, x, _ in known])
    y_low, y_high = _limits([y for _, _, y in known])

    def column(x: float) -> int:
        return round((x - x_low) / (x_high - x_low) * (columns - 1))

    def row(y: float) -> int:
        return rows - 1 - round((y - y_low) / (y_high - y_low) * (rows - 1))

    x_ticks = tuple((column(at), text) for at, text in _ticks(x_axis, x_low, x_high, columns // 10))
    y_ticks = tuple((row(at), text) for at, text in _ticks(y_axis, y_low, y_high, rows // 3))
    points = tuple(ScatterPoint(name, column(x), row(y)) for name, x, y in known)
    return Plot(points, x_ticks, y_ticks, len(found) - len(known))


def _scaled(axis: Axis, variant: Variant) -> float:
    value = axis.value(variant)
    if not axis.log:
        return value
    return math.log10(value) if value > 0 else math.nan


def _limits(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(axis: Axis, low: float, high: float, max_count: int) -> list[tuple[float, str]]:
    if axis.log:
        return [(at, axis.text(10**at)) for at in ticks.log_ticks(low, high, max(max_count, 2))[0]]
    whole = [at for at in ticks.nice_ticks(low, high, max(max_count, 2)) if at == int(at)]
    # The first year is one of its own: where the story begins. A round one too close to it gives way when drawn.
    first = [low] if axis is YEAR and low == int(low) and low not in whole else []
    return [(at, axis.text(at)) for at in [*first, *whole]]


def without_figure(pair: str, variant: Variant) -> str:
    """Say why a network has no point; "" where it has one."""
    lacking = [axis.title for axis in PAIRS[pair] if not math.isfinite(_scaled(axis, variant))]
    return f"no {' and no '.join(lacking)}" if lacking else ""


def neighbour(plot: Plot, name: str, step: tuple[int, int]) -> str:
    """Return the network that one gets to from ``name`` going by columns (``step`` (±1, 0)) or by rows ((0, ±1)).

    Points are passed in the order of that axis, so that every one of them can be reached, also those in the same cell.
    """
    across, down = step
    points = sorted(plot.points, key=lambda p: (p.column, p.row, p.name) if across else (p.row, p.column, p.name))
    names = [point.name for point in points]
    if not names:
        return ""
    if name not in names:
        return names[0]
    return names[min(max(names.index(name) + across + down, 0), len(names) - 1)]

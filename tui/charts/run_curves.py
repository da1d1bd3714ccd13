"""From the history of a run to what plotext draws: one chart of a metric, reduced to the columns that it has.

The test value stands at the epoch of the weights that were tested, not at the end of the training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...trainer.analysis.best import merit
from ...trainer.analysis.curve_summary import CurvePoint, Evaluations
from ...trainer.common.number_text import percent
from . import braille
from .history import History
from .plotext_chart import GAP, ChartData, PlottedLine
from .series import Floats, PlottedCurve
from .view import TITLES

EVALUATED = ("loss", "accuracy")
"""The metrics that an evaluation measures; the others are of the training alone."""
SHARED_SIGNS = {"best": "best", "test": "test", "diverged": "not a number"}
"""What the signs mean that stand beside the markers of several runs."""
RAW_FROM = 2
"""From so many records a column on, their smallest and largest are drawn behind their mean."""


@dataclass(frozen=True)
class Reduced:
    """A curve with one row for each column that holds values: mean place, smallest, largest and mean value, all (n,).

    ``broken``: whether a gap lies between the row and the one before it.
    """

    x: Floats
    low: Floats
    high: Floats
    mean: Floats
    broken: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class PlottedRun:
    """A run as it is read so far. ``slot`` numbers the runs of a chart that has several."""

    label: str
    history: History
    evaluations: Evaluations
    slot: int | None = None


@dataclass(frozen=True)
class Marks:
    """Single values of a metric as (epoch, value): the best validation, the test, and where the loss was not a number."""

    best: tuple[float, float] | None = None
    test: tuple[float, float] | None = None
    diverged: float | None = None


def reduce(curve: PlottedCurve, low: float, high: float, columns: int) -> Reduced:
    """Return the curve from ``low`` to ``high`` of the x axis in at most ``columns`` rows. No extreme is lost."""
    finite = np.isfinite(curve.low) & np.isfinite(curve.high)
    inside = finite & (curve.x >= low) & (curve.x <= high)
    gaps = np.cumsum(~finite)[inside]
    x, lows, highs, means = (part[inside] for part in (curve.x, curve.low, curve.high, curve.mean))
    if not len(x):
        nothing = np.empty(0)
        return Reduced(nothing, nothing, nothing, nothing, np.empty(0, dtype=bool))
    column = braille.columns_of(x, low, high, max(columns, 1))
    starts = np.concatenate([[0], np.flatnonzero(np.diff(column)) + 1])
    ends = np.append(starts[1:], len(x)) - 1
    count = ends - starts + 1
    smallest, largest = np.minimum.reduceat(lows, starts), np.maximum.reduceat(highs, starts)
    with np.errstate(over="ignore", invalid="ignore"):
        place = np.clip(np.add.reduceat(x / np.repeat(count, count), starts), x[starts], x[ends])
        mean = np.clip(np.add.reduceat(means / np.repeat(count, count), starts), smallest, largest)
    broken = np.concatenate([[False], gaps[starts[1:]] != gaps[ends[:-1]]])
    return Reduced(place, smallest, largest, mean, broken)


def chart_data(metric: str, runs: Sequence[PlottedRun], columns: int, *, empty: str = "no values") -> ChartData:
    """Return the chart of a metric over epochs, in ``columns`` columns."""
    curves = [(run, run.history.curve(metric, "train", "epoch")) for run in runs]
    held_out = [validation(metric, run.evaluations) for run in runs]
    found = [marks(metric, run, curve) for run, curve in curves]
    places = [x for _, curve in curves for x in (curve.x[:1], curve.x[-1:])]
    places += [x for curve in held_out for x in (curve.x[:1], curve.x[-1:])]
    places += [np.array([one.test[0]]) for one in found if one.test]
    known = np.concatenate(places) if places else np.empty(0)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    lines: list[PlottedLine] = []
    for (run, curve), evaluated, marked in zip(curves, held_out, found, strict=True):
        lines += _lines(metric, run, (curve, evaluated), marked, (low, high, columns))
    lines = _with_signs_named(lines)
    never = [one.diverged for one in found if one.diverged is not None]
    if never and all(line.empty for line in lines):
        empty = f"not a number (NaN or infinite) from epoch {min(never):.3g} on"
    return ChartData(TITLES[metric], "epochs", tuple(lines), shares=metric == "accuracy", empty=empty)


def _with_signs_named(lines: Sequence[PlottedLine]) -> list[PlottedLine]:
    """Give the first line of each sign that several runs share the word for it, which the legend then has once."""
    named: set[str] = set()
    result = []
    for line in lines:
        if line.is_shared_sign and line.role not in named:
            named.add(line.role)
            line = replace(line, label=SHARED_SIGNS[line.role])
        result.append(line)
    return result


def _lines(
    metric: str,
    run: PlottedRun,
    curves: tuple[PlottedCurve, PlottedCurve],
    marked: Marks,
    place: tuple[float, float, int],
) -> list[PlottedLine]:
    """Return the lines of one run."""
    slot, alone = run.slot, run.slot is None
    train, evaluated = (reduce(curve, *place) for curve in curves)
    lines = []
    if alone and len(train) and np.isfinite(curves[0].low).sum() >= RAW_FROM * len(train):
        lines.append(PlottedLine("raw", *_band(train), "raw"))
    lines.append(PlottedLine("train" if alone else run.label, *_joined(train, train.mean), "train", slot))
    lines.append(PlottedLine("validation" if alone else "", *_joined(evaluated, evaluated.mean), "validation", slot))
    if marked.test:
        words = f"test {_text(marked.test[1], metric)}" if alone else ""
        lines.append(PlottedLine(words, [marked.test[0]], [marked.test[1]], "test", slot))
    if marked.best:
        words = f"best {_text(marked.best[1], metric)} epoch {marked.best[0]:g}" if alone else ""
        lines.append(PlottedLine(words, [marked.best[0]], [marked.best[1]], "best", slot))
    if marked.diverged is not None and len(train):
        words = f"not a number at epoch {marked.diverged:.3g}" if alone else ""
        lines.append(PlottedLine(words, [marked.diverged], [float(np.max(train.high))], "diverged", slot))
    return lines


def marks(metric: str, run: PlottedRun, train: PlottedCurve) -> Marks:
    """Return the single values of a metric."""
    diverged = _diverged(run.history, train) if metric == "loss" else None
    if metric not in EVALUATED:
        return Marks(diverged=diverged)
    test = run.evaluations.test
    tested = _place(test.get("best_epoch"), test.get("epoch")), _number(test.get(metric))
    best = best_point(run.evaluations.points)
    marked = (best.epoch, getattr(best, metric)) if best else (GAP, GAP)
    return Marks(_if_known(marked), _if_known(tested), diverged)


def _diverged(history: History, train: PlottedCurve) -> float | None:
    """Return the epoch from which on the loss is not a number; None where it always is one."""
    gaps = np.flatnonzero(np.isinf(train.low))
    first = float(train.x[gaps[0]]) if len(gaps) else None
    # In a long run a row holds several records, and is a gap only where all of them are.
    if history.train.stride > 1 and history.diverged_step is not None:
        step = history.place_of_step(history.diverged_step, "epoch")
        return min((place for place in (first, step) if place is not None), default=None)
    return first


def _if_known(pair: tuple[float, float]) -> tuple[float, float] | None:
    return pair if all(map(math.isfinite, pair)) else None


def best_point(points: Sequence[CurvePoint]) -> CurvePoint | None:
    """Return the best validation, the first of equal ones; None without one."""
    measured = [point for point in points if math.isfinite(point.accuracy)]
    return max(measured, key=lambda point: merit(point.accuracy, point.loss), default=None)


def validation(metric: str, evaluations: Evaluations) -> PlottedCurve:
    """Return the validation curve of a metric, with gaps where it was not a number."""
    points = [point for point in evaluations.points if math.isfinite(point.epoch)] if metric in EVALUATED else []
    points.sort(key=lambda point: point.epoch)
    values = np.array([getattr(point, metric) for point in points], dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.inf)
    return PlottedCurve(np.array([point.epoch for point in points], dtype=np.float64), values, values, values)


def as_dict(metric: str, run: PlottedRun, columns: int) -> dict[str, Any]:
    """Return a run as numbers: its training in at most ``columns`` rows, and all its evaluations."""
    curve = run.history.curve(metric, "train", "epoch")
    low, high = (float(curve.x[0]), float(curve.x[-1])) if len(curve) else (0.0, 1.0)
    train, evaluated = reduce(curve, low, high, columns), validation(metric, run.evaluations)
    found = marks(metric, run, curve)
    rows = [*zip(*(part.tolist() for part in (train.x, train.mean, train.low, train.high)), strict=True)]
    gaps = [(x, math.nan, math.nan, math.nan) for x in _without_numbers(curve, train, (low, high, columns))]
    rows = sorted([*rows, *gaps])
    measured = zip(evaluated.x.tolist(), evaluated.mean.tolist(), strict=True)
    return {
        "train": [{"epoch": x, "mean": mean, "low": low, "high": high} for x, mean, low, high in rows],
        "validation": [{"epoch": x, "value": value} for x, value in measured],
        "best": _as_dict(found.best),
        "test": _as_dict(found.test),
        "diverged_epoch": found.diverged,
    }


def _without_numbers(curve: PlottedCurve, train: Reduced, place: tuple[float, float, int]) -> list[float]:
    """Return the first place of each column whose values are all not numbers."""
    low, high, columns = place[0], place[1], max(place[2], 1)
    lost = curve.x[~(np.isfinite(curve.low) & np.isfinite(curve.high)) & np.isfinite(curve.x)]
    first = {
        int(column): x
        for column, x in zip(braille.columns_of(lost, low, high, columns)[::-1], lost[::-1].tolist(), strict=True)
    }
    drawn = set(braille.columns_of(train.x, low, high, columns).tolist())
    return [x for column, x in first.items() if column not in drawn and 0 <= column < columns]


def _as_dict(pair: tuple[float, float] | None) -> dict[str, float] | None:
    return {"epoch": pair[0], "value": pair[1]} if pair else None


def _joined(reduced: Reduced, values: Floats) -> tuple[list[float], list[float]]:
    """Return the x and y of a line, with a gap before each row that a gap lies before."""
    xs: list[float] = []
    ys: list[float] = []
    for x, y, broken in zip(reduced.x.tolist(), values.tolist(), reduced.broken.tolist(), strict=True):
        if broken:
            xs.append(x)
            ys.append(GAP)
        xs.append(x)
        ys.append(y)
    return xs, ys


def _band(reduced: Reduced) -> tuple[list[float], list[float]]:
    """Return the x and y of a line up and down between smallest and largest values."""
    xs: list[float] = []
    ys: list[float] = []
    rows = zip(reduced.x.tolist(), reduced.low.tolist(), reduced.high.tolist(), strict=True)
    for x, low, high in rows:
        # A gap after each column keeps it a stroke from smallest to largest.
        xs += [x, x, x]
        ys += [low, high, GAP]
    return xs, ys


def _text(value: float, metric: str) -> str:
    return percent(value, f"{value:.4g}") if metric == "accuracy" else f"{value:.4g}"


def _place(*values: object) -> float:
    return next((place for value in values if math.isfinite(place := _number(value))), GAP)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else GAP

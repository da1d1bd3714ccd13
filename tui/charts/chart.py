"""From the histories of some runs to the curves of one chart, and to the chart. No Textual."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...models.catalogue.share_text import share_text
from . import braille, markers, plot, series
from .braille import DOTS_ACROSS
from .history import History
from .markers import AXIS, BADGE, GUTTER, MUTED, SMALLEST, TITLE, Chart, ChartRow
from .plot import PlotLayer, PlotPoint, Scene
from .series import PlottedCurve
from .view import SHORT, SPLITS, TITLES, ChartedRun, Curves, Limits, Readout, View

ROOM = 0.06
SMOOTHED = ("loss", "accuracy", "grad_norm", "images_per_s")
"""A learning rate has no noise to take away."""


@dataclass(frozen=True)
class ChartLine:
    """A curve of a chart: whose, and which part of the data it was measured on; "raw" lies behind a smoothed one."""

    run: ChartedRun
    role: str
    curve: PlottedCurve
    best: tuple[float, float] | None = None
    """Place and height of the star, where this line has one."""
    weights_epoch: float | None = None
    """Of a test: the epoch of the weights that were tested."""


def painted_order(runs: Sequence[ChartedRun]) -> list[ChartedRun]:
    """Return the order of painting: the last is on top."""
    return sorted(runs, key=lambda run: (run.pinned, -run.slot))


def lines(metric: str, runs: Sequence[tuple[ChartedRun, History]], view: View) -> list[ChartLine]:
    """Return all curves of a metric, in the order of painting: the raw ones first."""
    raw, front = [], []
    histories = dict(runs)
    for run in painted_order([run for run, _ in runs]):
        curve = histories[run].curve(metric, "train", view.axis)
        if 0 < view.smoothing < 1 and metric in SMOOTHED:
            raw.append(ChartLine(run, "raw", curve))
            curve = series.smoothed(curve, view.smoothing)
        front.append(ChartLine(run, "train", curve))
        for split in SPLITS:
            best = histories[run].best(view.axis) if (metric, split) == ("accuracy", "validation") else None
            epoch = histories[run].tested_epoch if split == "test" else None
            front.append(ChartLine(run, split, histories[run].curve(metric, split, view.axis), best, epoch))
    return [line for line in raw + front if np.isfinite(line.curve.low).any()]


def has_positive(found: Sequence[ChartLine]) -> bool:
    """Return whether a logarithmic axis has anything to show."""
    return any((line.curve.high[np.isfinite(line.curve.high)] > 0).any() for line in found)


def readouts(found: Sequence[ChartLine], x: float, max_distance: float) -> list[Readout]:
    """Return the value of each line at the record nearest to ``x``.

    Where a line has not begun or has ended there is none, from ``max_distance`` or half a step of its records on. Where
    what was measured is not a number, the value is NaN, and not that of a record far away.
    """
    result = []
    for line in sorted(found, key=lambda line: line.run.slot):
        xs = line.curve.x
        ys = np.where(np.isfinite(line.curve.mean), line.curve.mean, np.nan)
        if line.role == "raw" or not len(xs):
            continue
        distance = max(max_distance, line.curve.spacing / 2)
        if not xs[0] - distance <= x <= xs[-1] + distance:
            continue
        away = np.abs(xs - x)
        numbers = np.isfinite(ys) & (away <= max_distance)
        place = int(np.argmin(np.where(numbers, away, np.inf) if numbers.any() else away))
        result.append(Readout(line.run.slot, line.role, float(xs[place]), float(ys[place]), line.weights_epoch))
    return result


def y_limits(layers: Sequence[PlotLayer], metric: str, log: bool, before: Limits | None) -> Limits:
    """Return the limits of the y axis that show all that is in sight."""
    seen = [limits for layer in layers if (limits := layer.stroke.limits)]
    if not seen:
        return (0.0, 1.0)
    low, high = min(limits[0] for limits in seen), max(limits[1] for limits in seen)
    floor = 0.0 if not log and low >= 0 else -math.inf
    limit = 0.0 if log else 1.0
    ceiling = limit if metric == "accuracy" and high <= limit else math.inf
    return plot.resolve_limits(before, low, high, 0.04, floor, ceiling)


def scene(
    metric: str, found: Sequence[ChartLine], view: View, x: Limits, columns: int, y_before: Limits | None
) -> Scene:
    """Return the curves of a chart in place, reduced to ``columns`` of dots."""
    log = metric in view.log and has_positive(found)
    several = len({line.run for line in found}) > 1
    layers = tuple(
        PlotLayer(
            line.run.slot,
            line.role,
            braille.stroke(braille.logarithms(line.curve) if log else line.curve, *x, columns),
            markers.line_tone(line.run.slot, line.role, several),
            signs=line.role != "test" and (several or line.role != "train"),
        )
        for line in found
    )
    y = y_limits(layers, metric, log, y_before)
    points = []
    for line, layer in zip(found, layers, strict=True):
        mark = markers.marker(line.run.slot, "train", view.ascii) if several else ""
        points += [
            PlotPoint(x, math.log10(value) if log else value, layer.tone, markers.sign(name, view.ascii), mark)
            for name, x, value in _places(line)
            if value > 0 or not log
        ]
        gaps = np.flatnonzero(np.isinf(line.curve.low))
        if metric == "loss" and line.role == "train" and len(gaps):
            sign = markers.sign("diverged", view.ascii)
            points.append(PlotPoint(float(line.curve.x[gaps[0]]), y[0], layer.tone, sign, mark))
    return Scene(layers, tuple(points), x, y, log, view.axis, view.ascii, shares=metric == "accuracy")


def _places(line: ChartLine) -> Iterator[tuple[str, float, float]]:
    """Yield the name, place and value of what is marked on a line: the best epoch, the test."""
    if line.best and math.isfinite(line.best[0]):
        yield "best", *line.best
    if line.role == "test":
        tested = zip(line.curve.x.tolist(), line.curve.mean.tolist(), strict=True)
        yield from (("test", x, value) for x, value in tested if math.isfinite(value))


@dataclass(frozen=True)
class ChartRequest:
    """One chart to draw: its metric, its size in cells, over which part of the x axis."""

    metric: str
    size: tuple[int, int]
    x: Limits
    y_before: Limits | None = None


def chart(request: ChartRequest, found: Sequence[ChartLine], known: Sequence[Curves], view: View) -> Chart:
    """Return the chart of one metric."""
    metric, (width, height) = request.metric, request.size
    positive = has_positive(found)
    title = _title(request, found, known, view)
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return markers.words(metric, title, ["no room"], request.size)
    if not found:
        return markers.words(metric, title, ["", f"  {_why_empty(metric, known)}"], request.size)
    shown = scene(metric, found, view, request.x, (width - GUTTER) * DOTS_ACROSS, request.y_before)
    title = _title(request, found, known, view, _told_behind(metric, shown, request.size))
    return plot.draw(metric, shown, title, request.size, positive)


def _told_behind(metric: str, shown: Scene, size: tuple[int, int]) -> list[str]:
    """Return the words for the signs behind others: ``✚ test 0.25 at ★``; of several runs ``✚◆ 0.25 at ★●``."""
    told = []
    for point, other in plot.behind(shown, size):
        value = 10**point.y if shown.log else point.y
        said = share_text(value, 1, tight=True) if metric == "accuracy" else markers.value_text(value, metric)
        word = " test" if point.sign == markers.sign("test", shown.ascii) and not point.mark else ""
        told.append(f"{point.sign}{point.mark}{word} {said} at {other.sign}{other.mark}")
    return told


def _why_empty(metric: str, known: Sequence[Curves]) -> str:
    """Return why a chart has no curve: nothing was measured, or what was measured is not a number."""
    steps = [curves.diverged_step for curves in known if curves.diverged_step is not None]
    return f"not a number from step {min(steps):,} on" if metric == "loss" and steps else "no values"


def _title(
    request: ChartRequest,
    found: Sequence[ChartLine],
    known: Sequence[Curves],
    view: View,
    told_behind: Sequence[str] = (),
) -> ChartRow:
    """Name, what the lines are, the best epoch, and badges: ``loss (log) ─ train ┄○ validation``.

    Where not all has room, it is written closer; what even then has none is left out whole, and a sign says so.
    """
    log = request.metric in view.log and has_positive(found)
    metric, width = request.metric, request.size[0] - 1  # the sign of the chosen chart stands before it
    spans = [(TITLES[metric], TITLE)]
    if metric in view.log:
        spans.append((" (log)", TITLE) if log else (" (no value above zero: no log axis)", MUTED))
    by_path = {curves.path: curves for curves in known}
    runs = {line.run: by_path[line.run.path] for line in found if line.run.path in by_path}
    several = len(runs) > 1
    if metric == "loss":
        for run, curves in runs.items():
            if curves.diverged_step is not None:
                sign = markers.marker(run.slot, "train", view.ascii) + " " if several else ""
                spans.append((f" {sign}diverged at step {curves.diverged_step:,}", BADGE))
    best = [(curves.best, run) for run, curves in runs.items() if metric == "accuracy" and curves.best]
    if best:
        (epoch, value), run = max(best, key=lambda one: one[0][1])
        sign = markers.run_sign(run.slot, "best", view.ascii) if several else markers.sign("best", view.ascii)
        spans.append((f"  {sign} best {share_text(value, 1, tight=True)} epoch {epoch:g}", AXIS))
    spans += [(f"  {text}", AXIS) for text in told_behind]
    curves = [line for line in found if several or line.role != "test" or not told_behind]
    wide = [*spans, *_legend(curves, several, view.ascii)]
    close = [(re.sub("^  ", " ", text), tone) for text, tone in spans]
    close += _legend(curves, several, view.ascii, close=True)
    chosen = wide if sum(len(text) for text, _ in wide) <= width else close
    return markers.text_row(markers.fitted(chosen, width, view.ascii), request.size[0])


def _legend(found: Sequence[ChartLine], several: bool, ascii: bool, close: bool = False) -> Iterator[tuple[str, int]]:
    """Yield what the curves of a single run are; of several, the line above the charts names the runs."""
    gap = " " if close else "  "
    roles = dict.fromkeys(line.role for line in found)
    if several:
        if "test" in roles:
            yield f"{gap}{markers.sign('test', ascii)} test", AXIS
        return
    for role in roles:
        slot = found[0].run.slot
        sign = markers.marker(slot, role, ascii)
        stroke = {"train": "─", "validation": f"┄{sign}", "raw": "┈"}.get(role, sign)
        word = SHORT.get(role, role) if close else role
        yield f"{gap}{sign if ascii else stroke} {word}", markers.line_tone(slot, role, several=False)

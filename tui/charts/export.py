"""Curves as files: CSV with every value that is shown, and an SVG image. No Textual."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

import numpy as np

from ...trainer.common import text_safe
from . import chart, markers, ticks
from .braille import Stroke
from .chart import ChartLine
from .plot import PlotLayer, Scene
from .view import AXIS_LABELS, TITLES, Limits, View

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 320, 64, 40, 44
COLUMNS = WIDTH - LEFT - 16
ROW, STROKE, LETTER = 16, 26, 7
"""Of the legend: the height of a row, the room for a stroke, and how wide a letter is taken to be."""
# The palette of M. Okabe and K. Ito, "Color Universal Design" (2008), on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#000000")
DASHES = {"validation": "6 3", "raw": "1 2"}


def csv_text(found: Mapping[str, Sequence[ChartLine]], view: View, x: Limits) -> str:
    """Return a row for each value within the limits: run, metric, curve, place on the axis, value, smallest and
    largest.

    The last two differ from the value where a row stands for several records of a long run. Gaps are empty.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(["run", "metric", "curve", "smoothing", view.axis, "value", "smallest", "largest"])
    for metric, lines in found.items():
        for line in lines:
            curve = line.curve
            inside = (curve.x >= x[0]) & (curve.x <= x[1])
            smoothing = view.smoothing if line.role == "train" and metric in chart.SMOOTHED else 0.0
            head = [line.run.path.name, metric, line.role, f"{smoothing:g}"]
            columns = (curve.x[inside], curve.mean[inside], curve.low[inside], curve.high[inside])
            for values in zip(*(column.tolist() for column in columns), strict=True):
                writer.writerow([*head, *(repr(value) if math.isfinite(value) else "" for value in values)])
    return target.getvalue()


def svg_text(found: Mapping[str, Sequence[ChartLine]], view: View, x: Limits) -> str:
    """Return the charts below one another as an SVG image, with the signs of Unicode: it goes to no terminal."""
    parts, height, view = [], 0, replace(view, ascii=False)
    for metric, lines in found.items():
        scene = chart.scene(metric, lines, view, x, COLUMNS, None)
        entries = _legend(lines, scene)
        more = ROW * max((entry.row for entry in entries), default=0)
        parts.append(f'<g transform="translate(0 {height})">')
        parts += _head(metric, lines, view, scene, entries)
        parts.append(f'<g transform="translate(0 {more})">')
        parts += _panel(lines, scene)
        parts += ["</g>", "</g>"]
        height += HEIGHT + more
    size = f'width="{WIDTH}" height="{max(height, HEIGHT)}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])


def _head(
    metric: str, lines: Sequence[ChartLine], view: View, scene: Scene, entries: Sequence[LegendEntry]
) -> Iterator[str]:
    title = TITLES[metric] + (" (log)" if scene.log else "") + f" over {AXIS_LABELS[view.axis]}"
    dashes = {line.role for line in lines} & {"validation"}
    title += " (dashed: validation)" if dashes else ""
    title += f" ({markers.sign('test')}: test)" if any(line.role == "test" for line in lines) else ""
    yield f'<text x="{LEFT}" y="16" font-weight="bold">{escape(title)}</text>'
    for entry in entries:
        y = 31 + ROW * entry.row
        if entry.layer.role != "test":
            yield f'<path d="M{entry.x} {y}h{STROKE - 4}" {_style(entry.layer)}/>'
        yield f'<text x="{entry.x + STROKE}" y="{y + 4}" fill="{_colour(entry.layer.tone)}">{escape(entry.text)}</text>'


def _panel(lines: Sequence[ChartLine], scene: Scene) -> Iterator[str]:
    yield f'<rect x="{LEFT}" y="{TOP}" width="{COLUMNS}" height="{_down()}" fill="none" stroke="#888"/>'
    yield from _ticks(scene)
    if not lines:
        yield f'<text x="{LEFT + 8}" y="{TOP + 20}">no values</text>'
    for layer in scene.layers:
        path = _path(layer.stroke, scene)
        if path:
            yield f'<path d="{path}" {_style(layer)}/>'
        yield from _signs(layer, scene, markers.marker(layer.slot, layer.role))
    for point in scene.points:
        if scene.x[0] <= point.x <= scene.x[1]:
            across = LEFT + _part(point.x, scene.x) * COLUMNS
            place = f'x="{across:.1f}" y="{_y(point.y, scene) + 4:.1f}" text-anchor="middle"'
            yield f'<text {place} fill="{_colour(point.tone)}">{point.sign}{point.mark}</text>'


@dataclass(frozen=True)
class LegendEntry:
    """An entry of the legend: a stroke at ``x`` in a row (from 0), and the text behind it."""

    layer: PlotLayer
    text: str
    x: int
    row: int


def _legend(lines: Sequence[ChartLine], scene: Scene) -> list[LegendEntry]:
    """Return an entry for each run, or for each curve of a single one, in as many rows as it takes."""
    several = len({line.run for line in lines}) > 1
    entries: list[LegendEntry] = []
    x, row = LEFT, 0
    for line, layer in zip(lines, scene.layers, strict=True):
        if line.role == "raw" or (several and line.role != "train"):
            continue
        name = line.run.label if several else line.role
        signs = markers.marker(layer.slot, layer.role) + (markers.marker(layer.slot, "validation") if several else "")
        text = text_safe.shorten(f"{signs} {name}", (COLUMNS - STROKE) // LETTER)
        wide = STROKE + LETTER * text_safe.width(text)
        if x > LEFT and x + wide > LEFT + COLUMNS:
            x, row = LEFT, row + 1
        entries.append(LegendEntry(layer, text, x, row))
        x += wide + 16
    return entries


def _down() -> int:
    return HEIGHT - TOP - BOTTOM


def _part(value: float, limits: Limits) -> float:
    """Return where between the limits a value lies, 0 to 1; in halves, because their distance may be too large for a
    number.
    """
    span = limits[1] / 2 - limits[0] / 2
    return min(max((value / 2 - limits[0] / 2) / span, 0.0), 1.0) if span > 0 else 0.5


def _y(value: float, scene: Scene) -> float:
    return TOP + (1 - _part(value, scene.y)) * _down()


def _colour(tone: int) -> str:
    return COLOURS[(tone - markers.FIRST_LINE_TONE) // 2 % len(COLOURS)]


def _style(layer: PlotLayer) -> str:
    dash = f' stroke-dasharray="{DASHES[layer.role]}"' if layer.role in DASHES else ""
    faint = ' opacity="0.4"' if layer.role == "raw" else ""
    return f'fill="none" stroke="{_colour(layer.tone)}" stroke-width="1.5"{dash}{faint}'


def _path(stroke: Stroke, scene: Scene) -> str:
    """Return the line through smallest and largest value of each column, interrupted at gaps."""
    steps: list[str] = []
    before = math.nan
    for column in np.flatnonzero(~np.isnan(stroke.low)).tolist():
        ends = [_y(float(stroke.low[column]), scene), _y(float(stroke.high[column]), scene)]
        if not math.isnan(before) and abs(ends[1] - before) < abs(ends[0] - before):
            ends.reverse()
        on = stroke.joined[column] and not math.isnan(before)
        begin, end = (f"{y:.1f}" for y in ends)
        steps.append(f"{'L' if on else 'M'}{LEFT + column + 0.5:g} {begin}" + (f"V{end}" if end != begin else ""))
        before = ends[1]
    return "".join(steps)


def _signs(layer: PlotLayer, scene: Scene, sign: str) -> Iterator[str]:
    if not layer.signs or layer.role == "raw":
        return
    columns = np.flatnonzero(layer.stroke.placed)
    for column in columns[:: max(len(columns) // 12, 1)].tolist():
        y = _y(float(layer.stroke.low[column] / 2 + layer.stroke.high[column] / 2), scene)
        text = f'text-anchor="middle" fill="{_colour(layer.tone)}" font-size="10"'
        yield f'<text x="{LEFT + column + 0.5:g}" y="{y + 3.5:.1f}" {text}>{sign}</text>'


def _ticks(scene: Scene) -> Iterator[str]:
    low, high = scene.y
    positions, labels = ticks.value_ticks(low, high, 6, log=scene.log, shares=scene.shares)
    for place, label in zip(positions, labels, strict=True):
        y = _y(place, scene)
        yield f'<path d="M{LEFT} {y:.1f}h{COLUMNS}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    unit, suffix = ticks.time_unit(scene.x[1] - scene.x[0]) if scene.axis == "time" else (1.0, "")
    positions = ticks.nice_ticks(scene.x[0] / unit, scene.x[1] / unit, 8)
    for place, label in zip(positions, ticks.tick_texts(positions), strict=True):
        across = LEFT + _part(place * unit, scene.x) * COLUMNS
        yield f'<text x="{across:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}{suffix}</text>'

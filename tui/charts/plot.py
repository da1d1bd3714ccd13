"""One chart as rows of characters: axes, curves in Braille (or letters), markers. Numbers come in, text goes out.

Runs differ by marker as well as by colour, training and validation by a solid and a dashed line, with full and hollow
markers. No Textual.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import braille, ticks
from .braille import DOTS_ACROSS, DOTS_DOWN, Stroke
from .markers import AXIS, BLANK, GUTTER, Chart, ChartRow, marker, text_row

MARKER_EVERY = 14
TEXTURES = {"validation": "dashed", "raw": "dotted"}


@dataclass(frozen=True)
class PlotLayer:
    """A curve in place. The last layer is painted on top."""

    slot: int
    role: str
    stroke: Stroke
    tone: int
    signs: bool = True
    """Whether its marker is set along the line."""


@dataclass(frozen=True)
class PlotPoint:
    """A place that is marked with a sign: the best epoch, the test, or where a run diverged.

    ``mark`` stands beside the sign: the marker of its run, where there are several.
    """

    x: float
    y: float
    tone: int
    sign: str
    mark: str = ""


@dataclass(frozen=True)
class Scene:
    """What a chart is drawn from; ``y`` are the limits, log10 of them where ``log``. ``shares``: they are in per cent."""

    layers: tuple[PlotLayer, ...]
    points: tuple[PlotPoint, ...]
    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False
    axis: str = "step"
    ascii: bool = False
    shares: bool = False


def draw(name: str, scene: Scene, title: ChartRow, size: tuple[int, int], positive: bool = True) -> Chart:
    """Return the chart in ``size`` cells, its title above and the numbers of the x axis below."""
    width, height = size
    across, down = width - GUTTER, height - 2
    characters, tones = _canvas(scene, across, down)
    labels = _y_labels(scene, down)
    bar = "|" if scene.ascii else "│"
    rows = [title]
    for number in range(down):
        left = f"{labels.get(number, ''):>{GUTTER - 1}}{bar}"
        body = "".join(characters[number].tolist())
        rows.append(ChartRow(left + body, bytes([AXIS]) * GUTTER + tones[number].tobytes()))
    rows.append(_x_labels(scene, width, across))
    return Chart(name, tuple(rows), GUTTER, scene.x, scene.y, positive)


def _canvas(scene: Scene, across: int, down: int) -> tuple[NDArray[np.str_], NDArray[np.uint8]]:
    bits = np.zeros((down, across), dtype=np.uint8)
    characters = np.full((down, across), " ", dtype="<U1")
    tones = np.full((down, across), BLANK, dtype=np.uint8)
    behind = np.zeros((down, across), dtype=bool)
    signs: list[tuple[int, int, str, int]] = []
    for layer in scene.layers:
        if layer.role == "test":
            continue  # single values, which are among the points
        top, bottom = braille.spans(layer.stroke, *scene.y, down * DOTS_DOWN)
        texture = "solid" if scene.ascii else TEXTURES.get(layer.role, "solid")
        drawn = braille.cells(braille.dots(top, bottom, down * DOTS_DOWN, texture))
        covered, tone = drawn > 0, layer.tone
        # Raw curves are dotted, and give way where another one passes: they stay behind without colours too.
        bits = np.where(covered & behind & (layer.role != "raw"), 0, bits) | drawn
        behind = behind | covered if layer.role == "raw" else behind & ~covered
        tones[covered] = tone
        sign = marker(layer.slot, layer.role, scene.ascii)
        if scene.ascii:
            characters[covered] = sign
        elif layer.signs and layer.role != "raw":
            signs += [(row, column, sign, tone) for row, column in _sign_cells(layer, top, bottom, across, down)]
    if not scene.ascii:
        drawn = bits > 0
        characters[drawn] = (bits[drawn].astype(np.uint32) + 0x2800).view("<U1")
    for row, column, sign, tone in signs + _point_cells(scene, across, down)[0]:
        characters[row, column], tones[row, column] = sign, tone
    return characters, tones


def _sign_cells(layer: PlotLayer, top: NDArray, bottom: NDArray, across: int, down: int) -> list[tuple[int, int]]:
    """Return where the markers of a curve stand: at its points where they are few, along it otherwise, and at its end."""
    columns = np.flatnonzero(layer.stroke.placed & (top <= bottom))
    if not len(columns):
        return []
    if len(columns) * MARKER_EVERY / 4 > across:
        offset = (layer.slot * 5 + 3 * (layer.role != "train")) % MARKER_EVERY
        columns = columns[(columns % DOTS_ACROSS == 0) & (columns // DOTS_ACROSS % MARKER_EVERY == offset)]
        columns = np.append(columns, np.flatnonzero(layer.stroke.placed & (top <= bottom))[-1])
    rows = (top[columns] + bottom[columns]) // 2 // DOTS_DOWN
    positions = zip(rows.tolist(), (columns // DOTS_ACROSS).tolist(), strict=True)
    return [(row, column) for row, column in positions if 0 <= row < down]


def behind(scene: Scene, size: tuple[int, int]) -> list[tuple[PlotPoint, PlotPoint]]:
    """Return the signs of places that are not drawn in a chart of ``size`` cells, each with the one in its cell."""
    return _point_cells(scene, size[0] - GUTTER, size[1] - 2)[1]


def _point_cells(
    scene: Scene, across: int, down: int
) -> tuple[list[tuple[int, int, str, int]], list[tuple[PlotPoint, PlotPoint]]]:
    """Return the signs of places, and those that are behind another one.

    Where two would stand in one cell, the first is drawn: in another row or column the later one would tell another value
    or another epoch.
    """
    found: list[tuple[int, int, str, int]] = []
    hidden: list[tuple[PlotPoint, PlotPoint]] = []
    taken: dict[tuple[int, int], PlotPoint] = {}
    for point in scene.points:
        column = int(braille.columns_of(np.array([point.x]), *scene.x, across)[0])
        row = int(braille.rows_of(np.array([point.y]), *scene.y, down * DOTS_DOWN)[0]) // DOTS_DOWN
        if 0 <= column < across and 0 <= row < down:
            beside = column + 1 if column + 1 < across else column - 1
            columns = [column, *([beside] if point.mark and beside >= 0 else [])]
            other = next((taken[row, one] for one in columns if (row, one) in taken), None)
            if other is not None:
                hidden.append((point, other))
                continue
            taken.update(((row, one), point) for one in columns)
            found += [(row, one, sign, point.tone) for one, sign in zip(columns, point.sign + point.mark, strict=False)]
    return found, hidden


def _y_labels(scene: Scene, down: int) -> dict[int, str]:
    low, high = scene.y
    positions, labels = ticks.value_ticks(low, high, max(down // 3, 2), log=scene.log, shares=scene.shares)
    labels = ticks.fitting(labels, GUTTER - 1)
    rows = braille.rows_of(np.array(positions), low, high, down * DOTS_DOWN) // DOTS_DOWN
    return {int(row): label for row, label in zip(rows, labels, strict=True) if 0 <= row < down}


def _x_labels(scene: Scene, width: int, across: int) -> ChartRow:
    low, high = scene.x
    unit, suffix = ticks.time_unit(high - low) if scene.axis == "time" else (1.0, "")
    positions = ticks.nice_ticks(low / unit, high / unit, max(across // 8, 2))
    line = [" "] * width
    columns = braille.columns_of(np.array(positions) * unit, low, high, across)
    for column, text in zip(columns.tolist(), ticks.tick_texts(positions), strict=True):
        label = text + suffix
        start = min(max(GUTTER + column - len(label) // 2, 0), width - len(label))
        if (
            0 <= column < across
            and start >= 0
            and not "".join(line[max(start - 1, 0) : start + len(label) + 1]).strip()
        ):
            line[start : start + len(label)] = label
    return text_row([("".join(line), AXIS)], width)


def resolve_limits(
    before: tuple[float, float] | None,
    low: float,
    high: float,
    room: float,
    floor: float = -math.inf,
    ceiling: float = math.inf,
) -> tuple[float, float]:
    """Return the limits of an axis that hold still: those ``before`` as long as the values fit in and fill most of
    them.

    New ones get ``room`` (a part of their extent) above up to ``ceiling``, and below down to ``floor``, so that a growing
    curve moves only its own end.
    """
    if before is not None and before[0] <= low and high <= before[1] and high - low >= 0.6 * (before[1] - before[0]):
        return before
    extent = high / 2 - low / 2
    if extent <= abs(high) * 1e-9:
        extent = max(abs(high) * 0.05, 1e-6)
        room = 1.0
    margin = min(2 * extent * room, 1e300)
    limit = sys.float_info.max
    return max(low - margin, min(floor, low), -limit), min(high + margin, max(ceiling, high), limit)

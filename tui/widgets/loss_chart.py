"""A chart of curves. Behind it is plotext, through textual-plotext; its callers pass plain data.

A gap in a curve is a NaN. Whatever comes in, the numbers that go to the library can be plotted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual.app import RenderResult
from textual.color import Color
from textual_plotext import PlotextPlot

from ..charts import ticks

SIGNS = {"train": "⠤", "raw": "", "validation": "•", "test": "◆", "best": "x"}
"""What stands before each label in the title. Curves with few points have each of them marked with their sign, so that
they differ by more than colour."""
POINTS = ("validation", "test")
COLOURS = {"train": "primary", "raw": "secondary-muted", "validation": "warning", "test": "success", "best": "error"}
FALLBACK = "#808080"
SMALLEST = (16, 4)
GAP = math.nan


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


class LossChart(PlotextPlot):
    """Draws a chart again only when its data, its size or the theme changed, and never raises."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._data = ChartData("", "", ())
        self._drawn: tuple[object, Text] | None = None

    @property
    def data(self) -> ChartData:
        """What is shown."""
        return self._data

    def show(self, data: ChartData) -> None:
        """Show other data."""
        if data != self._data:
            self._data = data
            self.refresh()

    def render(self) -> RenderResult:
        key = (id(self._data), self.size, self.app.theme)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = (key, self._draw())
        return self._drawn[1]

    def _draw(self) -> Text:
        """Return the title and image as text; words where there is nothing to draw or the library gives up."""
        width, height = self.size
        if width < SMALLEST[0] or height < SMALLEST[1]:
            return Text("no room")
        lines = [line for line in (self._prepare(line) for line in self._data.lines) if not line.empty]
        title = self._title(lines)
        title.truncate(width, overflow="ellipsis")
        if not lines:
            return Text("\n").join((title, Text(self._why_empty())))
        try:
            return Text("\n").join((title, self._plot_lines(lines, width, height - 1)))
        except Exception as error:  # the library raises what it likes, and that must not end the app
            return Text("\n").join((title, Text(f"no chart: {type(error).__name__}")))

    def _title(self, lines: list[Line]) -> Text:
        """Name, axis and legend in one line: ``loss (log) over epochs  ⠤ train  • validation``."""
        data = self._data
        text = Text(no_wrap=True)
        text.append(data.title + (" (log)" if data.log else ""), style="bold")
        text.append(f" over {data.x_label}" if data.x_label else "")
        for line in lines:
            if line.label:
                colour = "#{:02x}{:02x}{:02x}".format(*self._colour(line.role))
                text.append("  ")
                text.append(f"{SIGNS[line.role]} {line.label}", style=colour)
        if data.note:
            text.append(f"  {data.note}", style="bold reverse")
        return text

    def _why_empty(self) -> str:
        if self._data.log and any(not line.empty for line in self._data.lines):
            return "no positive value, so no logarithmic axis"
        return "no values yet"

    def _prepare(self, line: Line) -> Line:
        ys = log_values(line.ys) if self._data.log else sanitise(line.ys)
        return Line(line.label, line.xs, ys, line.role)

    def _plot_lines(self, lines: list[Line], width: int, height: int) -> Text:
        plot = self.plt
        plot.clear_figure()
        plot.plotsize(width, height)
        plot._set_size(width, height)
        plot.theme(self._get_plotext_theme_name(self.app.theme))
        plot.xaxes(True, False)
        plot.yaxes(True, False)
        for line in lines:
            colour = self._colour(line.role)
            xs, ys = list(line.xs), list(line.ys)
            if line.role != "best":
                plot.plot(xs, ys, marker="braille", color=colour)
            if line.role in (*POINTS, "best"):
                plot.scatter(xs, ys, marker=SIGNS[line.role], color=colour)
        self._axes(lines, width, height)
        return Text.from_ansi(plot.build())

    def _axes(self, lines: list[Line], width: int, height: int) -> None:
        plot = self.plt
        low, high = _widened(self._data.y_range or finite_range(lines) or (0.0, 1.0))
        plot.ylim(low, high)
        max_count = max(height // 3, 3)
        positions = ticks.nice_ticks(low, high, max_count)
        labels = [ticks.tick_text(position) for position in positions]
        if self._data.log:
            positions, labels = ticks.log_ticks(low, high, max_count)
        plot.yticks(positions, labels)
        xs = [x for line in lines for x in line.xs if math.isfinite(x)]
        left, right = _widened((min(xs), max(xs)))
        plot.xlim(left, right)
        positions = ticks.nice_ticks(left, right, max(width // 12, 2))
        plot.xticks(positions, [ticks.tick_text(position) for position in positions])

    def _colour(self, role: str) -> tuple[int, int, int]:
        variables = self.app.theme_variables
        try:
            return Color.parse(variables.get(COLOURS[role], FALLBACK)).rgb
        except Exception:
            return Color.parse(FALLBACK).rgb


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Widen limits that are equal: an axis needs some extent, even for a single value."""
    low, high = limits
    margin = max(abs(low) * 0.1, 1e-6) if high - low < 1e-12 else 0.0
    return low - margin, high + margin


def sanitise(values: Sequence[float]) -> list[float]:
    """Return the values with infinities as gaps, since no axis can hold them."""
    return [value if math.isfinite(value) else GAP for value in values]


def log_values(values: Sequence[float]) -> list[float]:
    """Return log10 of the positive values; zero, negative and infinite ones become gaps."""
    return [math.log10(value) if 0 < value < math.inf else GAP for value in values]


def finite_range(lines: Sequence[Line]) -> tuple[float, float] | None:
    """Return the smallest and largest finite y of all lines; None where there is none."""
    values = [y for line in lines for y in line.ys if math.isfinite(y)]
    return (min(values), max(values)) if values else None

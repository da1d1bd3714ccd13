"""A chart of curves. Behind it is plotext, through textual-plotext; whoever uses it hands over plain data (charts.py)."""

from __future__ import annotations

import math

from rich.text import Text
from textual.app import RenderResult
from textual.color import Color
from textual_plotext import PlotextPlot

from .. import charts
from ..charts import ChartData, Line

MARKERS = {"train": "braille", "raw": "braille", "validation": "braille", "test": "braille", "best": "x"}
POINTS = {"validation": "•", "test": "◆"}
"""Curves with few points have each of them marked, so that they differ by more than colour."""
COLOURS = {"train": "primary", "raw": "secondary-muted", "validation": "warning", "test": "success", "best": "error"}
FALLBACK = "#808080"
SMALLEST = (16, 5)


class LossChart(PlotextPlot):
    """Draws a chart again only when its data, its size or the theme changed, and never raises."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="framed")
        self._data = ChartData("", "", ())
        self._drawn: tuple[object, Text] | None = None

    @property
    def data(self) -> ChartData:
        """What is shown."""
        return self._data

    def show(self, data: ChartData) -> None:
        """Show other data."""
        if data is self._data:
            return
        self._data = data
        self.border_title = f"{data.title} (log)" if data.log else data.title
        self.border_subtitle = data.note or f"x: {data.x_label}"
        self.refresh()

    def render(self) -> RenderResult:
        key = (id(self._data), self.size, self.app.theme)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = (key, self._draw())
        return self._drawn[1]

    def _draw(self) -> Text:
        """The picture as text; words where there is nothing to draw or the library gives up."""
        if self.size.width < SMALLEST[0] or self.size.height < SMALLEST[1]:
            return Text("no room")
        lines = [line for line in (self._prepare(line) for line in self._data.lines) if not line.empty]
        if not lines:
            return Text(self._why_empty())
        try:
            return self._plot_lines(lines)
        except Exception as error:  # the library raises what it likes, and that must not end the app
            return Text(f"no chart: {type(error).__name__}")

    def _why_empty(self) -> str:
        if self._data.log and any(not line.empty for line in self._data.lines):
            return "no positive value, so no logarithmic axis"
        return "no values yet"

    def _prepare(self, line: Line) -> Line:
        ys = charts.log_values(line.ys) if self._data.log else charts.sanitise(line.ys)
        return Line(line.label, line.xs, ys, line.role)

    def _plot_lines(self, lines: list[Line]) -> Text:
        plot = self.plt
        plot.clear_figure()
        plot.plotsize(self.size.width, self.size.height)
        plot._set_size(self.size.width, self.size.height)
        plot.theme(self._get_plotext_theme_name(self.app.theme))
        for line in lines:
            colour = self._colour(line.role)
            xs, ys = list(line.xs), list(line.ys)
            if line.role == "best":
                plot.scatter(xs, ys, marker=MARKERS["best"], color=colour, label=f"best {ys[-1]:.1%}")
                continue
            points = POINTS.get(line.role)
            plot.plot(xs, ys, marker=MARKERS[line.role], color=colour, label=None if points else line.label or None)
            if points:
                plot.scatter(xs, ys, marker=points, color=colour, label=line.label)
        self._axes(lines)
        return Text.from_ansi(plot.build())

    def _axes(self, lines: list[Line]) -> None:
        plot = self.plt
        found = charts.finite_range(lines)
        low, high = self._data.y_range or found or (0.0, 1.0)
        if self._data.log:
            places, labels = charts.log_ticks(low, high)
            plot.yticks(places, labels)
        if high - low < 1e-12:
            margin = max(abs(low) * 0.1, 1e-6)
            low, high = low - margin, high + margin
        plot.ylim(low, high)
        xs = [x for line in lines for x in line.xs if math.isfinite(x)]
        if xs and max(xs) - min(xs) < 1e-12:
            plot.xlim(min(xs) - 0.5, max(xs) + 0.5)

    def _colour(self, role: str) -> tuple[int, int, int]:
        variables = self.app.theme_variables
        try:
            return Color.parse(variables.get(COLOURS[role], FALLBACK)).rgb
        except Exception:
            return Color.parse(FALLBACK).rgb

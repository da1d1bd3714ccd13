"""What the mouse does with the charts: it points, picks, drags a stretch to zoom into, and zooms with its wheel."""

from __future__ import annotations

from dataclasses import replace

from textual import on

from ..charts import zoom
from ..charts.view import Window
from .chart_actions import ChartActions
from .chart_view import ChartView


class ChartMouse(ChartActions):
    """The charts with a mouse over them. Everything that it does is done by keys too."""

    @on(ChartView.Pointed)
    def _pointed(self, message: ChartView.Pointed) -> None:
        chart = message.view.chart
        if message.pressed or message.twice:
            self._pick(message.view.metric)
        if message.twice:
            self._do_one()
        elif chart is not None and chart.left and (message.pressed or self._hovering or self.x is None):
            self._point(chart, message.cell, hovering=not message.pressed)

    def _pick(self, metric: str) -> None:
        if metric != self.metric:
            self.metric = metric
            self._show_choice()

    @on(ChartView.PointerLeft)
    def _pointer_left(self) -> None:
        if self._hovering:
            self.x, self._hovering = None, False
            self._show_cursor()

    @on(ChartView.Dragged)
    def _dragged(self, message: ChartView.Dragged) -> None:
        chart = message.view.chart
        if chart is not None and chart.left:
            low, high = sorted((chart.place_of(message.begin), chart.place_of(message.end)))
            self.x = None
            self._set_window(replace(Window(), low=low, high=high))

    @on(ChartView.Turned)
    def _turned(self, message: ChartView.Turned) -> None:
        chart = message.view.chart
        if chart is not None and chart.left and self.drawn.extent is not None:
            place = chart.place_of(message.cell)
            factor = 0.5 if message.way > 0 else 2.0
            self._set_window(zoom.zoomed(self.drawn.x, self.drawn.extent, factor, place))

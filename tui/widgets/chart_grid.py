"""A grid of charts over the records of one or several runs, which follows them while they go on.

It works in any screen: :meth:`ChartGrid.show` says which runs, everything else is done by its keys and the mouse. A screen
that has one takes :class:`ChartCommands` in, so that the letters work from its other widgets too.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from ..core import key_bindings
from ..core.screen_export import Export
from .chart_mouse import ChartMouse


class ChartCommands:
    """What a screen with a :class:`ChartGrid` takes in: its commands, wherever the focus is."""

    def action_chart(self, what: str) -> None:
        """Hand a command on to the charts."""
        for found in self.query(ChartGrid):  # type: ignore[attr-defined]
            found.action_chart(what)

    def on_screen_suspend(self) -> None:
        """Behind another screen nothing is drawn."""
        for found in self.query(ChartGrid):  # type: ignore[attr-defined]
            found.pause(True)

    def on_screen_resume(self) -> None:
        """In sight again."""
        for found in self.query(ChartGrid):  # type: ignore[attr-defined]
            found.pause(False)


class ChartGrid(ChartMouse, can_focus=True):
    """Charts of the runs that :meth:`show` was given. ``memory`` keeps how the person wants to see them."""

    BINDINGS: ClassVar = [*key_bindings.bindings("grid"), *key_bindings.bindings("charts")]
    PLACES: ClassVar = ("grid", "charts")
    DEFAULT_CSS = """
    ChartGrid { height: 1fr; width: 1fr; layout: vertical; }
    ChartGrid #chart-legend { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    ChartGrid #chart-cells { height: 1fr; layout: grid; grid-gutter: 0 1; }
    ChartGrid ChartView { width: 1fr; height: 1fr; }
    """

    def export(self) -> Export:
        """What is shown as text; the curves as CSV and as an SVG picture."""
        reader, drawn = self._reader, self.drawn
        charts = [drawn.charts[name] for name in self.in_sight if name in drawn.charts]
        pictures = ["\n".join(row.text.rstrip() for row in chart.rows) for chart in charts]
        text = "\n\n".join([self._legend.text.plain.strip(), *pictures]) + "\n"
        if reader is None:
            return Export("curves", text)
        lines, view, x = {chart.name: reader.lines.get(chart.name, []) for chart in charts}, drawn.wanted.view, drawn.x

        def make(kind: str) -> str:
            from ..charts import export

            return export.csv_text(lines, view, x) if kind == "csv" else export.svg_text(lines, view, x)

        more = {
            "csv": ("CSV: every value of the charts in sight", partial(make, "csv")),
            "charts.svg": ("the charts in sight as an SVG picture", partial(make, "svg")),
        }
        return Export("curves", text, more=more)

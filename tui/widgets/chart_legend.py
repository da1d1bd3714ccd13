"""The line above the charts: how they are shown, and which run is which."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget

from ..charts import markers
from ..charts.view import AXIS_LABELS, ChartedRun, View
from .chart_view import line_styles


class ChartLegend(Widget):
    """One line: how the curves are shown, and which run has which marker."""

    def __init__(self, ascii: bool) -> None:
        super().__init__(id="chart-legend")
        self.text = Text()
        self._ascii = ascii

    def tell(self, runs: Sequence[ChartedRun], view: View, progress: float, page: str) -> None:
        """Say it of these runs, of which the part ``progress`` has been read; ``page``: where one is, or ""."""
        words = [f"over {AXIS_LABELS[view.axis]}"]
        words += [f"smoothing {view.smoothing:g}"] if view.smoothing else []
        words += [view.window.text] if view.window.text else []
        words += [f"reading {progress:.0%}"] if progress < 1 else []
        words += [page] if page else []
        text = Text(" " + " · ".join(words), no_wrap=True, overflow="ellipsis")
        styles = line_styles(self.app.theme)
        for run in runs if len(runs) > 1 else ():
            signs = markers.marker(run.slot, "train", self._ascii) + markers.marker(run.slot, "validation", self._ascii)
            style = styles[markers.line_tone(run.slot, "train")]
            text.append("  ")
            text.append(f"{signs} {run.label}{' (pinned)' if run.pinned else ''}", style=style)
        if text != self.text:
            self.text = text
            self.refresh()

    def render(self) -> RenderResult:
        return self.text

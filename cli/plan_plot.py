"""The learning rate over a planned run, for `train --plan` and for the lines before a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from ..tui.charts import plotext_chart
from ..tui.charts.plotext_chart import ChartData, ChartStyle, PlottedLine
from . import runs_plot

if TYPE_CHECKING:
    from ..trainer.planning.planner import Plan

LARGE, SMALL = (72, 9), (60, 7)


def rate_lines(plan: Plan, stream: TextIO, size: tuple[int, int] = LARGE) -> list[str]:
    """Return the chart without colours, in ASCII where ``stream`` has no more."""
    from ..trainer.planning import preview

    epochs, rates = zip(*preview.lr_curve(plan), strict=True)
    count = plan.config.recipe.epochs
    over = f"{count} {'epoch' if count == 1 else 'epochs'}"
    data = ChartData("learning rate", over, (PlottedLine("", epochs, rates),), y_range=(0.0, max(rates)))
    style = ChartStyle(runs_plot.style_of(stream).ascii)
    return plotext_chart.draw(plotext_chart.new_figure(), data, size, style).splitlines()

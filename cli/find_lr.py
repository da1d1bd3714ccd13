"""`cnn-explorer train NAME --find-lr`: the learning-rate range test, drawn in plain characters or as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TextIO

from ..tui.charts import plotext_chart
from ..tui.charts.plotext_chart import ChartData, PlottedLine
from . import runs_plot

if TYPE_CHECKING:
    from ..trainer.planning.lr_finder import RangeTest
    from ..trainer.planning.planner import Plan

TALLEST = 1.5
"""The axis ends at this many times the first loss: what lies above has blown up, however far."""


def as_dict(plan: Plan, found: RangeTest) -> dict[str, object]:
    """Return JSON-able values; docs/json.md describes them."""
    from ..trainer.common.json_safe import short

    rates = {"lowest": found.lowest, "steepest": found.steepest, "suggested": found.suggested}
    return {
        "network": plan.config.network.name,
        "dataset": plan.config.data.name,
        "optimizer": plan.config.recipe.optimizer,
        "batch_size": plan.config.recipe.batch_size,
        "rates": [short(rate) for rate in found.rates],
        "losses": [short(loss) for loss in found.losses],
        "smoothed": [short(loss) for loss in found.smoothed],
        "blew_up": found.blew_up,
        **{name: None if rate is None else short(rate) for name, rate in rates.items()},
    }


def as_text(plan: Plan, found: RangeTest, stream: TextIO) -> str:
    """Return the chart, as ``stream`` can show it, and what follows from it."""
    recipe = plan.config.recipe
    title = f"{plan.config.network.name} on {plan.config.data.name}, {recipe.optimizer}, batches of {recipe.batch_size}"
    chart = "the loss is not finite from the first steps on"
    if len(found.rates) > 1:
        figure, size = plotext_chart.new_figure(), runs_plot.size_of(stream)
        chart = plotext_chart.draw(figure, chart_data(found), size, runs_plot.style_of(stream))
    asked = f"; the run would take {recipe.lr:g}"
    return f"{title}\n{chart}\n{found.verdict}{asked}\n"


def chart_data(found: RangeTest) -> ChartData:
    """Return the smoothed losses over the logarithm of the rate, with a star at the suggestion."""
    powers = [math.log10(rate) for rate in found.rates]
    top = TALLEST * found.smoothed[0]
    losses = [min(loss, top) for loss in found.smoothed]
    lines = [PlottedLine("", powers, losses, "train")]
    if found.suggested is not None:
        power = math.log10(found.suggested)
        nearest = min(range(len(powers)), key=lambda place: abs(powers[place] - power))
        lines.append(PlottedLine(f"suggested {found.suggested:.2g}", [power], [losses[nearest]], "best"))
    return ChartData("loss", "the learning rate", tuple(lines), log_x=True)

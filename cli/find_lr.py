"""`cnn-explorer train NAME --find-lr`: the learning-rate range test, drawn in plain characters or as JSON."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..trainer.planning.lr_finder import RangeTest
    from ..trainer.planning.planner import Plan

HEIGHT = 18
WIDEST = 100
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


def as_text(plan: Plan, found: RangeTest) -> str:
    """Return the chart and what follows from it, without colour codes."""
    recipe = plan.config.recipe
    title = f"{plan.config.network.name} on {plan.config.data.name}, {recipe.optimizer}, batches of {recipe.batch_size}"
    chart = _chart(found) if len(found.rates) > 1 else "the loss is no finite number from the first steps on"
    asked = f"; the run would take {recipe.lr:g}"
    return f"{title}: loss over learning rate\n{chart}\n{found.verdict}{asked}\n"


def _chart(found: RangeTest) -> str:
    """Return the smoothed losses over the logarithm of the rate, with a line at the suggestion."""
    import plotext

    powers = [math.log10(rate) for rate in found.rates]
    top = TALLEST * found.smoothed[0]
    low = min(found.smoothed)
    ticks = range(math.ceil(powers[0]), math.floor(powers[-1]) + 1)
    plotext.clear_figure()
    try:
        plotext.theme("clear")
        plotext.plotsize(min(WIDEST, shutil.get_terminal_size().columns), HEIGHT)
        plotext.xticks(list(ticks), [f"1e{power}" for power in ticks])
        plotext.ylim(low, max(top, low + 1e-9))
        if found.suggested is not None:
            plotext.vline(math.log10(found.suggested))
        plotext.plot(powers, [min(loss, top) for loss in found.smoothed], marker="braille")
        return "\n".join(line.rstrip() for line in plotext.uncolorize(plotext.build()).splitlines())
    finally:
        plotext.clear_figure()

"""The thread behind the overview of a run: reads on in it, and draws loss and accuracy with plotext when they changed.

No Textual: the owner is told through a callback, and gives the figures that are drawn with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..background_loop import BREATH_S, BackgroundLoop
from . import plotext_chart, run_curves
from .followers import UNREAD, Follower, Followers
from .history import History
from .plotext_chart import ChartStyle
from .run_curves import PlottedRun
from .view import Curves

EVERY_S = 0.5
AT_LEAST_S = 0.25
"""No two drawings follow one another sooner: at most four are painted a second."""


@dataclass(frozen=True)
class WantedOverview:
    """A run and the sizes in cells of its charts, by metric. Without sizes nothing is drawn, and the run is still read."""

    path: Path | None = None
    sizes: tuple[tuple[str, tuple[int, int]], ...] = ()
    style: ChartStyle = field(default_factory=ChartStyle)


@dataclass(frozen=True)
class DrawnOverview:
    """``charts`` by metric as text with ANSI colours, and what is known of the run."""

    wanted: WantedOverview
    charts: Mapping[str, str]
    known: Curves


class OverviewReader:
    """``on_drawn`` is called in the thread of :meth:`run`. ``figures`` are plotext's, by metric, and used there alone."""

    def __init__(
        self,
        on_drawn: Callable[[DrawnOverview], None],
        followers: Followers,
        figures: Mapping[str, Any],
        every_s: float = EVERY_S,
    ) -> None:
        self._on_drawn = on_drawn
        self._followers = followers
        self._figures = figures
        self._every_s = every_s
        self._loop = BackgroundLoop(lambda wanted: self.step(wanted, time.monotonic()), WantedOverview())
        self._follower: Follower | None = None
        self._more = False
        self._drawn: tuple[object, ...] = ()
        self._drawn_at = -math.inf

    def want(self, wanted: WantedOverview) -> None:
        """Show this from now on."""
        self._loop.want(wanted)

    def data(self) -> dict[str, Any]:
        """Return the curves that are shown as numbers. For any thread."""
        follower, wanted = self._follower, self._loop.wanted
        if follower is None:
            return {}
        with follower.guard:
            run = PlottedRun("", follower.history or History(), follower.evaluations)
            return {
                "axis": "epoch",
                **{
                    metric: run_curves.as_dict(metric, run, plotext_chart.canvas_columns(width))
                    for metric, (width, _) in wanted.sizes
                },
            }

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        try:
            self._loop.run()
        finally:
            self._watch(None)

    def step(self, wanted: WantedOverview, now: float) -> float:
        """Read on, and draw what is new where the last drawing is long enough ago; returns when to come again."""
        follower = self._watch(wanted.path)
        if follower is None:
            return self._every_s
        self._more = follower.read(whole=True, recent_s=0.0 if self._more else self._every_s / 2)
        key = (wanted, follower.version, follower.stage > UNREAD)
        if key != self._drawn:
            other = not self._drawn or wanted != self._drawn[0]
            left = self._drawn_at + (AT_LEAST_S if other or not self._more else self._every_s) - now
            if left > 0:
                return BREATH_S if self._more else left
            self._drawn, self._drawn_at = key, now
            self._on_drawn(self._draw(wanted, follower))
        return BREATH_S if self._more else self._every_s

    def _watch(self, path: Path | None) -> Follower | None:
        """Return the follower of the run that is wanted; that of another one is left."""
        if self._follower is not None and self._follower.path != path:
            self._followers.leave(self._follower.path, whole=True)
            self._follower = None
        if self._follower is None and path is not None:
            self._follower = self._followers.watch(path, whole=True)
        return self._follower

    def _draw(self, wanted: WantedOverview, follower: Follower) -> DrawnOverview:
        with ExitStack() as held:
            held.enter_context(follower.guard)
            history = follower.history or History()
            run = PlottedRun("", history, follower.evaluations)
            empty = "reading …" if follower.stage == UNREAD else "no values"
            found = {
                metric: run_curves.chart_data(metric, [run], plotext_chart.canvas_columns(width), empty=empty)
                for metric, (width, _) in wanted.sizes
            }
            known = history.summary(follower.path, follower.progress)
        charts = {
            metric: plotext_chart.draw(self._figures[metric], found[metric], size, wanted.style)
            for metric, size in wanted.sizes
        }
        return DrawnOverview(wanted, charts, known)

"""The thread behind the charts: reads on in the runs that are shown, and draws when there is something new.

No Textual: the owner is told through a callback.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ..background_loop import BREATH_S, BackgroundLoop
from . import chart, plot
from .chart import ChartLine, ChartRequest
from .followers import Follower, Followers
from .history import History
from .markers import Chart
from .view import Curves, Drawn, Limits, Readout, View, Wanted, Window

AT_MOST_EVERY_S = 0.5
MAX_DISTANCE = 0.04
"""The cursor takes a value from at most this far, as a part of what is shown; so points a cell away are met."""


class ChartReader:
    """``on_drawn`` is called in the thread of :meth:`run` with whatever is drawn anew."""

    def __init__(
        self, on_drawn: Callable[[Drawn], None], followers: Followers, every_s: float = AT_MOST_EVERY_S
    ) -> None:
        self._on_drawn = on_drawn
        self._followers = followers
        self._every_s = every_s
        self._loop = BackgroundLoop(self._step, Wanted())
        self._answered = self._loop.wanted
        """What was drawn last, as the object that was asked for: who asks for the same once more gets it once more."""
        self._drawn_at = -math.inf
        self._watched: dict[Path, Follower] = {}
        self._seen: dict[Path, int] = {}
        """The version of each run that was drawn last."""
        self._going_on: set[Path] = set()
        """The runs in which this thread is reading on."""
        self._lines: dict[str, list[ChartLine]] = {}
        self._x: tuple[object, Limits] | None = None
        self._y: dict[str, tuple[object, Limits]] = {}

    def want(self, wanted: Wanted) -> None:
        """Draw these runs in this view from now on, at once."""
        self._loop.want(wanted)

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    @property
    def lines(self) -> dict[str, list[ChartLine]]:
        """The curves of each chart as they were drawn last; they do not change any more. For any thread."""
        return self._lines

    def values(self, metric: str, x: float) -> list[Readout]:
        """Return the values of the lines of a chart at a place, as they were drawn last. For the owner's thread."""
        low, high = self._x[1] if self._x else (x, x)
        return chart.readouts(self._lines.get(metric, []), x, (high / 2 - low / 2) * MAX_DISTANCE)

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        try:
            self._loop.run()
        finally:
            self._watch(Wanted())

    def _step(self, wanted: Wanted) -> float:
        """Read on, and draw where something is new or asked for; returns when to come again."""
        followers = self._watch(wanted)
        more = self._read(followers)
        news = [follower for follower in followers if self._seen.get(follower.path) != follower.version]
        # The sketch of a long file is drawn at once.
        begun = any(follower.path not in self._seen for follower in news)
        due = not more or time.monotonic() - self._drawn_at >= self._every_s
        if wanted is not self._answered or begun or (news and due):
            self._on_drawn(self._draw(wanted, followers))
            self._answered, self._drawn_at = wanted, time.monotonic()
        return BREATH_S if more else self._every_s

    def _watch(self, wanted: Wanted) -> list[Follower]:
        """Return the followers of the runs that are wanted; those of others are left."""
        paths = {run.path for run in wanted.runs}
        new = {path: self._followers.watch(path, whole=True) for path in paths - self._watched.keys()}
        for path in self._watched.keys() - paths:
            self._followers.leave(path, whole=True)
            self._seen.pop(path, None)
        self._watched = {path: follower for path, follower in self._watched.items() if path in paths} | new
        return [self._watched[run.path] for run in wanted.runs]

    def _read(self, followers: list[Follower]) -> bool:
        """Read on in each run, unless another thread does; whether there is more to read at once."""
        self._going_on = {
            follower.path
            for follower in followers
            if follower.read(whole=True, recent_s=0.0 if follower.path in self._going_on else self._every_s / 2)
        }
        return bool(self._going_on)

    def _draw(self, wanted: Wanted, followers: list[Follower]) -> Drawn:
        view = wanted.view
        with ExitStack() as held:
            # In an order that is the same for all threads, so that no two wait for one another.
            for follower in sorted(followers, key=lambda follower: follower.path):
                held.enter_context(follower.guard)
            histories = [follower.history or History() for follower in followers]
            self._seen.update((follower.path, follower.version) for follower in followers)
            known = tuple(
                history.summary(follower.path, follower.progress)
                for history, follower in zip(histories, followers, strict=True)
            )
            extent = _extent(histories, view.axis)
            x = self._x_limits((wanted.runs, view), histories, view, extent)
            runs = list(zip(wanted.runs, histories, strict=True))
            found = {metric: chart.lines(metric, runs, view) for metric, _ in wanted.charts}
        charts = self._charts(wanted, found, known, x)
        self._lines = found
        return Drawn(wanted, charts, known, x, extent)

    def _charts(
        self, wanted: Wanted, found: dict[str, list[ChartLine]], known: tuple[Curves, ...], x: Limits
    ) -> dict[str, Chart]:
        key, charts = (wanted.runs, wanted.view), {}
        for metric, size in wanted.charts:
            before = self._y.get(metric)
            request = ChartRequest(metric, size, x, before[1] if before and before[0] == key else None)
            charts[metric] = chart.chart(request, found[metric], known, wanted.view)
            self._y[metric] = (key, charts[metric].y)
        return charts

    def _x_limits(self, key: object, histories: list[History], view: View, extent: Limits | None) -> Limits:
        before = self._x[1] if self._x and self._x[0] == key else None
        low, high = window_limits(view.window, histories, view.axis, extent or (0.0, 1.0))
        if not view.window.fixed:
            low, high = _followed(before, low, high)
        self._x = (key, (low, high))
        return low, high


def _extent(histories: list[History], axis: str) -> Limits | None:
    found = [extent for history in histories if (extent := history.extent(axis))]
    return (min(low for low, _ in found), max(high for _, high in found)) if found else None


def window_limits(window: Window, histories: list[History], axis: str, extent: Limits) -> Limits:
    """Return the part of the x axis that a window means."""
    low, high = extent
    if window.fixed:
        return window.low, window.high
    if window.span:
        return high - window.span, high
    if window.percent:
        return high - (high - low) * window.percent / 100, high
    if window.steps:
        starts = []
        for history in histories:
            steps = history.extent("step")
            start = history.place_of_step(steps[1] - window.steps, axis) if steps else None
            starts += [] if start is None else [start]
        return min(starts, default=low), high
    return low, high


def _followed(before: Limits | None, low: float, high: float) -> Limits:
    """Return the limits that follow a growing run in jumps: in between only the end of the curve changes on the screen."""
    if before is None:
        return low, high
    fits = before[0] <= low + (high - low) * 2 * chart.ROOM and low >= before[0]
    if fits and high <= before[1] and before[1] - before[0] <= (high - low) * (1 + 3 * chart.ROOM):
        return before
    return plot.resolve_limits(None, low, high, chart.ROOM, floor=low)

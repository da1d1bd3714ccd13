"""The thread behind the charts: follows the records of the runs that are shown, and draws when there is something new.

A long file is sketched first from records spread over it, so that the first curve is there at once; then it is read to its
end in the background, and the curves become exact from the left. No Textual: the owner is told through a callback.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from ...trainer.runs.tail import MetricsTail, skim
from . import chart, plot
from .chart import Line, Request
from .history import History
from .view import Drawn, Limits, Readout, View, Wanted, Window

AT_MOST_EVERY_S = 0.5
READ_S = 0.05
BREATH_S = 0.005
SKETCHED_ABOVE = 2 << 20
"""Files of more bytes than this are sketched before they are read."""
SKETCH_RECORDS = 1500
REACH = 0.04
"""The cursor takes a value from at most this far, as a part of what is shown; so points a cell away are met."""
KEPT = 8
"""So many runs stay in memory after they are no longer shown."""


class _Follower:
    """One run: its file and its history."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history = History()
        self.progress = 0.0
        self._tail = MetricsTail(path)
        self._begun = False

    def sketch(self) -> bool:
        """At the first look at a long file: take samples. Whether there were any."""
        if self._begun:
            return False
        self._begun = True
        if self._size() < SKETCHED_ABOVE:
            return False
        self.history.sketch_from(skim(self.path, SKETCH_RECORDS))
        return True

    def read(self) -> tuple[bool, bool]:
        """Read on for a moment: whether something is new, and whether there is more to read at once."""
        batch = self._tail.read(budget_s=READ_S)
        if batch.reset:
            self.history = History()
        self.history.add(batch.records)
        if not batch.more:
            self.history.without_sketch()
        self.progress = min(self._tail.position / max(self._size(), 1), 1.0) if batch.more else 1.0
        return bool(batch.records or batch.reset), batch.more

    def _size(self) -> int:
        try:
            return os.stat(self.path / "metrics.jsonl").st_size
        except OSError:
            return 0


class ChartReader:
    """``on_drawn`` is called in the thread of :meth:`run` with every new picture."""

    def __init__(self, on_drawn: Callable[[Drawn], None], every_s: float = AT_MOST_EVERY_S) -> None:
        self._on_drawn = on_drawn
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._wanted = Wanted()
        self._followers: OrderedDict[Path, _Follower] = OrderedDict()
        self._lines: dict[str, list[Line]] = {}
        self._x: tuple[object, Limits] | None = None
        self._y: dict[str, tuple[object, Limits]] = {}
        self._stopped = False

    def want(self, wanted: Wanted) -> None:
        """From now on these runs in this view; drawn at once."""
        with self._guard:
            self._wanted = wanted
        self._wake.set()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True
        self._wake.set()

    @property
    def lines(self) -> dict[str, list[Line]]:
        """The curves of each chart as they were drawn last; they do not change any more. For any thread."""
        return self._lines

    def values(self, metric: str, x: float) -> list[Readout]:
        """The values of the lines of a chart at a place, as they were drawn last. For the owner's thread."""
        low, high = self._x[1] if self._x else (x, x)
        return chart.readouts(self._lines.get(metric, []), x, (high / 2 - low / 2) * REACH)

    def run(self) -> None:
        """The loop; returns after :meth:`stop`. Runs in a thread of its own."""
        drawn_at, waiting = 0.0, False
        while not self._stopped:
            asked = self._wake.is_set()
            self._wake.clear()
            with self._guard:
                wanted = self._wanted
            followers = self._follow(wanted)
            sketches = [follower.sketch() for follower in followers]
            sketched = any(sketches)
            news = [(False, True)] if sketched else [follower.read() for follower in followers]
            waiting = waiting or asked or any(new for new, _ in news)
            more = any(more for _, more in news)
            due = not more or time.monotonic() - drawn_at >= self._every_s
            if waiting and (asked or sketched or due):
                self._on_drawn(self._draw(wanted, followers))
                drawn_at, waiting = time.monotonic(), False
            # A breath lets the screen's thread have the interpreter.
            self._wake.wait(BREATH_S if more else self._every_s)

    def _follow(self, wanted: Wanted) -> list[_Follower]:
        for run in wanted.runs:
            if run.path not in self._followers:
                self._followers[run.path] = _Follower(run.path)
            self._followers.move_to_end(run.path)
        while len(self._followers) > max(KEPT, len(wanted.runs)):
            self._followers.popitem(last=False)
        return [self._followers[run.path] for run in wanted.runs]

    def _draw(self, wanted: Wanted, followers: list[_Follower]) -> Drawn:
        runs = list(zip(wanted.runs, (follower.history for follower in followers), strict=True))
        known = tuple(follower.history.summary(follower.path, follower.progress) for follower in followers)
        extent = _extent([history for _, history in runs], wanted.view.axis)
        key = (wanted.runs, wanted.view)
        x = self._x_limits(key, [history for _, history in runs], wanted.view, extent)
        found = {metric: chart.lines(metric, runs, wanted.view) for metric, _ in wanted.charts}
        charts = {}
        for metric, size in wanted.charts:
            before = self._y.get(metric)
            request = Request(metric, size, x, before[1] if before and before[0] == key else None)
            charts[metric] = chart.chart(request, found[metric], known, wanted.view)
            self._y[metric] = (key, charts[metric].y)
        self._lines = found
        return Drawn(wanted, charts, known, x, extent)

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
    """The part of the x axis that a window means."""
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
    """Limits that follow a growing run in jumps: in between only the end of the curve changes on the screen."""
    if before is None:
        return low, high
    fits = before[0] <= low + (high - low) * 2 * chart.ROOM and low >= before[0]
    if fits and high <= before[1] and before[1] - before[0] <= (high - low) * (1 + 3 * chart.ROOM):
        return before
    return plot.settle(None, low, high, chart.ROOM, floor=low)

"""`cnn-explorer runs plot` and the charts of `runs watch --plot` and `train --plot`: curves in the plain terminal."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from ..errors import UsageError, nearest
from ..trainer.runs.reader import RunSnapshot, read_run
from ..trainer.runs.states import STATES
from ..tui.charts import plotext_chart, run_curves
from ..tui.charts.followers import Follower
from ..tui.charts.history import History
from ..tui.charts.plotext_chart import ChartStyle
from ..tui.charts.run_curves import PlottedRun
from ..tui.charts.view import METRICS
from .runs_text import Screen
from .runs_watch import standing

IN_PIPE = (80, 20)
SMALLEST, LARGEST = (20, 6), (500, 200)
MOST_ROWS = 24
EVERY_S = 0.3
"""A chart is drawn again at most once in so many seconds: less than four times a second."""


class Plotter:
    """Reads runs and draws them in one chart, as far as they are written."""

    def __init__(self, paths: Sequence[Path], metric: str = "loss") -> None:
        self.metric = metric
        self._followers = [Follower(path) for path in paths]
        self._figure: Any = None

    def read(self) -> int:
        """Read all that is written by now; returns a number that changes when there is something new."""
        for follower in self._followers:
            while follower.read(whole=True):
                pass
        return sum(follower.version for follower in self._followers)

    @property
    def runs(self) -> list[PlottedRun]:
        """The runs as they were read last. Where there are several, each has its number and its name."""
        alone = len(self._followers) == 1
        return [
            PlottedRun(
                _name(follower.path), follower.history or History(), follower.evaluations, None if alone else number
            )
            for number, follower in enumerate(self._followers)
        ]

    def has_values(self, metric: str, run: PlottedRun) -> bool:
        """Return whether there is anything to draw of a run."""
        return any(not line.empty for line in run_curves.chart_data(metric, [run], IN_PIPE[0]).lines)

    def draw(self, size: tuple[int, int], style: ChartStyle) -> str:
        """Return the chart."""
        self._figure = self._figure or plotext_chart.new_figure()
        data = run_curves.chart_data(self.metric, self.runs, plotext_chart.canvas_columns(size[0]))
        return plotext_chart.draw(self._figure, data, size, style)

    def check(self, *, as_data: bool = False) -> None:
        """Raise UsageError for a run of whose metric there is nothing to draw; ``as_data``: nothing to tell.

        A loss that is not a number cannot be drawn; among data it is a null.
        """
        for follower, run in zip(self._followers, self.runs, strict=True):
            if self.has_values(self.metric, run):
                continue
            known = run_curves.as_dict(self.metric, run, IN_PIPE[0])
            if as_data and (known["train"] or known["validation"]):
                continue
            others = [metric for metric in METRICS if self.has_values(metric, run)]
            hint = f"--metric {' or '.join(others)} has some" if others else "it has no records yet"
            why = run_curves.chart_data(self.metric, [run], IN_PIPE[0], empty="").empty
            told = f"has no values of {self.metric} to draw" + (f": {why}" if why else "")
            raise UsageError("run", follower.path.name, f"{told}; {hint}")

    def as_dict(self, columns: int) -> dict[str, Any]:
        """Return what the chart shows as numbers: the training in at most ``columns`` rows, all evaluations."""
        runs = [
            {"id": follower.path.name} | run_curves.as_dict(self.metric, run, columns)
            for follower, run in zip(self._followers, self.runs, strict=True)
        ]
        return {"metric": self.metric, "axis": "epoch", "runs": runs}


def _name(path: Path) -> str:
    """Return a short name of a run: its network, and the end of its id."""
    return f"{read_run(path).network or 'run'} {path.name.rpartition('-')[2][-8:]}"


def check_metric(metric: str) -> str:
    """Return a metric that can be drawn, or raise UsageError."""
    if metric not in METRICS:
        raise UsageError("--metric", metric, f"is unknown; {nearest(metric, METRICS)}")
    return metric


def parse_size(text: str) -> tuple[int, int]:
    """Return the columns and rows of ``80x20``, or raise UsageError."""
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text.strip().lower(), re.ASCII)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(low <= given <= high for low, given, high in zip(SMALLEST, size, LARGEST, strict=True)):
        bounds = " to ".join(f"{columns}x{rows}" for columns, rows in (SMALLEST, LARGEST))
        raise UsageError("--size", text, f"must be COLUMNSxROWS such as 80x20, from {bounds}")
    return size


def size_of(stream: TextIO) -> tuple[int, int]:
    """Return the size of a chart: that of the terminal, without the last column and the lines below it."""
    if not stream.isatty():
        return IN_PIPE
    columns, rows = shutil.get_terminal_size()
    return max(columns - 1, SMALLEST[0]), max(min(rows - 3, MOST_ROWS), SMALLEST[1])


def style_of(stream: TextIO) -> ChartStyle:
    """Return the style that a stream allows: no colours in a pipe or with NO_COLOR, ASCII where its encoding has no more."""
    screen = Screen.of(stream)
    colours = plotext_chart.TERMINAL_COLOURS if screen.colour else None
    return ChartStyle(not screen.signs, colours, plotext_chart.TERMINAL_RUNS)


def follow(path: Path, stream: TextIO, metric: str = "loss") -> bool:
    """Draw a metric of a run until it ends; return whether it ended well. In a pipe, one chart at the end."""
    plotter, screen = Plotter([path], metric), _InPlace(stream)
    drawn: object = None
    while True:
        run = read_run(path)  # before the records: those that precede the end are then all read
        key = plotter.read(), standing(run), size_of(stream)
        if key != drawn and (screen.in_place or not run.live):
            screen.show(_with_standing(plotter, run, stream))
            drawn = key
        if not run.live:
            return STATES[run.state].good
        time.sleep(EVERY_S)


def _with_standing(plotter: Plotter, run: RunSnapshot, stream: TextIO) -> list[str]:
    """Return the lines of the chart, as far as there is one, and how the run stands."""
    lines = []
    if plotter.has_values(plotter.metric, plotter.runs[0]):
        lines = plotter.draw(size_of(stream), style_of(stream)).split("\n")
    words = standing(run)
    return [*lines, words[: size_of(stream)[0]] if stream.isatty() and run.live else words]


class _InPlace:
    """Lines that replace those shown before, where the stream is a terminal that can do so."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = 0
        self.in_place = stream.isatty() and os.environ.get("TERM") != "dumb"

    def show(self, lines: Sequence[str]) -> None:
        """Show lines, over those before."""
        back = f"\x1b[{self._rows}F\x1b[J" if self._rows else ""
        self._stream.write(back + "\n".join(lines) + "\n")
        self._stream.flush()
        self._rows = len(lines) if self.in_place else 0


class TrainingPlot:
    """The chart above the progress bar of a training on a terminal: the loss, drawn again after an epoch."""

    def __init__(self) -> None:
        self._plotters: dict[Path, Plotter] = {}
        self._drawn: dict[Path, tuple[float, str]] = {}

    def __call__(self, path: Path) -> str:
        """Return the chart of a run, the one before where that is only a moment old."""
        at, text = self._drawn.get(path, (0.0, ""))
        if time.monotonic() - at < EVERY_S:
            return text
        plotter = self._plotters.setdefault(path, Plotter([path]))
        plotter.read()
        text = plotter.draw(size_of(sys.stderr), style_of(sys.stderr))
        self._drawn[path] = time.monotonic(), text
        return text


def print_final(paths: Sequence[Path], stream: TextIO) -> None:
    """Draw the loss of each run once, at the end; of a run without records nothing."""
    for path in paths:
        plotter = Plotter([path])
        plotter.read()
        if plotter.has_values(plotter.metric, plotter.runs[0]):
            name = [path.name] if len(paths) > 1 else []
            print("\n".join([*name, plotter.draw(size_of(stream), style_of(stream))]), file=stream, flush=True)

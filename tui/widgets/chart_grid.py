"""A grid of charts over the records of one or several runs, which follows them while they go on.

It works in any screen: :meth:`ChartGrid.show` says which runs, everything else is done by its keys and the mouse. A screen
that has one takes :class:`ChartCommands` in, so that the letters work from its other widgets too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult, RenderResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from .. import commands, marks, windows
from ..curves import AXES, AXIS_LABELS, METRICS, SMOOTHINGS, TITLES, ChartedRun, Curves, Drawn, View, Wanted, Window
from ..export import Export
from ..gridlayout import Grid, grid
from ..marks import MUTED
from ..memory import Memory
from .chart_view import ChartView, line_styles

if TYPE_CHECKING:
    from ..chartreader import ChartReader

SHORT = {"validation": "val."}
NOTHING = Drawn(Wanted())


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


class ChartLegend(Widget):
    """One line: how the curves are shown, and which run has which marker."""

    def __init__(self) -> None:
        super().__init__(id="chart-legend")
        self.text = Text()

    def update(self, text: Text) -> None:
        """Show another text."""
        if text != self.text:
            self.text = text
            self.refresh()

    def render(self) -> RenderResult:
        return self.text


class ChartGrid(Widget, can_focus=True):
    """Charts of the runs that :meth:`show` was given. ``memory`` keeps how the person wants to see them."""

    BINDINGS: ClassVar = [*commands.bindings("grid"), *commands.bindings("charts")]
    PLACES: ClassVar = ("grid", "charts")
    DEFAULT_CSS = """
    ChartGrid { height: 1fr; width: 1fr; layout: vertical; }
    ChartGrid #chart-legend { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    ChartGrid #chart-cells { height: 1fr; layout: grid; grid-gutter: 0 1; }
    ChartGrid ChartView { width: 1fr; height: 1fr; }
    """

    @dataclass
    class Read(Message):
        """The runs were read further; ``runs`` says what is known of each of them."""

        grid: ChartGrid
        runs: tuple[Curves, ...]

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartGrid.Read) and message.grid is self.grid

    @dataclass
    class Painted(Message):
        """The thread has a new picture."""

        drawn: Drawn

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartGrid.Painted)

    @dataclass
    class OneChart(Message):
        """One chart has, or had, all the room: other things may give way (``alone``) or come back."""

        grid: ChartGrid
        alone: bool

    def __init__(
        self, memory: Memory | None = None, *, ascii: bool = False, every_s: float = 0.5, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.memory = memory or Memory()
        self.metric = METRICS[0]
        self.alone = False
        self.drawn = NOTHING
        self.x: float | None = None
        """Where the cursor is on the x axis."""
        self._hovering = False
        self._ascii = ascii
        self._every_s = every_s
        self._runs: tuple[ChartedRun, ...] = ()
        self._window = Window()
        self._wanted = Wanted()
        self._reader: ChartReader | None = None
        self._paused = False
        self._over = False

    def compose(self) -> ComposeResult:
        yield ChartLegend()
        with Container(id="chart-cells"):
            for metric in METRICS:
                yield ChartView(metric)

    def on_mount(self) -> None:
        self._arrange()
        self._follow()

    def on_unmount(self) -> None:
        self._over = True
        if self._reader is not None:
            self._reader.stop()

    def show(self, runs: Sequence[ChartedRun]) -> None:
        """Show these runs and no others; they are followed until others are shown."""
        runs = tuple(runs)
        if runs == self._runs:
            return
        if {run.path for run in runs} != {run.path for run in self._runs}:
            self.x, self._hovering = None, False
            if self._window.fixed or self._window.span:
                self._window = Window()
        self._runs = runs
        self._ask()

    def pause(self, paused: bool) -> None:
        """Draw nothing for the time being, or go on; records are read all the same."""
        self._paused = paused
        self._ask()

    @property
    def runs(self) -> tuple[ChartedRun, ...]:
        """The runs that are shown."""
        return self._runs

    @property
    def charts(self) -> tuple[str, ...]:
        """The metrics that have a chart, in order."""
        chosen = tuple(name for name in METRICS if name in self.memory.charts.split())
        return chosen or METRICS

    @property
    def view(self) -> View:
        """How the curves are shown."""
        memory = self.memory
        axis = memory.axis if memory.axis in AXES else AXES[0]
        return View(axis, memory.smoothing, frozenset(memory.log_charts.split()), self._window, self._ascii)

    def known(self, run: ChartedRun) -> Curves | None:
        """What was read of a run so far."""
        return next((curves for curves in self.drawn.runs if curves.path == run.path), None)

    # Arrangement

    @property
    def arrangement(self) -> Grid:
        """How many charts there are in sight."""
        place = self.query_one("#chart-cells")
        return grid(place.size.width, place.size.height, 1 if self.alone else len(self.charts))

    @property
    def in_sight(self) -> tuple[str, ...]:
        """The metrics whose charts are in sight."""
        if self.alone:
            return (self.metric,)
        found, names = self.arrangement, self.charts
        page = found.page_of(names.index(self.metric))
        return names[page * found.per_page : (page + 1) * found.per_page]

    def on_resize(self) -> None:
        self._arrange()

    @on(ChartView.Resized)
    def _view_resized(self) -> None:
        # The views get their size after the grid has got its own, at a time that nobody else tells.
        self._ask()

    def _arrange(self) -> None:
        if self.metric not in self.charts:
            self.metric = self.charts[0]
        found, shown = self.arrangement, self.in_sight
        cells = self.query_one("#chart-cells")
        cells.styles.grid_size_columns = min(found.columns, len(shown))
        cells.styles.grid_size_rows = -(-len(shown) // found.columns)
        for view in self.query(ChartView):
            view.display = view.metric in shown
            view.choose(view.metric == self.metric and len(self.charts) > 1)
        self.call_after_refresh(self._ask)

    # The thread

    @work(thread=True, exclusive=True, group="charts", exit_on_error=False, description="reads and draws curves")
    def _follow(self) -> None:
        from ..chartreader import (
            ChartReader,
        )  # numpy: loaded when there is something to draw, and not in the screen's thread

        self._reader = reader = ChartReader(self._painted, self._every_s)
        reader.want(self._wanted)
        if not self._over:
            reader.run()

    def _painted(self, drawn: Drawn) -> None:
        self.post_message(self.Painted(drawn))

    def _ask(self) -> None:
        """Tell the thread what is wanted now."""
        if not self.is_attached:
            return
        views = {view.metric: view for view in self.query(ChartView)}
        names = () if self._paused else self.in_sight
        sizes = tuple((name, (views[name].size.width, views[name].size.height)) for name in names)
        wanted = Wanted(self._runs, tuple((name, size) for name, size in sizes if size[0] and size[1]), self.view)
        if wanted != self._wanted:
            self._wanted = wanted
            if self._reader is not None:
                self._reader.want(wanted)
        self._show_legend()

    def on_chart_grid_painted(self, message: Painted) -> None:
        drawn = message.drawn
        if drawn.wanted.runs != self._runs:
            return
        self.drawn = drawn if drawn.charts else replace(self.drawn, runs=drawn.runs)
        for view in self.query(ChartView):
            if view.metric in drawn.charts:
                view.show(drawn.charts[view.metric])
        self._show_cursor()
        self._show_legend()
        self.post_message(self.Read(self, drawn.runs))

    def _show_legend(self) -> None:
        view, drawn = self.view, self.drawn
        words = [f"over {AXIS_LABELS[view.axis]}"]
        words += [f"smoothing {view.smoothing:g}"] if view.smoothing else []
        words += [view.window.text] if view.window.text else []
        words += [f"reading {drawn.progress:.0%}"] if drawn.progress < 1 else []
        pages = self.arrangement.pages
        if pages > 1:
            words.append(f"page {self.arrangement.page_of(self.charts.index(self.metric)) + 1} of {pages}")
        text = Text(" " + " · ".join(words), no_wrap=True, overflow="ellipsis")
        styles = line_styles(self.app.theme)
        for run in self._runs if len(self._runs) > 1 else ():
            signs = marks.marker(run.slot, "train", self._ascii) + marks.marker(run.slot, "validation", self._ascii)
            text.append("  ")
            style = styles[marks.line_tone(run.slot, "train")]
            text.append(f"{signs} {run.label}{' (pinned)' if run.pinned else ''}", style=style)
        self.query_one(ChartLegend).update(text)

    # The cursor

    def _show_cursor(self) -> None:
        for view in self.query(ChartView):
            cell = view.chart.cell_of(self.x) if view.chart and self.x is not None else None
            view.point(cell, self._readout(view.metric) if cell is not None and self.x is not None else ())

    def _readout(self, metric: str) -> list[tuple[str, int]]:
        found = self._reader.values(metric, self.x) if self._reader is not None and self.x is not None else []
        if not found:
            return []
        several = len(self._runs) > 1
        nearest = min(found, key=lambda one: abs(one.x - (self.x or 0.0))).x
        spans = [(marks.place_text(nearest, self.view.axis), MUTED)]
        for one in found:
            name = marks.marker(one.slot, one.role, self._ascii) if several else f"{SHORT.get(one.role, one.role)} "
            tone = marks.line_tone(one.slot, one.role, several)
            spans.append((f" {name}{marks.value_text(one.value, metric)}", tone))
        return spans

    def _point(self, chart: marks.Chart, cell: int, hovering: bool) -> None:
        """Put the cursor on a cell of a chart, or on the end of the data where the chart has room beyond."""
        x, extent = chart.place_of(cell), self.drawn.extent or chart.x
        self.x, self._hovering = min(max(x, extent[0]), extent[1]), hovering
        self._show_cursor()

    def _shown_chart(self) -> marks.Chart | None:
        return self.drawn.charts.get(self.metric)

    def action_cursor(self, cells: int) -> None:
        """Move the cursor; the first time it appears at the right end."""
        chart = self._shown_chart()
        if chart is None or not chart.left:
            return
        here = chart.cell_of(self.x) if self.x is not None else None
        cell = (chart.width if here is None else here) + cells
        self._point(chart, cell, hovering=False)

    # Charts and pages

    def action_other(self, by: int) -> None:
        """Choose another chart."""
        names = self.charts
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        self._arrange()

    def action_page(self, by: int) -> None:
        """Go to another page of charts."""
        found, names = self.arrangement, self.charts
        page = (found.page_of(names.index(self.metric)) + by) % found.pages
        self.metric = names[page * found.per_page]
        self._arrange()

    def go_back(self) -> bool:
        """Take the cursor away, else give all charts their room back; False where there is nothing to undo."""
        if self.x is not None:
            self.x = None
            self._show_cursor()
            return True
        if self.alone:
            self.action_chart("one")
            return True
        return False

    # Commands

    def action_chart(self, what: str) -> None:
        """One of the commands of the place "charts"."""
        getattr(self, f"_do_{what}")()

    def _say(self, text: str) -> None:
        self.app.notify(text, markup=False)

    def _do_one(self) -> None:
        self.alone = not self.alone
        if self.alone:  # what had the focus may be hidden now
            self.focus()
        self.post_message(self.OneChart(self, self.alone))
        self._arrange()

    def _do_axis(self) -> None:
        self.memory.axis = AXES[(AXES.index(self.view.axis) + 1) % len(AXES)]
        self.x = None
        if self._window.fixed or self._window.span:
            self._window = Window()
        self._ask()

    def _do_log(self) -> None:
        chosen, chart = set(self.view.log), self._shown_chart()
        if self.metric not in chosen and chart is not None and chart.left and not chart.positive:
            self._say(f"{TITLES[self.metric]}: no value above zero, so no logarithmic axis")
            return
        chosen ^= {self.metric}
        self.memory.log_charts = " ".join(sorted(chosen))
        self._ask()

    def _do_smoother(self) -> None:
        self._smooth(1)

    def _do_rougher(self) -> None:
        self._smooth(-1)

    def _smooth(self, by: int) -> None:
        memory = self.memory
        place = SMOOTHINGS.index(memory.smoothing) if memory.smoothing in SMOOTHINGS else 0
        memory.smoothing = SMOOTHINGS[min(max(place + by, 0), len(SMOOTHINGS) - 1)]
        self._ask()

    def _do_window(self) -> None:
        self._set_window(windows.following(self._window))

    def _do_freeze(self) -> None:
        self._set_window(windows.frozen(self._window, self.drawn.x))

    def _do_closer(self) -> None:
        self._zoom(0.5)

    def _do_wider(self) -> None:
        self._zoom(2.0)

    def _zoom(self, factor: float) -> None:
        if self.drawn.extent is not None:
            self._set_window(windows.zoomed(self.drawn.x, self.drawn.extent, factor, self.x))

    def _do_whole(self) -> None:
        self._set_window(Window())

    def _do_earlier(self) -> None:
        self._pan(-0.25)

    def _do_later(self) -> None:
        self._pan(0.25)

    def _pan(self, part: float) -> None:
        if self.drawn.extent is not None:
            self._set_window(windows.panned(self.drawn.x, self.drawn.extent, part))

    def _set_window(self, window: Window) -> None:
        self._window = window
        self._ask()

    def _do_choose(self) -> None:
        from ..screens.choose_charts import ChooseChartsScreen

        self.app.push_screen(ChooseChartsScreen(self.charts), self._choose)

    def _choose(self, chosen: tuple[str, ...] | None) -> None:
        if chosen:
            self.memory.charts = "" if chosen == METRICS else " ".join(chosen)
            self._arrange()

    # Files

    def export(self) -> Export:
        """What is shown as text; the curves as CSV and as an SVG picture."""
        reader, drawn = self._reader, self.drawn
        charts = [drawn.charts[name] for name in self.in_sight if name in drawn.charts]
        pictures = ["\n".join(row.text.rstrip() for row in chart.rows) for chart in charts]
        text = "\n\n".join([self.query_one(ChartLegend).text.plain.strip(), *pictures]) + "\n"
        if reader is None:
            return Export("curves", text)
        lines, view, x = {chart.name: reader.lines.get(chart.name, []) for chart in charts}, drawn.wanted.view, drawn.x

        def make(kind: str) -> str:
            from .. import chartexport

            return chartexport.csv_text(lines, view, x) if kind == "csv" else chartexport.svg_text(lines, view, x)

        more = {
            "csv": ("CSV: every value of the charts in sight", partial(make, "csv")),
            "charts.svg": ("the charts in sight as an SVG picture", partial(make, "svg")),
        }
        return Export("curves", text, more=more)

    # The mouse

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
            for view in self.query(ChartView):
                view.choose(view.metric == metric and len(self.charts) > 1)

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
            self._set_window(windows.zoomed(self.drawn.x, self.drawn.extent, factor, place))

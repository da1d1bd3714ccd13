"""The charts of runs and the thread behind them: which runs and metrics are shown, how, and the values under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from ..charts import markers
from ..charts.grid import Grid, grid
from ..charts.markers import MUTED
from ..charts.view import AXES, METRICS, ChartedRun, Curves, Drawn, View, Wanted, Window
from ..core.saved_state import Memory
from .chart_legend import ChartLegend
from .chart_view import ChartView

if TYPE_CHECKING:
    from ..charts.reader import ChartReader

SHORT = {"validation": "val."}
NOTHING = Drawn(Wanted())


class ChartBoard(Widget):
    """Base of the grid of charts; keys and mouse are added by others. ``memory`` keeps how the person wants to see them."""

    @dataclass
    class Read(Message):
        """The runs were read further; ``runs`` says what is known of each of them."""

        grid: ChartBoard
        runs: tuple[Curves, ...]

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartBoard.Read) and message.grid is self.grid

    @dataclass
    class Painted(Message):
        """The thread has a new picture."""

        drawn: Drawn

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartBoard.Painted)

    @dataclass
    class OneChart(Message):
        """One chart has, or had, all the room: other things may give way (``alone``) or come back."""

        grid: ChartBoard
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
        self._legend = ChartLegend(ascii)
        self._cells = Container(id="chart-cells")
        self._views = tuple(ChartView(metric) for metric in METRICS)

    def compose(self) -> ComposeResult:
        yield self._legend
        with self._cells:
            yield from self._views

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
        size = self._cells.size
        return grid(size.width, size.height, 1 if self.alone else len(self.charts))

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
        self._cells.styles.grid_size_columns = min(found.columns, len(shown))
        self._cells.styles.grid_size_rows = -(-len(shown) // found.columns)
        for view in self._views:
            view.display = view.metric in shown
        self._show_choice()
        self.call_after_refresh(self._ask)

    def _show_choice(self) -> None:
        """Mark the chart that the commands concern."""
        several = len(self.charts) > 1
        for view in self._views:
            view.choose(view.metric == self.metric and several)

    # The thread

    @work(thread=True, exclusive=True, group="charts", exit_on_error=False, description="reads and draws curves")
    def _follow(self) -> None:
        # numpy is loaded when there is something to draw, and not in the screen's thread.
        from ..charts.reader import ChartReader

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
        names = () if self._paused else self.in_sight
        sizes = {view.metric: (view.size.width, view.size.height) for view in self._views}
        wanted = Wanted(self._runs, tuple((name, sizes[name]) for name in names if all(sizes[name])), self.view)
        if wanted != self._wanted:
            self._wanted = wanted
            if self._reader is not None:
                self._reader.want(wanted)
        self._show_legend()

    def on_chart_board_painted(self, message: Painted) -> None:
        drawn = message.drawn
        if drawn.wanted.runs != self._runs:
            return
        self.drawn = drawn if drawn.charts else replace(self.drawn, runs=drawn.runs)
        for view in self._views:
            if view.metric in drawn.charts:
                view.show(drawn.charts[view.metric])
        self._show_cursor()
        self._show_legend()
        self.post_message(self.Read(self, drawn.runs))

    def _show_legend(self) -> None:
        found, names = self.arrangement, self.charts
        page = f"page {found.page_of(names.index(self.metric)) + 1} of {found.pages}" if found.pages > 1 else ""
        self._legend.tell(self._runs, self.view, self.drawn.progress, page)

    # The cursor

    def _show_cursor(self) -> None:
        for view in self._views:
            cell = view.chart.cell_of(self.x) if view.chart and self.x is not None else None
            view.point(cell, self._readout(view.metric) if cell is not None and self.x is not None else ())

    def _readout(self, metric: str) -> list[tuple[str, int]]:
        found = self._reader.values(metric, self.x) if self._reader is not None and self.x is not None else []
        if not found:
            return []
        several = len(self._runs) > 1
        nearest = min(found, key=lambda one: abs(one.x - (self.x or 0.0))).x
        spans = [(markers.place_text(nearest, self.view.axis), MUTED)]
        for one in found:
            name = markers.marker(one.slot, one.role, self._ascii) if several else f"{SHORT.get(one.role, one.role)} "
            tone = markers.line_tone(one.slot, one.role, several)
            spans.append((f" {name}{markers.value_text(one.value, metric)}", tone))
        return spans

    def _point(self, chart: markers.Chart, cell: int, hovering: bool) -> None:
        """Put the cursor on a cell of a chart, or on the end of the data where the chart has room beyond."""
        x, extent = chart.place_of(cell), self.drawn.extent or chart.x
        self.x, self._hovering = min(max(x, extent[0]), extent[1]), hovering
        self._show_cursor()

    def _shown_chart(self) -> markers.Chart | None:
        return self.drawn.charts.get(self.metric)

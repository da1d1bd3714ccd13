"""A grid of charts over the records of one or several runs, which follows them while they go on.

It works in any screen: :meth:`ChartGrid.show` says which runs, everything else is done by its keys and the mouse. A screen
that has one takes :class:`~.chart_commands.ChartCommands` in, so that the letters work from its other widgets too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widget import Widget

from ..charts import state as chart_state
from ..charts.followers import Followers
from ..charts.markers import Chart
from ..charts.state import ChartState, Grid
from ..charts.view import METRICS, TITLES, ChartedRun, Curves, Drawn, Readout, Wanted
from ..core import key_bindings
from ..core.messages import AskForCharts
from ..core.saved_state import SavedState
from ..core.screen_export import Export
from .chart_view import ChartLegend, ChartView
from .in_turn import InTurn

if TYPE_CHECKING:
    from ..charts.reader import ChartReader

NOTHING = Drawn(Wanted())
STEP, FACTOR = 0.25, 2.0
"""So much of what is shown a key moves it by; and by so much it zooms."""
ON_WHAT_IS_DRAWN = {"freeze", "closer", "wider", "earlier", "later"}
"""Commands that begin with the part of the x axis that is in sight."""


class ChartGrid(Widget, can_focus=True):
    """Charts of the runs that :meth:`show` was given. ``saved_state`` keeps how the person wants to see them.

    ``followers`` are those of the app, which reads each run once for all who show it.
    """

    BINDINGS: ClassVar = [*key_bindings.bindings("grid"), *key_bindings.bindings("charts")]
    PLACES: ClassVar = ("grid", "charts")
    TERMS: ClassVar = (
        "▸",
        *TITLES.values(),
        "epoch",
        "step",
        "smoothing",
        "raw",
        "frozen",
        "zoomed",
        "●",
        "○",
        "★",
        "✚",
        "✗",
        "›",
    )
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
        """The thread has drawn the charts anew."""

        drawn: Drawn

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartGrid.Painted)

    @dataclass
    class OneChart(Message):
        """One chart has, or had, all the room: other things may give way (``alone``) or come back."""

        grid: ChartGrid
        alone: bool

    def __init__(
        self,
        saved_state: SavedState | None = None,
        followers: Followers | None = None,
        *,
        ascii: bool = False,
        every_s: float = 0.5,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.saved_state = saved_state or SavedState()
        self.followers = followers or Followers()
        self.drawn = NOTHING
        self._state = ChartState()
        self._ascii = ascii
        self._every_s = every_s
        self._runs: tuple[ChartedRun, ...] = ()
        self._wanted = Wanted()
        self._reader: ChartReader | None = None
        self._paused = False
        self._over = False
        self._commands = InTurn(self._is_up_to_date)
        self._legend = ChartLegend(ascii)
        self._cells = Container(id="chart-cells")
        self._views = tuple(ChartView(metric) for metric in METRICS)

    def compose(self) -> ComposeResult:
        yield self._legend
        with self._cells:
            yield from self._views

    def draw_in_letters(self, letters: bool) -> None:
        """Draw with letters in the place of markers and dots, or with these again."""
        self._ascii = self._legend.ascii = letters
        self._ask()

    def on_mount(self) -> None:
        self._arrange()
        self._follow()

    def on_unmount(self) -> None:
        self._over = True
        if self._reader is not None:
            self._reader.stop()

    # What is shown, and how

    @property
    def runs(self) -> tuple[ChartedRun, ...]:
        """The runs that are shown."""
        return self._runs

    def show(self, runs: Sequence[ChartedRun]) -> None:
        """Show these runs and no others; they are followed until others are shown."""
        runs = tuple(runs)
        if runs == self._runs:
            return
        if {run.path for run in runs} != {run.path for run in self._runs}:
            self._state = self.state.other_runs()
            self.drop_commands()
        self._runs = runs
        self._ask()

    def pause(self, paused: bool) -> None:
        """Draw nothing for the time being, or go on; records are read all the same.

        What waits for a drawing is dropped with the pause: nothing is drawn, and it must not reach another screen.
        """
        self._paused = paused
        if paused:
            self.drop_commands()
        self._ask()

    def known(self, run: ChartedRun) -> Curves | None:
        """Return what was read of a run so far."""
        return next((curves for curves in self.drawn.runs if curves.path == run.path), None)

    @property
    def state(self) -> ChartState:
        """What is seen and how. What a person prefers is shared by the charts of all screens."""
        saved_state = self.saved_state
        return self._state.preferring(
            saved_state.axis, saved_state.smoothing, saved_state.log_charts, saved_state.charts
        )

    def _set(self, state: ChartState) -> None:
        """Go to another state, and remember what the person prefers from now on."""
        saved_state = self.saved_state
        if state.preferences != self.state.preferences:
            saved_state.axis, saved_state.smoothing, saved_state.log_charts, saved_state.charts = state.preferences
        self._state = state

    def _redraw(self, state: ChartState) -> None:
        """Go to a state in which the same charts are drawn in another way."""
        self._set(state)
        self._ask()

    def _rearrange(self, state: ChartState) -> None:
        """Go to a state in which other charts are in sight."""
        self._set(state)
        self._arrange()

    def _move_cursor(self, state: ChartState) -> None:
        """Go to a state with the cursor elsewhere."""
        self._set(state)
        self._show_cursor()

    # Arrangement

    @property
    def arrangement(self) -> Grid:
        """How many charts there are in sight."""
        return self.state.arrangement(*self._cells.size)

    @property
    def in_sight(self) -> tuple[str, ...]:
        """The metrics whose charts are in sight."""
        return self.state.in_sight(self.arrangement)

    def on_hide(self) -> None:
        self.drop_commands()

    def on_resize(self) -> None:
        self._arrange()
        self._commands.go_on()

    @on(ChartView.Resized)
    def _view_resized(self) -> None:
        # The views get their size after the grid has got its own, at a time that nobody else tells.
        self._ask()
        self._commands.go_on()

    def _arrange(self) -> None:
        self._state = self.state
        found, shown = self.arrangement, self.in_sight
        self._cells.styles.grid_size_columns = min(found.columns, len(shown))
        self._cells.styles.grid_size_rows = -(-len(shown) // found.columns)
        for view in self._views:
            view.display = view.metric in shown
        self._show_choice()
        self.call_after_refresh(self._ask)

    def _show_choice(self) -> None:
        """Mark the chart that the commands concern."""
        state = self.state
        for view in self._views:
            view.choose(view.metric == state.metric and len(state.charts) > 1)

    # The thread

    @work(thread=True, exclusive=True, group="charts", exit_on_error=False, description="reads and draws curves")
    def _follow(self) -> None:
        # numpy is loaded when there is something to draw, and not in the screen's thread.
        from ..charts.reader import ChartReader

        self._reader = reader = ChartReader(self._painted, self.followers, self._every_s)
        reader.want(self._wanted)
        if not self._over:
            reader.run()

    def _painted(self, drawn: Drawn) -> None:
        self.post_message(self.Painted(drawn))

    def _ask(self) -> None:
        """Tell the thread what is wanted now."""
        if not self.is_attached:
            return
        wanted = self._to_be_drawn()
        if wanted != self._wanted:
            self._wanted = wanted
            if self._reader is not None:
                self._reader.want(wanted)
        self._show_legend()

    def _to_be_drawn(self) -> Wanted:
        names = () if self._paused else self.in_sight
        sizes = {view.metric: (view.size.width, view.size.height) for view in self._views}
        shown = tuple((name, sizes[name]) for name in names if all(sizes[name]))
        return Wanted(self._runs, shown, self.state.view(self._ascii))

    def on_chart_grid_painted(self, message: Painted) -> None:
        drawn = message.drawn
        if drawn.wanted.runs != self._runs:
            return
        self.drawn = drawn if drawn.charts else replace(self.drawn, runs=drawn.runs)
        for view in self._views:
            if view.metric in drawn.charts:
                view.show(drawn.charts[view.metric])
        self._show_cursor()
        self.post_message(self.Read(self, drawn.runs))
        self._commands.go_on()

    def _is_up_to_date(self) -> bool:
        """Return whether the charts are drawn as the state has them, or there is no room to draw any."""
        if not all(self._cells.size):
            return True
        wanted = self._to_be_drawn()
        return bool(wanted.charts) and self.drawn.wanted == wanted

    # Commands in turn

    @property
    def has_commands_waiting(self) -> bool:
        """Whether a command waits for a drawing; what is typed meanwhile waits behind it (:mod:`..core.key_queue`)."""
        return bool(self._commands)

    def drop_commands(self) -> None:
        """Drop the commands that wait: what they were meant for does not come, or is no longer shown."""
        self._commands.forget()

    def when_drawn(self, command: Callable[[], None]) -> None:
        """Do a command when the charts are drawn as the commands before it asked for."""
        self._commands.do(command, on_what_is_drawn=True)

    def _in_turn(self, command: Callable[[], None]) -> None:
        """Do a command that needs no drawing, after those before it."""
        self._commands.do(command, on_what_is_drawn=False)

    def _show_legend(self) -> None:
        state, found = self.state, self.arrangement
        page = f"page {state.page(found) + 1} of {found.pages}" if found.pages > 1 else ""
        place = ""
        if state.cursor is not None and self.drawn.charts:
            place = chart_state.cursor_text(self._values(state.metric, state.cursor), state.cursor, state.axis)
        self._legend.update_legend(self._runs, state.view(self._ascii), self.drawn.progress, [place, page])

    # The cursor

    def _show_cursor(self) -> None:
        cursor = self._state.cursor
        for view in self._views:
            cell = view.chart.cell_of(cursor) if view.chart and cursor is not None else None
            view.point(cell, () if cell is None or cursor is None else self._readout(view, cursor))
        self._show_legend()

    def _readout(self, view: ChartView, cursor: float) -> list[tuple[str, int]]:
        found, several = self._values(view.metric, cursor), len(self._runs) > 1
        if view.chart is None or not found:
            return []
        return chart_state.readout(found, cursor, view.chart, self.state.view(self._ascii), several, view.readout_width)

    def _values(self, metric: str, cursor: float) -> list[Readout]:
        return self._reader.values(metric, cursor) if self._reader is not None else []

    @property
    def _chart(self) -> Chart | None:
        """The chosen chart as it was drawn last."""
        return self.drawn.charts.get(self.state.metric)

    # Keys

    def action_cursor(self, cells: int) -> None:
        """Move the cursor; the first time it appears at the right end."""

        def move() -> None:
            chart = self._chart
            if chart is not None and chart.left:
                self._move_cursor(self.state.move(chart, cells, self.drawn.extent))

        self.when_drawn(move)

    def action_other(self, by: int) -> None:
        """Choose another chart."""
        self._in_turn(lambda: self._rearrange(self.state.next_chart(by)))

    def action_page(self, by: int) -> None:
        """Go to another page of charts."""
        self._in_turn(lambda: self._rearrange(self.state.next_page(by, self.arrangement)))

    def go_back(self) -> bool:
        """Take the cursor away, else give all charts their room back; False where there is nothing to undo."""
        if self.state.cursor is not None:
            self._move_cursor(self.state.without_cursor())
            return True
        if self.state.alone:
            self._toggle_alone()
            return True
        return False

    def action_chart(self, what: str) -> None:
        """Do one of the commands of the place "charts", after those that were typed before."""
        (self.when_drawn if what in ON_WHAT_IS_DRAWN else self._in_turn)(partial(self._do, what))

    def _do(self, what: str) -> None:
        state, shown, extent = self.state, self.drawn.x, self.drawn.extent
        other_ways: dict[str, Callable[[], ChartState]] = {
            "axis": state.next_axis,
            "smoother": partial(state.smoother, 1),
            "rougher": partial(state.smoother, -1),
            "window": state.next_window,
            "freeze": partial(state.freeze, shown),
            "closer": partial(state.zoom, shown, extent, 1 / FACTOR, state.cursor),
            "wider": partial(state.zoom, shown, extent, FACTOR, state.cursor),
            "whole": state.whole,
            "earlier": partial(state.pan, shown, extent, -STEP),
            "later": partial(state.pan, shown, extent, STEP),
        }
        if what in other_ways:
            self._redraw(other_ways[what]())
        else:
            {"one": self._toggle_alone, "log": self._toggle_log, "choose": self._choose}[what]()

    def _toggle_alone(self) -> None:
        state = self.state.toggle_alone()
        if state.alone:  # what had the focus may be hidden now
            self.focus()
        self.post_message(self.OneChart(self, state.alone))
        self._rearrange(state)

    def _toggle_log(self) -> None:
        refusal = self.state.no_log(self._chart)
        if refusal:
            self.app.notify(refusal, markup=False)
        else:
            self._redraw(self.state.toggle_log())

    def _choose(self) -> None:
        self.post_message(AskForCharts(self.state.charts, self._chosen))

    def _chosen(self, charts: tuple[str, ...] | None) -> None:
        if charts:
            self._rearrange(self.state.show(charts))

    # The mouse: everything that it does is done by keys too

    @on(ChartView.Pointed)
    def _pointed(self, message: ChartView.Pointed) -> None:
        self.when_drawn(partial(self._point, message))

    def _point(self, message: ChartView.Pointed) -> None:
        chart, metric = message.view.chart, message.view.metric
        if (message.pressed or message.twice) and metric != self.state.metric:
            self._set(self.state.pick(metric))
            self._show_choice()
        state = self.state
        if message.twice:
            self._toggle_alone()
        elif chart is not None and chart.left and (message.pressed or state.hovering or state.cursor is None):
            self._move_cursor(state.point(chart, message.cell, self.drawn.extent, hovering=not message.pressed))

    @on(ChartView.PointerLeft)
    def _pointer_left(self) -> None:
        self._in_turn(self._stop_hovering)

    def _stop_hovering(self) -> None:
        if self.state.hovering:
            self._move_cursor(self.state.without_cursor())

    @on(ChartView.Dragged)
    def _dragged(self, message: ChartView.Dragged) -> None:
        self.when_drawn(partial(self._zoom_into, message))

    def _zoom_into(self, message: ChartView.Dragged) -> None:
        chart = message.view.chart
        if chart is not None and chart.left:
            self._redraw(self.state.zoom_into(chart, message.begin, message.end))

    @on(ChartView.Turned)
    def _turned(self, message: ChartView.Turned) -> None:
        self.when_drawn(partial(self._zoom_by_wheel, message))

    def _zoom_by_wheel(self, message: ChartView.Turned) -> None:
        chart = message.view.chart
        if chart is not None and chart.left:
            factor = 1 / FACTOR if message.way > 0 else FACTOR
            place = chart.place_of(message.cell)
            self._redraw(self.state.zoom(self.drawn.x, self.drawn.extent, factor, place))

    # Export

    def export(self) -> Export:
        """Return what is shown as text; the curves as CSV and as an SVG image."""
        reader, drawn = self._reader, self.drawn
        charts = [drawn.charts[name] for name in self.in_sight if name in drawn.charts]
        drawings = ["\n".join(row.text.rstrip() for row in chart.rows) for chart in charts]
        text = "\n\n".join([self._legend.text.plain.strip(), *drawings]) + "\n"
        if reader is None:
            return Export("curves", text)
        lines, view, x = {chart.name: reader.lines.get(chart.name, []) for chart in charts}, drawn.wanted.view, drawn.x

        def make(kind: str) -> str:
            from ..charts import export

            return export.csv_text(lines, view, x) if kind == "csv" else export.svg_text(lines, view, x)

        def data() -> dict[str, Any]:
            from ..charts import chart_data

            return chart_data.of_charts(lines, view, x)

        more = {
            "csv": ("CSV: every value of the charts in sight", partial(make, "csv")),
            "charts.svg": ("the charts in sight as an SVG image", partial(make, "svg")),
        }
        return Export("curves", text, data, more)

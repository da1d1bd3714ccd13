"""All runs on this machine, and the curves of the one under the cursor while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer

from ...trainer.run import Run
from .. import commands, control, export, runtable
from ..curves import ChartedRun
from ..export import Export
from ..messages import RunCommandDone
from ..widgets.chart_grid import ChartCommands, ChartGrid
from ..widgets.filter_input import FilterInput
from ..widgets.rows import Column, Row, RowList
from ..widgets.text_lines import TextLines
from .base import BaseScreen

COLUMNS = (
    Column("", 1),
    Column("network"),
    Column("data", 9),
    Column("state", 13),
    Column("best %", 6, right=True),
    Column("left", 6, right=True, above=52),
    Column("id", 42, above=100),
)
SETTLE_S = 0.08


class RunsScreen(ChartCommands, BaseScreen):
    """List of runs and charts; on a narrow terminal one at a time."""

    PLACE = "runs"
    HEADING = "runs"
    PLACES: ClassVar = ("charts",)
    BINDINGS: ClassVar = [*commands.bindings("runs"), *commands.bindings("charts")]
    CSS_PATH = "runs.tcss"

    def __init__(self, run_id: str = "") -> None:
        super().__init__()
        self._wanted = run_id
        self._timer: Timer | None = None

    # Layout

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="body"):
            with Vertical(id="shelf", classes="framed"):
                yield FilterInput("network, data set, state, id, tag …")
                yield RowList(COLUMNS, empty="no runs; `t` on an architecture starts one")
            with Vertical(id="panes", classes="framed"):
                yield TextLines(id="headline")
                yield TextLines(id="figures")
                yield ChartGrid(self.explorer.memory, ascii=self.explorer.options.ascii)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#shelf").border_title = "Runs"
        self.query_one("#shelf").border_subtitle = str(self.explorer.places.runs)
        self.table.focus()

    @property
    def table(self) -> RowList:
        """The list of runs."""
        return self.query_one("#shelf RowList", RowList)

    @property
    def charts(self) -> ChartGrid:
        """The curves."""
        return self.query_one(ChartGrid)

    @property
    def filter(self) -> FilterInput:
        """The line for filtering."""
        return self.query_one(FilterInput)

    @property
    def selected(self) -> Run | None:
        """The run under the cursor."""
        return next((run for run in self.explorer.runs if run.id == self.table.key), None)

    # The list

    def runs_changed(self, runs: Sequence[Run]) -> None:
        super().runs_changed(runs)
        if not self.query("#shelf RowList"):
            return
        shown = runtable.matching(runs, self.filter.value)
        rows = [Row(run.id, runtable.cells(run), tones={0: runtable.tone(run), 3: runtable.tone(run)}) for run in shown]
        known = {row.key for row in rows}
        cursor = self._wanted if self._wanted in known else None
        if cursor:
            self._wanted = ""
        if rows != list(self.table.rows) or cursor:
            self.table.empty = self.explorer.runs_problem or "no runs; `t` on an architecture starts one"
            self.table.set_rows(rows, cursor)
            self.update_keys()
        if self._timer is None:
            self._follow_selected()
        self.show_run()

    def go_to(self, run_id: str) -> None:
        """Put the cursor on a run, now or when it is found."""
        if run_id and not self.table.go_to(run_id):
            self._wanted = run_id
            self.filter.close()
            self.runs_changed(self.explorer.runs)

    @on(FilterInput.Changed)
    def _filter_changed(self) -> None:
        self.runs_changed(self.explorer.runs)

    @on(FilterInput.Left)
    def _filter_left(self) -> None:
        self.table.focus()

    @on(FilterInput.Move)
    def _filter_move(self, message: FilterInput.Move) -> None:
        self.table.action_cursor_down() if message.way > 0 else self.table.action_cursor_up()

    @on(RowList.Moved)
    def _moved(self, message: RowList.Moved) -> None:
        self.explorer.memory.run = message.key or self.explorer.memory.run
        self.show_run()
        self.update_keys()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SETTLE_S, self._follow_selected)

    @on(RowList.Chosen)
    def _opened(self) -> None:
        self.add_class("-reading")
        self.charts.focus()

    @on(ChartGrid.OneChart)
    def _one_chart(self, message: ChartGrid.OneChart) -> None:
        self.set_class(message.alone, "-one-chart")

    @on(ChartGrid.Read)
    def _curves_read(self) -> None:
        self.show_run()

    # The run under the cursor

    def show_run(self) -> None:
        """The lines above the charts."""
        run = self.selected
        curves = next((self.charts.known(one) for one in self.charts.runs if run and one.path == run.path), None)
        headline, figures = (runtable.headline(run), runtable.figures(run, curves)) if run else ("", "")
        for panes in self.query("#panes"):
            panes.border_title = run.id if run else ""
        for name, text in (("#headline", headline), ("#figures", figures)):
            for line in self.query(name).results(TextLines):
                line.update(text)

    def _follow_selected(self) -> None:
        self._timer = None
        run = self.selected
        self.charts.show([ChartedRun(run.path, run.network or run.id, 0)] if run else [])

    # Commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        run = self.selected if self.is_mounted else None
        if action == "stop":
            return run is not None and run.live
        if action == "resume":
            return run is not None and not run.live and run.state != "finished"
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self.remove_class("-reading")
        self.filter.open()

    def action_stop(self) -> None:
        run = self.selected
        if run is None:
            return
        from .confirm import ConfirmScreen

        question = f"Stop {run.id}?"
        detail = "It ends its step and writes a checkpoint; `r` goes on from there."
        self.app.push_screen(
            ConfirmScreen(question, detail, "stop"), lambda yes: self.control("stop", run) if yes else None
        )

    def action_resume(self) -> None:
        run = self.selected
        if run is not None:
            self.control("resume", run)

    @work(thread=True, group="control", exit_on_error=False, description="stops or resumes a run")
    def control(self, what: str, run: Run) -> None:
        """Stop or resume a run; what came of it is told."""
        text, problem = control.stop(run.path) if what == "stop" else control.resume(run.path)
        self.post_message(RunCommandDone(text, problem))

    def on_run_command_done(self, message: RunCommandDone) -> None:
        self.explorer.say(message.problem or message.text, "error" if message.problem else "information")
        self.explorer.run_watch.nudge()

    def export(self) -> Export:
        """The curves where they have the focus, else the list; as files the curves in either case."""
        curves = self.charts.export()
        if self.charts.has_focus:
            return curves
        columns = [column.title or "sign" for column in COLUMNS]
        table = export.table("runs", columns, [row.cells for row in self.table.rows])
        return Export("runs", table.text, {"runs": table.data}, curves.more)

    def go_back(self) -> bool:
        if self.charts.go_back():
            return True
        if self.has_class("-reading"):
            self.remove_class("-reading")
            self.table.focus()
            return True
        if self.filter.is_open:
            self.filter.close()
            self.table.focus()
            return True
        return False

"""All runs on this machine, the curves of those that are chosen, what they say, and what the machine is doing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.timer import Timer

from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..charts.view import Curves
from ..core import key_bindings, screen_export
from ..core.messages import RunNewsRead, RunPreviewsRead
from ..core.pane_widths import PaneWidths
from ..core.screen_export import Export
from ..networks import catalogue_list
from ..runs import machine, run_data, run_table
from ..runs.run_previews import PreviewWatch, RunPreview
from ..runs.run_tail import RunNews, RunTail
from ..widgets import run_columns
from ..widgets.chart_commands import ChartCommands
from ..widgets.chart_grid import ChartGrid
from ..widgets.filter_input import FilterInput
from ..widgets.machine_strip import MachineStrip
from ..widgets.reading_view import ReadingView
from ..widgets.repaint import Frame, TextLines
from ..widgets.rows import ListRow, RowList
from ..widgets.sorted_rows import SortedRows
from ..widgets.split import Split
from ..widgets.text_view import TextView
from .bulk_actions import BulkActions
from .run_actions import RunActions
from .two_panes import TwoPanes

TONED = (1, 4)
DELAY_S = 0.08


class RunsScreen(ChartCommands, TwoPanes, RunActions, BulkActions):
    """The list; on a wide terminal, beside it the charts of the run under the cursor and of the marked ones."""

    PLACE = "runs"
    LEADS_HERE = "show_runs"
    PLACES: ClassVar = ("one-run", "charts", "two-panes")
    WIDTHS = PaneWidths(share=0.62, least=80, widest=124, panes=36)
    HEADING = "runs"
    TERMS: ClassVar = (*STATES, "mark", "●", "↑")
    BINDINGS: ClassVar = [
        *key_bindings.bindings("runs"),
        *key_bindings.bindings("one-run"),
        *key_bindings.bindings("charts"),
    ]
    CSS_PATH = "runs.tcss"

    def __init__(self, run_id: str = "") -> None:
        super().__init__()
        explorer = self.explorer
        self._wanted = run_id
        self._timer: Timer | None = None
        self._previews: dict[str, RunPreview] = {}
        self._known_rows: dict[str, tuple[tuple[RunSnapshot, str, RunPreview | None], ListRow]] = {}
        self._watch = PreviewWatch(self._post_previews, explorer.followers)
        self._tail = RunTail(self._post_news, explorer.followers, with_log=False)
        # Held here, because to look for them at every key and every record costs more than what they do.
        self.table = SortedRows(run_columns.columns(live=False), empty="reading …")
        self.filter = FilterInput("network, data set, state, id, tag, remark …")
        self.charts = ChartGrid(explorer.saved_state, explorer.followers, ascii=explorer.options.ascii)
        self._list_pane, self._panes = Frame(id="list-pane"), Frame(id="panes")
        self._headline, self._figures = TextLines(id="headline"), TextLines(id="figures")
        self._reading = ReadingView()
        self._machine = MachineStrip()

    # Layout

    def compose_body(self) -> ComposeResult:
        with Split():
            with self._list_pane:
                yield self.filter
                yield self.table
                yield self._machine
            with self._panes:
                yield self._headline
                yield self._figures
                yield self.charts
                yield self._reading

    def on_mount(self) -> None:
        super().on_mount()
        self.set_class(not self.explorer.saved_state.machine, "-no-machine")
        self.table.focus()
        self.watch(self.table, "scroll_y", self._look, init=False)
        self.watch(self.charts, "has_focus", self._catch_up, init=False)
        self.look_at_runs()
        self.read_selected()

    def on_unmount(self) -> None:
        self._watch.stop()
        self._tail.stop()

    def on_screen_suspend(self) -> None:
        self._machine.pause()

    def on_screen_resume(self) -> None:
        # Textual calls the handlers of the classes above as well.
        self._machine.resume()

    @property
    def selected(self) -> RunSnapshot | None:
        """The run under the cursor."""
        key = self.table.key
        return next((run for run in self.explorer.runs if run.id == key), None)

    @property
    def compared(self) -> list[str]:
        chosen, known = self.explorer.run_selection, {run.id for run in self.explorer.runs}
        return [name for name in dict.fromkeys((self.table.key, chosen.pinned, *chosen.marked)) if name in known]

    # The list

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        super().runs_changed(runs)
        if not self.table.is_attached:
            return
        self._machine.look_for(machine.processes_of(runs))
        self._fill()
        if self._timer is None:
            self.follow_selected()
        self.show_run()

    def _fill(self) -> None:
        """Put the runs into the list, where anything changed."""
        explorer = self.explorer
        order = explorer.saved_state.run_order
        there = [run for run in explorer.runs if run.id not in explorer.going]
        found = run_table.ordered(run_table.matching(there, self.filter.value), order)
        rows = [self._row(run) for run in found]
        known = {row.key for row in rows}
        cursor = self._wanted if self._wanted in known else None
        if cursor:
            self._wanted = ""
        self.filter.has_lines = bool(rows)
        self.table.show_columns(run_columns.columns(any(run.live for run in found)))
        empty = explorer.runs_problem or self._empty()
        if rows != list(self.table.given) or cursor or empty != self.table.empty:
            self.table.empty = empty
            self.table.set_rows(rows, cursor)
            self.update_keys()
            self._look()
        words = f"{len(rows)} of {len(explorer.runs)}" if self.filter.value else str(len(rows))
        words = words if explorer.runs_are_read else "reading …"
        order = self.table.order_words or (order if order in run_table.ORDERS else "newest")
        title = f"Runs · {words} · {order}"
        self._list_pane.entitle(title, str(explorer.paths.runs))

    def _empty(self) -> str:
        if self.explorer.runs and self.filter.value:
            return "no run has all these words"
        if not self.explorer.runs_are_read:
            return "reading …"
        return "no runs; `t` on an architecture starts one"

    def _row(self, run: RunSnapshot) -> ListRow:
        sign = self.explorer.run_selection.sign(run.id, ascii=self.explorer.options.ascii)
        preview = self._previews.get(run.id)
        known = self._known_rows.get(run.id)
        # Of a thousand runs all but one or two are as they were.
        if known is None or known[0] != (run, sign, preview):
            cells = run_table.cells(run, sign, preview)
            known = (run, sign, preview), ListRow(run.id, cells, tones=dict.fromkeys(TONED, run_table.tone(run)))
            self._known_rows[run.id] = known
        return known[1]

    def go_to(self, run_id: str) -> None:
        """Put the cursor on a run, now or when it is found."""
        if run_id and not self.table.go_to(run_id):
            self._wanted = run_id
            self.filter.close()
            self.runs_changed(self.explorer.runs)

    def run_restored(self, run_id: str) -> None:
        self.go_to(run_id)

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
        self.explorer.saved_state.run = message.key or self.explorer.saved_state.run
        self.show_run()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DELAY_S, self.follow_selected)

    @on(RowList.TitlePicked)
    def _sorted(self) -> None:
        self._fill()
        self._look()

    @on(RowList.Chosen)
    async def _opened(self, message: RowList.Chosen) -> None:
        await self.explorer.load_charts()
        self.explorer.open_run(message.key)

    # What threads read

    @work(
        thread=True, exclusive=True, group="previews", exit_on_error=False, description="previews of the runs in sight"
    )
    def look_at_runs(self) -> None:
        """Follow the runs in sight until the screen is closed."""
        self._watch.run()

    def _look(self) -> None:
        """Report which runs are in sight."""
        folder = self.explorer.paths.runs
        self._watch.want([folder / key for key in self.table.keys_in_sight])

    def _post_previews(self, previews: dict[str, RunPreview]) -> None:
        self.post_message(RunPreviewsRead(previews))

    def on_run_previews_read(self, message: RunPreviewsRead) -> None:
        self._previews |= message.previews
        self._fill()

    @work(thread=True, exclusive=True, group="reading", exit_on_error=False, description="reads the chosen run")
    def read_selected(self) -> None:
        """Follow the run under the cursor until the screen is closed."""
        self._tail.run()

    def _post_news(self, news: RunNews) -> None:
        self.post_message(RunNewsRead(news))

    def on_run_news_read(self, message: RunNewsRead) -> None:
        run = self.selected
        if run is not None and message.news.path == run.path:
            self._reading.show_findings(message.news.findings)

    def on_resize(self) -> None:
        self._keep_focus_in_sight()
        self.call_after_refresh(self._look)

    def _keep_focus_in_sight(self) -> None:
        """Give the list the focus on a narrow terminal where the one chart is not in sight."""
        focused = self.focused
        hidden = not self.side_by_side and not self.has_class("-one-chart")
        if hidden and focused is not None and self._panes in focused.ancestors:
            self.table.focus()

    # The run under the cursor

    def follow_selected(self) -> None:
        """Show the run under the cursor once the cursor rests: read it, draw it and the marked ones, name the keys."""
        run = self.selected
        self._timer = None
        self._tail.follow(run)
        self.charts.show(self.explorer.run_selection.charted(self.explorer.runs, run.id if run else ""))
        if run is None:
            self._reading.show_findings(())
        self.update_keys()

    def _catch_up(self) -> None:
        """Show the run under the cursor now, where the cursor has moved just before."""
        if self._timer is not None:
            self._timer.stop()
            self.follow_selected()

    def show_run(self) -> None:
        """Draw the lines above the charts."""
        run = self.selected
        headline, figures = (run_table.headline(run), run_table.figures(run, self._known(run))) if run else ("", "")
        self._panes.entitle(run.id if run else "the marked runs" if self.explorer.run_selection.marked else "")
        headline, figures = run_table.in_two_lines(headline, figures, self._headline.size.width or self.app.size.width)
        self._headline.update(headline)
        self._figures.update(figures)

    def _known(self, run: RunSnapshot) -> Curves | None:
        return next((self.charts.known(one) for one in self.charts.runs if one.path == run.path), None)

    @on(ChartGrid.Read)
    def _curves_read(self) -> None:
        self.show_run()

    @on(ChartGrid.OneChart)
    def _one_chart(self, message: ChartGrid.OneChart) -> None:
        self.set_class(message.alone, "-one-chart")
        self._keep_focus_in_sight()

    @on(TextView.LinkFollowed)
    def _follow_link(self, message: TextView.LinkFollowed) -> None:
        self.explorer.open_page(message.link.target)

    # Commands

    def action_chart(self, what: str) -> None:
        self._catch_up()
        super().action_chart(what)

    def when_drawn(self, command: Callable[[], None]) -> None:
        self._catch_up()
        super().when_drawn(command)

    def action_zoom(self) -> None:
        """Give the pane at hand the whole screen; where the list has it already, one chart."""
        if self.is_wide:
            super().action_zoom()
        else:
            self.charts.action_chart("one")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "zoom":
            return True
        if action == "unmark":
            chosen = self.explorer.run_selection
            return bool(chosen.marked or chosen.pinned)
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        self.filter.open()

    def action_order(self) -> None:
        saved_state = self.explorer.saved_state
        saved_state.run_order = catalogue_list.following(saved_state.run_order, list(run_table.ORDERS))
        self.table.unsort()
        self._fill()
        self.explorer.show_message(f"order: {saved_state.run_order}")

    def action_unmark(self) -> None:
        self.explorer.run_selection.clear()
        self.explorer.run_selection_changed()

    def action_machine(self) -> None:
        saved_state = self.explorer.saved_state
        saved_state.machine = not saved_state.machine
        self.set_class(not saved_state.machine, "-no-machine")

    def export(self) -> Export:
        """Return the curves where they have the focus, else the list; as files the curves in either case."""
        curves = self.charts.export()
        if self.charts.has_focus:
            return curves
        chosen, known = self.explorer.run_selection, {run.id: run for run in self.explorer.runs}
        runs = [known[row.key] for row in self.table.rows if row.key in known]
        data = [
            run_data.of_row(
                run, self._previews.get(run.id), marked=run.id in chosen.marked, pinned=run.id == chosen.pinned
            )
            for run in runs
        ]
        rows = [row.cells for row in self.table.rows]
        table = screen_export.table("runs", run_columns.titles(), rows, {"runs": data})
        return Export("runs", table.text, table.data, curves.more)

    def go_back(self) -> bool:
        if self.charts.has_focus and self.charts.go_back():
            return True
        if super().go_back():
            return True
        if self.charts.has_focus:
            self.table.focus()
            return True
        if self.filter.is_open:
            self.filter.close()
            self.table.focus()
            return True
        return False

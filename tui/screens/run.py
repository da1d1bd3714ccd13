"""One run: where it stands, what its curve says, its overview, charts, classes, confusion, log, configuration and files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.widget import Widget

from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..charts.view import Curves
from ..core import key_bindings, screen_export
from ..core.messages import RunNewsRead
from ..core.pane_widths import has_room
from ..core.screen_export import Export
from ..runs import classes, run_data, run_page, run_table
from ..runs.run_tail import RunNews, RunTail
from ..widgets.chart_commands import ChartCommands
from ..widgets.chart_grid import ChartGrid
from ..widgets.classes_pane import ClassesPane
from ..widgets.line_view import LineView
from ..widgets.overview_pane import OverviewPane
from ..widgets.reading_view import ReadingView
from ..widgets.repaint import Frame, TextLines
from ..widgets.tabs import Tabs
from ..widgets.text_view import TextView
from .base import BaseScreen
from .run_actions import RunActions

COMPANIONS = {"overview": "", "charts": "classes"}
"""What stands beside a tab where there is room for two; the charts beside all others. The overview takes all the room."""
NEEDED = {"charts": 102, "classes": 96, "confusion": 120, "log": 120, "setup": 110}
"""The columns in which each of them shows all that it has: three charts in a row, the lines of a log."""
FRAME = 2
HINTS = {
    "overview": "drawn by plotext; 2: cursor, zoom, many runs",
    "charts": "1: overview by plotext; here ← → cursor, + - zoom",
}
"""What the frame says of the two kinds of charts."""
OF_FILES = ("stop", "keep_best", "skip", "resume", "delete", "clone", "edit_notes", "mark", "pin")
"""What cannot be done with a run whose directory is gone."""


class RunScreen(RunActions, ChartCommands, BaseScreen):
    """The run ``run_id``, first in the tab ``pane``; what was known last stays on the screen when its directory vanishes."""

    PLACE = "run"
    PLACES: ClassVar = ("one-run", "charts")
    TERMS: ClassVar = (*STATES, "charts", "classes", "confusion", "log", "setup")
    HEADING = "run"
    BINDINGS: ClassVar = [
        *key_bindings.bindings("run"),
        *key_bindings.bindings("one-run"),
        *key_bindings.bindings("charts"),
    ]
    CSS_PATH = "run.tcss"

    def __init__(self, run_id: str, pane: str) -> None:
        super().__init__()
        self.run_id = run_id
        self._first_pane = pane
        self._run: RunSnapshot | None = None
        self._gone = False
        self._awaited = run_id not in {run.id for run in self.explorer.runs}
        """Whether the run was started just now, and the list of runs is yet to be read again."""
        self._news: RunNews | None = None
        self._log: list[str] = []
        self._tail = RunTail(self._post_news, self.explorer.followers, with_log=True)

    # Layout

    def compose_body(self) -> ComposeResult:
        makers: dict[str, tuple[str, Callable[[], Widget]]] = {
            "overview": ("Overview", self._make_overview),
            "charts": ("Charts", self._make_charts),
            "classes": ("Classes", ClassesPane),
            "confusion": ("Confusion", lambda: LineView(empty="there is no test yet", id="confusion")),
            "log": ("Log", lambda: LineView(follows=True, empty="nothing was printed", id="log")),
            "setup": ("Setup", lambda: LineView(id="setup")),
        }
        with Frame(id="body"):
            yield TextLines(id="headline")
            yield TextLines(id="stages")
            yield TextLines(id="figures")
            yield ReadingView()
            yield Tabs(makers, self._first_pane, id="run-tabs")

    def _make_charts(self) -> ChartGrid:
        explorer = self.explorer
        return ChartGrid(explorer.saved_state, explorer.followers, ascii=explorer.options.ascii)

    def _make_overview(self) -> OverviewPane:
        return OverviewPane(self.explorer.followers, ascii=self.explorer.options.ascii)

    def on_mount(self) -> None:
        super().on_mount()
        self.follow()

    def on_unmount(self) -> None:
        self._tail.stop()

    def on_screen_suspend(self) -> None:
        for pane in self.query(OverviewPane):
            pane.pause(True)

    def on_screen_resume(self) -> None:
        for pane in self.query(OverviewPane):
            pane.pause(False)

    @property
    def tabs(self) -> Tabs:
        """The tabs."""
        return self.query_one(Tabs)

    @property
    def selected(self) -> RunSnapshot | None:
        """The run that is shown, as it is or was."""
        return self._run

    # What is known

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        super().runs_changed(runs)
        found = next((run for run in runs if run.id == self.run_id), None)
        self._gone = found is None and bool(self._run)
        if found is not None:
            self._run = found
            self._tail.follow(found)
        self.show_run()
        self.update_keys()

    @work(thread=True, exclusive=True, group="run", exit_on_error=False, description="reads one run")
    def follow(self) -> None:
        """Read the run until the screen is closed."""
        self._tail.run()

    def _post_news(self, news: RunNews) -> None:
        self.post_message(RunNewsRead(news))

    def on_run_news_read(self, message: RunNewsRead) -> None:
        news = self._news = message.news
        self._log = list(news.log) if news.restarted else [*self._log, *news.log][-20_000:]
        if news.findings:
            self.query_one(ReadingView).show_findings(news.findings)
        self._fill()
        self.call_after_refresh(self.update_keys)  # lines that came may be wider than the pane

    def show_run(self) -> None:
        """Draw the lines at the top."""
        run = self._run
        texts = {"#headline": "reading …" if self._awaited else "there is no such run", "#stages": "", "#figures": ""}
        if run is not None:
            headline = run_table.headline(run) if not self._gone else self._words_when_gone()
            figures = run_table.figures(run, self._known())
            headline, figures = run_table.in_two_lines(headline, figures, self.app.size.width - FRAME)
            texts = {"#headline": headline, "#stages": run_page.stages(run), "#figures": figures}
        for name, text in texts.items():
            for line in self.query(name).results(TextLines):
                line.update(text)
        self._entitle()
        self._fill()

    def _entitle(self) -> None:
        """Show in the frame which run this is, and at its foot where else there are curves."""
        run = self._run
        what = " on ".join(filter(None, (run.network, run.dataset))) if run else ""
        for tabs in self.query(Tabs):
            what = " · ".join(filter(None, (what, HINTS.get(tabs.current, ""))))
        for body in self.query(Frame):
            body.entitle(self.run_id, what)

    def _known(self) -> Curves | None:
        """Return what was read of the run so far, by the pane that is in sight if both have read it."""
        known: list[Curves] = []
        for pane in self.query(OverviewPane):
            known += [pane.known] if pane.known else []
        for grid in self.query(ChartGrid):
            found = (grid.known(one) for one in grid.runs if self._run and one.path == self._run.path)
            known += [curves for curves in found if curves]
        return max(known, key=lambda curves: curves.records, default=None)

    # Tabs

    @on(Tabs.Picked)
    def _picked(self, message: Tabs.Picked) -> None:
        self.action_tab(message.key)

    def action_tab(self, key: str) -> None:
        self.explorer.saved_state.run_pane = key
        self._show_tab(key)

    def _show_tab(self, key: str) -> None:
        beside = COMPANIONS.get(key, "charts")
        room = 0 if self.has_class("-zoomed") else self.app.size.width - FRAME
        companion = beside if has_room(room, NEEDED, key, beside) else ""
        self.tabs.show(key, companion, NEEDED.get(companion, 0))
        self._entitle()

    def action_zoom(self) -> None:
        """Give the tab the whole screen, or show the lines above it and what stands beside it again."""
        self.toggle_class("-zoomed")
        self.action_tab(self.tabs.current)

    @on(Tabs.Shown)
    def _shown(self) -> None:
        pane = self.tabs.pane
        target = pane.query_one("RowList") if isinstance(pane, ClassesPane) else pane
        if target is not None:
            target.focus()
        self._fill()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show_tab, self.tabs.current)

    def _fill(self) -> None:
        """Put what is known into the visible panes."""
        run = self._run
        if run is None:
            return
        for pane in self.tabs.shown if self.query(Tabs) else ():
            if isinstance(pane, ChartGrid | OverviewPane):
                # A deleted run is in no list any more; what was read of it is still drawn.
                runs = (*self.explorer.runs, run) if self._gone else self.explorer.runs
                pane.show(self.explorer.run_selection.charted(runs, run.id))
            elif pane.id == "setup" and isinstance(pane, LineView):
                pane.set_pairs(run_page.setup(run))
            elif self._news is not None and isinstance(pane, ClassesPane):
                pane.show(run, self._news)
            elif self._news is not None and isinstance(pane, LineView):
                pane.set_lines(self._lines(pane.id or "", run, self._news))

    def _lines(self, name: str, run: RunSnapshot, news: RunNews) -> list[str]:
        if name == "log":
            return [*self._log, news.unfinished] if news.unfinished else self._log
        return classes.confusion_lines(classes.matrix(news.test), run.classes)

    @on(ChartGrid.Read)
    def _curves_read(self) -> None:
        self.show_run()

    @on(OverviewPane.Read)
    def _overview_read(self) -> None:
        self.show_run()

    @on(ChartGrid.OneChart)
    def _one_chart(self, message: ChartGrid.OneChart) -> None:
        self.set_class(message.alone, "-one-chart")

    @on(TextView.LinkFollowed)
    def _follow_link(self, message: TextView.LinkFollowed) -> None:
        self.explorer.open_page(message.link.target)

    # Commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "order":
            return self.is_mounted and self.tabs.current == "classes"
        if action == "chart":
            return self.is_mounted and any(isinstance(pane, ChartGrid) for pane in self.tabs.shown)
        if self._gone and action in OF_FILES:
            return False
        return super().check_action(action, parameters)

    def refusal(self, command: str) -> str:
        return f"{self.run_id}: {self._words_when_gone()}" if self._gone else super().refusal(command)

    def _words_when_gone(self) -> str:
        back = "; u brings it back" if self.run_id in self.explorer.deleted else ""
        return f"deleted; what was read last is shown{back}"

    def action_order(self) -> None:
        for pane in self.query(ClassesPane):
            pane.action_order()

    def go_back(self) -> bool:
        if any(grid.has_focus and grid.go_back() for grid in self.query(ChartGrid)):
            return True
        if self.has_class("-zoomed"):
            self.action_zoom()
            return True
        return False

    def export(self) -> Export | None:
        """Return what the current tab shows; of the charts the figures too, and the curves as files."""
        pane, run = self.tabs.pane, self._run
        if run is None:
            return None
        if isinstance(pane, ClassesPane):
            return pane.export()
        findings = self._news.findings if self._news else ()
        data = run_data.of_run(run, findings)
        if isinstance(pane, LineView):
            lines = self._line_data(pane.id or "", run) or data
            return Export(f"{run.id}-{self.tabs.current}", "\n".join(pane.lines), lines)
        rows = [[name, value] for name, value in run_page.setup(run) if value]
        words = [run_table.headline(run), *(finding.text for finding in findings), ""]
        text = "\n".join([*words, screen_export.table_text(["name", "value"], rows)])
        if isinstance(pane, OverviewPane | ChartGrid):
            curves = pane.export()
            return Export(run.id, f"{text}\n\n{curves.text}", lambda: data | {"curves": curves.made()}, curves.more)
        return Export(run.id, text, data)

    def _line_data(self, name: str, run: RunSnapshot) -> object:
        """Return the data of a tab of lines; None where these are those of the run."""
        if name == "confusion":
            return run_data.of_confusion(classes.matrix(self._news.test) if self._news else (), run.classes)
        return {"lines": list(self._log)} if name == "log" else None

"""The runs of one network and their best figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from ...trainer.common.number_text import percentage
from ...trainer.runs.run import RunSnapshot, summary
from ...trainer.runs.states import STATES
from ..core import screen_export
from ..core.screen_export import Export
from ..networks.selection import NetworkSelection
from ..runs import identity, run_table
from .pane import Pane
from .rows import Column, ListRow, RowList
from .sorted_rows import SortedRows

COLUMNS = (
    Column("", 1),
    Column("data", 9, longest=20),
    Column("state", identity.STATE_CELLS),
    Column("best %", 6, right=True),
    Column("test %", 6, right=True),
    Column("notes"),
    Column("lr", 7, right=True),
    Column("batch", 5, right=True, above=72),
    Column("seed", 4, right=True, above=79),
    Column("date", 11, above=94),
    Column("end", 4),
    Column("id", 42, above=140, longest=56),
)
NO_RUNS = "no runs of this network; `t` starts one"


class NetworkRunsPane(Pane):
    """A list; Enter leads to the run's curves."""

    TERMS: ClassVar = tuple(STATES)

    def __init__(self) -> None:
        super().__init__("network-runs")

    def compose(self) -> ComposeResult:
        yield SortedRows(COLUMNS, empty="reading …")

    @property
    def table(self) -> RowList:
        """The rows."""
        return self.query_one(RowList)

    @property
    def target(self) -> Widget:
        return self.table

    def fill(self, selection: NetworkSelection) -> None:
        self.runs_changed(self.explorer.runs)

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        """Update what is shown: the runs on this machine changed."""
        name = self.selection.network if self.selection else ""
        rows = [self._row(run) for run in runs if run.network == name]
        self.table.opens = bool(rows)
        self.table.empty = NO_RUNS if self.explorer.runs_are_read else "reading …"
        self.table.set_rows(rows)

    def _row(self, run: RunSnapshot) -> ListRow:
        best, test = percentage(run.best_accuracy), percentage(run.test_accuracy)
        tone = run_table.tone(run)
        sign, data, state = STATES[run.state].symbol, identity.data_text(run.dataset), identity.state_text(run)
        cells = (sign, data, state, best, test, *identity.cells(run))
        return ListRow(run.id, cells, tones={0: tone, 2: tone})

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        message.stop()
        self.explorer.action_show_runs(message.key)

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        message.stop()

    def export(self) -> Export | None:
        rows = [row.cells for row in self.table.rows]
        keys = {row.key for row in self.table.rows}
        data = {"runs": [summary(run) for run in self.explorer.runs if run.id in keys]}
        return screen_export.table("runs", [column.title or "sign" for column in COLUMNS], rows, data) if rows else None

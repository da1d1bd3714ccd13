"""What is in the bin: deleted runs, one of which is brought back."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Static

from ...errors import UsageError
from ...trainer.common.number_text import percentage
from ...trainer.runs import deleted_runs
from ...trainer.runs.states import STATES
from ..core import key_bindings
from ..core.messages import BinRead
from ..runs import run_table
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

COLUMNS = (Column("id"), Column("state", 13), Column("best %", 6, right=True), Column("kept until", 10))
WORDS = f"Deleted runs stay for {deleted_runs.DAYS} days; `cnn-explorer runs bin --empty` deletes them for good."


class RunBinScreen(Dialog[str]):
    """Ends with the id of the run that is to be restored."""

    HEADING = "Deleted runs"
    BINDINGS: ClassVar = key_bindings.bindings("bin")
    PLACES: ClassVar = ("bin", "dialog")

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._folder = runs

    def compose_dialog(self) -> ComposeResult:
        yield RowList(COLUMNS, empty="reading …")
        yield Static(WORDS, markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(RowList).focus()
        self._read()

    @work(thread=True, exit_on_error=False, description="reads the bin")
    def _read(self) -> None:
        try:
            found = deleted_runs.in_bin(self._folder)
        except UsageError as error:
            self.post_message(BinRead({}, str(error)))
            return
        # Of several with one id the one deleted last comes back, so that one is shown.
        newest = {one.id: one for one in reversed(found)}
        rows = {one.id: (one.read(), one.until) for one in found if newest[one.id] is one}
        self.post_message(BinRead(rows))

    def on_bin_read(self, message: BinRead) -> None:
        table = self.query_one(RowList)
        table.empty = message.problem or "no run was deleted in the last seven days"
        rows = []
        for run_id, (run, until) in message.runs.items():
            sign, best = STATES[run.state].symbol, percentage(run.best_accuracy)
            cells = (run_id, f"{sign} {run.state}", best, f"{until.astimezone():%Y-%m-%d}")
            rows.append(ListRow(run_id, cells, tones={1: run_table.tone(run)}))
        table.set_rows(rows)

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        if key := self.query_one(RowList).key:
            self.dismiss(key)

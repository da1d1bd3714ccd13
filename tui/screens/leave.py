"""Quitting while runs are on: they go on by themselves, unless one says otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from ...trainer.runs.run import RunSnapshot
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

CHOICES = (
    ("leave", "quit and leave them running: they need no terminal"),
    ("stop", "quit and stop them; each writes a checkpoint first"),
    ("stay", "stay"),
)


class LeaveScreen(Dialog[str]):
    """Ends with "leave", "stop" or "stay"."""

    HEADING = "Quit"

    def __init__(self, runs: Sequence[RunSnapshot]) -> None:
        super().__init__()
        self._runs = list(runs)

    def compose_dialog(self) -> ComposeResult:
        count = len(self._runs)
        yield Static(f"{count} run{' is' if count == 1 else 's are'} not over:", markup=False)
        for run in self._runs[:5]:
            yield Static(f"  {run.id}  {run.state}", markup=False)
        yield Static("", markup=False)
        yield RowList((Column(""),), [ListRow(key, (text,)) for key, text in CHOICES], titles=False, id="choices")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(RowList).focus()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss(message.key)

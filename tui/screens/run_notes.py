"""Tags and a remark for a run."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...trainer.runs.annotations import Notes
from ..core import key_bindings
from .dialog import Dialog

LONGEST = 2000


class RunNotesScreen(Dialog[Notes]):
    """Asks for tags and remark, and returns them; ``field`` is the one to begin in, "tags" or "remark"."""

    BINDINGS: ClassVar = key_bindings.bindings("dialog")
    HEADING = "Tags and remark"

    def __init__(self, run_id: str, notes: Notes, field: str) -> None:
        super().__init__()
        self._run_id, self._notes, self._field = run_id, notes, field

    def compose_dialog(self) -> ComposeResult:
        yield Static(self._run_id, markup=False)
        yield Static("tags, with commas between them", classes="label", markup=False)
        yield Input(", ".join(self._notes.tags), id="tags", compact=True, max_length=LONGEST)
        yield Static("remark", classes="label", markup=False)
        yield Input(self._notes.remark, id="remark", compact=True, max_length=LONGEST)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(f"#{self._field}", Input).focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        words = (word.strip() for word in self.query_one("#tags", Input).value.split(","))
        tags = tuple(dict.fromkeys(word for word in words if word))
        self.dismiss(Notes(tags, self.query_one("#remark", Input).value.strip()))

"""What is done with all marked runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...errors import counted
from ...trainer.runs.run import RunSnapshot
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog


@dataclass(frozen=True)
class BulkChoice:
    """``what`` is one of "tag", "untag", "stop"; ``tags`` are the words that were typed for the first two."""

    what: str
    tags: tuple[str, ...] = ()


class MarkedRunsScreen(Dialog[BulkChoice]):
    """Ends with what is wanted. Stopping is asked about once more by whoever opened this."""

    def __init__(self, runs: Sequence[RunSnapshot]) -> None:
        super().__init__()
        self._runs = list(runs)

    @property
    def _choices(self) -> list[tuple[str, str]]:
        tags = sorted({tag for run in self._runs for tag in run.notes.tags})
        going = sum(run.live and run.state != "queued" for run in self._runs)
        choices = [("tag", "add these tags to all of them")]
        choices += [("untag", f"take these tags from all that have them: {', '.join(tags)}")] if tags else []
        choices += [("stop", f"stop the {going} that run; each writes a checkpoint")] if going else []
        return choices

    def compose_dialog(self) -> ComposeResult:
        yield Static("tags, with commas between them", classes="label", markup=False)
        yield Input(compact=True, id="tags")
        rows = [ListRow(key, (text,)) for key, text in self._choices]
        yield RowList((Column(""),), rows, titles=False, id="choices")

    def on_mount(self) -> None:
        super().on_mount()
        count = len(self._runs)
        self.query_one("#dialog").border_title = counted(count, "marked run")
        self.query_one("#choices").focus()

    @on(Input.Submitted)
    def _typed(self) -> None:
        self.query_one(RowList).focus()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self._end_with(message.key)

    def action_submit(self) -> None:
        self._end_with(self.query_one(RowList).key)

    def _end_with(self, what: str) -> None:
        words = (word.strip() for word in self.query_one(Input).value.split(","))
        tags = tuple(dict.fromkeys(word for word in words if word))
        if what == "stop" or tags:
            self.dismiss(BulkChoice(what, tags))
        else:
            self.query_one(Input).focus()

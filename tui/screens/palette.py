"""Going to anything by its name: a network, a run, a concept page, or a command of the screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from ..core import palette
from ..core.palette import PaletteEntry
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

COLUMNS = (Column("", 8), Column(""), Column("", 20))


class PaletteScreen(Dialog[PaletteEntry]):
    """Ends with the entry that was chosen."""

    HEADING = "Go to a network, a run or a concept, or do a command"

    def __init__(self, entries: Sequence[PaletteEntry]) -> None:
        super().__init__()
        self._entries = entries
        self._found: list[PaletteEntry] = []

    def compose_dialog(self) -> ComposeResult:
        yield Input(placeholder="a part of a name", compact=True, id="palette-words")
        yield RowList(COLUMNS, titles=False, id="palette-rows", empty="nothing has these words")

    def on_mount(self) -> None:
        super().on_mount()
        self._fill("")
        self.query_one(Input).focus()

    @property
    def table(self) -> RowList:
        """What was found."""
        return self.query_one(RowList)

    def _fill(self, text: str) -> None:
        self._found = palette.matching(self._entries, text)
        rows = [
            ListRow(str(place), (entry.kind, entry.title, entry.more), tones={0: "dim", 2: "dim"})
            for place, entry in enumerate(self._found)
        ]
        self.table.set_rows(rows, "0")
        count = f"{len(self._found)}{'+' if len(self._found) == palette.MOST else ''}"
        self.query_one("#dialog").border_subtitle = f"{count} of {len(self._entries)}"

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self._fill(message.value)

    def key_down(self) -> None:
        self.table.action_cursor_down()

    def key_up(self) -> None:
        self.table.action_cursor_up()

    def key_pagedown(self) -> None:
        self.table.action_page_down()

    def key_pageup(self) -> None:
        self.table.action_page_up()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_submit()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        if self.table.key:
            self.dismiss(self._found[int(self.table.key)])

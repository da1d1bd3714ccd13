"""Choosing one name out of many, by typing a part of it."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

NO_NAME = "no name has all these words"


class PickScreen(Dialog[str]):
    """Ends with the name that was chosen."""

    def __init__(self, heading: str, names: Sequence[str], current: str = "") -> None:
        super().__init__()
        self._heading, self._names, self._current = heading, list(names), current

    def compose_dialog(self) -> ComposeResult:
        yield Input(placeholder="type a part of the name", compact=True, id="pick-text")
        yield RowList((Column(""),), self._rows(""), cursor=self._current, titles=False, empty=NO_NAME, id="pick-rows")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#dialog").border_title = self._heading
        self.query_one(Input).focus()

    def _rows(self, text: str) -> list[ListRow]:
        words = text.lower().split()
        return [ListRow(name, (name,)) for name in self._names if all(word in name.lower() for word in words)]

    @property
    def _table(self) -> RowList:
        return self.query_one(RowList)

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self._table.set_rows(self._rows(message.value))

    def key_down(self) -> None:
        self._table.action_cursor_down()

    def key_up(self) -> None:
        self._table.action_cursor_up()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss(message.key)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        if self._table.key:
            self.dismiss(self._table.key)

"""Choosing some of a few things: the base of the dialogs about charts and columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

SHOW = "show them"


class ChooseSeveralScreen(Dialog[tuple[str, ...]]):
    """Ends with what was chosen of ``titles``, in the order that they have there; one at least."""

    ONE = "one"

    def __init__(self, titles: Mapping[str, str], shown: Collection[str]) -> None:
        super().__init__()
        self._titles = titles
        self._shown = set(shown)

    def compose_dialog(self) -> ComposeResult:
        table = RowList((Column(""),), self._rows(), titles=False, id="choice-rows")
        table.styles.height = len(table.rows)
        yield table
        yield Static("", id="choice-problem", classes="problem", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(RowList).focus()

    def _rows(self) -> list[ListRow]:
        marks = {name: "[x]" if name in self._shown else "[ ]" for name in self._titles}
        rows = [ListRow(name, (f"{marks[name]} {title}",)) for name, title in self._titles.items()]
        return [*rows, ListRow(SHOW, (SHOW,))]

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        if message.key == SHOW:
            self.action_submit()
            return
        self._shown ^= {message.key}
        self.query_one(RowList).set_rows(self._rows())

    def action_submit(self) -> None:
        if self._shown:
            self.dismiss(tuple(name for name in self._titles if name in self._shown))
        else:
            self.query_one("#choice-problem", Static).update(f"{self.ONE} at least")


class ChooseColumnsScreen(ChooseSeveralScreen):
    """Which columns of a table are shown."""

    HEADING = "Columns"
    ONE = "one column"

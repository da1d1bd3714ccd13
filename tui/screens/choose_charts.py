"""Which charts are shown."""

from __future__ import annotations

from collections.abc import Collection

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from ..charts.view import METRICS, TITLES
from ..widgets.rows import Column, Row, RowList
from .dialog import Dialog

SHOW = "show them"


class ChooseChartsScreen(Dialog[tuple[str, ...]]):
    """Ends with the metrics that were chosen, in their usual order."""

    HEADING = "Charts"

    def __init__(self, shown: Collection[str]) -> None:
        super().__init__()
        self._shown = set(shown)

    def compose_dialog(self) -> ComposeResult:
        table = RowList((Column(""),), self._rows(), titles=False, id="chart-rows")
        table.styles.height = len(table.rows)
        yield table
        yield Static("", id="charts-problem", classes="problem", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(RowList).focus()

    def _rows(self) -> list[Row]:
        marks = {name: "[x]" if name in self._shown else "[ ]" for name in METRICS}
        return [*(Row(name, (f"{marks[name]} {TITLES[name]}",)) for name in METRICS), Row(SHOW, (SHOW,))]

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        if message.key == SHOW:
            self.action_submit()
            return
        self._shown ^= {message.key}
        self.query_one(RowList).set_rows(self._rows())

    def action_submit(self) -> None:
        if self._shown:
            self.dismiss(tuple(name for name in METRICS if name in self._shown))
        else:
            self.query_one("#charts-problem", Static).update("one chart at least")

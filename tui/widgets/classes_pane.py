"""Accuracy of each class: now, against the first evaluation, on the test split, and its course."""

from __future__ import annotations

import math

from textual.app import ComposeResult
from textual.containers import Vertical

from ...trainer.common.number_text import NONE, percentage
from ...trainer.runs.run import RunSnapshot
from ..charts.sparkline import sparkline
from ..core import screen_export
from ..core.screen_export import Export
from ..runs import classes, run_data
from ..runs.classes import ClassRow
from ..runs.run_tail import RunNews
from .rows import Column, ListRow
from .sorted_rows import SortedRows

BAR_CELLS, COURSE_CELLS = 20, 16
COLUMNS = (
    Column("class"),
    Column("now %", 6, right=True),
    Column("", BAR_CELLS, above=90),
    Column("gained", 7, right=True),
    Column("course", COURSE_CELLS, above=58),
    Column("test %", 6, right=True),
    Column("taken for", 18, above=74),
)


class ClassesPane(Vertical):
    """A row a class, in the order of the classes or the worst first."""

    def __init__(self) -> None:
        super().__init__(id="classes")
        self.worst_first = False
        self._rows: list[ClassRow] = []

    def compose(self) -> ComposeResult:
        table = SortedRows(COLUMNS, empty="reading …")
        table.opens = False
        yield table

    @property
    def table(self) -> SortedRows:
        """The rows."""
        return self.query_one(SortedRows)

    def show(self, run: RunSnapshot, news: RunNews) -> None:
        """Show what is known of a run."""
        self._rows = classes.rows(run.classes, news.per_class, news.test)
        self.table.empty = "accuracies of the classes come with the first evaluation"
        self._fill()

    def action_order(self) -> None:
        self.worst_first = not self.worst_first
        self.table.unsort()
        self._fill()

    def _fill(self) -> None:
        rows = classes.worst_first(self._rows) if self.worst_first else self._rows
        self.table.set_rows(ListRow(str(row.place), cells(row)) for row in rows)

    def export(self) -> Export:
        """Return the table."""
        rows = classes.worst_first(self._rows) if self.worst_first else self._rows
        columns = [column.title or "bar" for column in COLUMNS]
        data = [run_data.of_class(row) for row in rows]
        return screen_export.table("classes", columns, [row.cells for row in self.table.rows], data)


def cells(row: ClassRow) -> tuple[str, ...]:
    """Return a class as the table shows it."""
    now = row.test if math.isnan(row.now) else row.now
    bar = "" if math.isnan(now) else "█" * round(BAR_CELLS * min(max(now, 0.0), 1.0))
    gained = "" if math.isnan(row.gained) else f"{100 * row.gained:+.1f}"
    course = sparkline(row.course, COURSE_CELLS, 0.0, 1.0)
    return (
        row.name,
        percentage(row.now, NONE),
        bar.ljust(BAR_CELLS, "·"),
        gained,
        course,
        percentage(row.test, NONE),
        row.taken_for,
    )

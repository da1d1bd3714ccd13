"""A list that a click on a column title sorts by that column; a second click turns the order round."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .rows import Column, ListRow, RowList

NUMBER = re.compile(r"[+−-]?\d[\d,]*(?:\.\d+)?")
UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
NOTHING = ("", "–", "-")
CLOCK = re.compile(r"(?:(?P<days>\d+) d )?(?P<hours>\d+) h(?: (?P<minutes>\d+))?|(?P<short>\d+):(?P<seconds>\d+)")


def sort_value(cell: str) -> tuple[int, float, str]:
    """Return what a cell sorts by: its number with its unit before its text."""
    text = cell.strip()
    if clock := CLOCK.fullmatch(text):
        parts = {name: int(part or 0) for name, part in clock.groupdict().items()}
        minutes = (parts["days"] * 24 + parts["hours"]) * 60 + parts["minutes"] + parts["short"]
        return (0, minutes * 60 + parts["seconds"], "")
    found = NUMBER.match(text)
    if found is None:
        return (1, 0.0, text.lower())
    number = float(found[0].replace("−", "-").replace(",", ""))
    rest = text[found.end() :].strip()
    return (0, number * UNITS.get(rest[:1], 1.0), rest)


class SortedRows(RowList):
    """``given`` are the rows in the order of whoever shows them, which is that of the list until a title is clicked."""

    def __init__(self, columns: Sequence[Column], rows: Iterable[ListRow] = (), **options: Any) -> None:
        super().__init__(columns, rows, **options)
        self.given = self.rows
        self.by: int | None = None
        self.turned = False

    @property
    def order_words(self) -> str:
        """How the list is sorted: ``by best %, reversed``; "" in the order given."""
        if self.by is None:
            return ""
        return f"by {self.columns[self.by].title or 'sign'}{', reversed' if self.turned else ''}"

    def show_columns(self, columns: Sequence[Column]) -> None:
        if self.by is not None:
            places = {column.title: place for place, column in enumerate(columns)}
            self.by = places.get(self.columns[self.by].title)
        super().show_columns(columns)

    def set_rows(self, rows: Iterable[ListRow], cursor: str | None = None) -> None:
        self.given = tuple(rows)
        super().set_rows(self._in_order(), cursor)

    def _in_order(self) -> Sequence[ListRow]:
        place = self.by
        if place is None:
            return self.given
        # What has no value stands at the end in either direction.
        known = [row for row in self.given if row.cells[place].strip() not in NOTHING]
        rest = [row for row in self.given if row.cells[place].strip() in NOTHING]
        return [*sorted(known, key=lambda row: sort_value(row.cells[place]), reverse=self.turned), *rest]

    def on_row_list_title_picked(self, message: RowList.TitlePicked) -> None:
        """Sort by the column that was clicked."""
        self.turned = self.by == message.column and not self.turned
        self.by = message.column
        self.set_rows(self.given)

    def sort_by_next(self) -> None:
        """Sort by the next column in sight; behind the last one comes the order given."""
        shown = [place for place, column in enumerate(self.columns) if column.above <= self._counted]
        self.by = next((place for place in shown if self.by is None or place > self.by), None)
        self.turned = False
        self.set_rows(self.given)

    def unsort(self) -> None:
        """Go back to the order given."""
        self.by, self.turned = None, False
        self.set_rows(self.given)

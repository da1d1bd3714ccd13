"""A list of rows in columns, drawn line by line: as quick with a thousand rows as with ten. Keys as in vim, or arrows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ...trainer.common import text_safe
from ..core import key_bindings
from .repaint import LineDrawn

CURSOR = "▶ "
NO_CURSOR = "  "
GAP = 1
LEAST = 8
"""A column of text is not made narrower than this."""
ENOUGH_CELLS = 24
"""What a flexible column keeps where others could use more."""


@dataclass(frozen=True)
class Column:
    """``width`` cells wide; 0 takes what the others leave. ``above``: shown only where the list has at least that width.
    ``longest``: the column gets up to so many cells of what the flexible ones do not need.
    """

    title: str
    width: int = 0
    right: bool = False
    above: int = 0
    longest: int = 0


@dataclass(frozen=True)
class ListRow:
    """``key`` names it; ``tone`` is one of the component classes: "plain", "dim", "good", "bad", "head"."""

    key: str
    cells: tuple[str, ...]
    tone: str = "plain"
    tones: dict[int, str] = field(default_factory=dict)
    selectable: bool = True


class RowList(ScrollView, LineDrawn, can_focus=True):
    """Rows under their column titles, with a cursor that is marked by a sign as well as by colour."""

    BINDINGS: ClassVar = key_bindings.bindings("list")
    PLACES: ClassVar = ("list",)
    opens = True
    """Whether Enter on a row does something."""

    COMPONENT_CLASSES: ClassVar = {
        "rows--plain",
        "rows--dim",
        "rows--good",
        "rows--bad",
        "rows--warn",
        "rows--head",
        "rows--title",
        "rows--cursor",
        "rows--cursor-blurred",
    }

    @dataclass
    class Moved(Message):
        """The cursor is on another row; ``key`` is "" where there is none."""

        rows: RowList
        key: str

        @property
        def control(self) -> RowList:
            return self.rows

    @dataclass
    class Chosen(Message):
        """Enter was pressed on a row, or it was clicked a second time."""

        rows: RowList
        key: str

        @property
        def control(self) -> RowList:
            return self.rows

    @dataclass
    class TitlePicked(Message):
        """The title of a column was clicked."""

        rows: RowList
        column: int

        @property
        def control(self) -> RowList:
            return self.rows

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Iterable[ListRow] = (),
        *,
        cursor: str = "",
        empty: str = "nothing here",
        titles: bool = True,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.columns = tuple(columns)
        self.rows: tuple[ListRow, ...] = tuple(rows)
        self.empty = empty
        self.titles = titles
        self._cursor = self._place_of(cursor)
        self._most_counted = 0

    # What is shown

    @property
    def key(self) -> str:
        """Key of the row under the cursor; "" where there is none."""
        return self.rows[self._cursor].key if self.rows else ""

    @property
    def keys_in_sight(self) -> tuple[str, ...]:
        """Keys of the visible rows."""
        top = self.scroll_offset.y
        return tuple(row.key for row in self.rows[top : top + max(self._page, 0)])

    @property
    def column_titles(self) -> tuple[str, ...]:
        """The titles that are in sight at the present width."""
        shown = (column.title for column in self.columns if column.above <= self._counted)
        return tuple(title for title in shown if title) if self.titles else ()

    @property
    def lines(self) -> int:
        """How many rows are in sight at once."""
        return max(self._page, 0)

    def column_cells(self, place: int) -> int:
        """Return the present width of a column."""
        return self._widths(self.size.width)[place]

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Show the rows in other columns."""
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self.refresh()

    def set_rows(self, rows: Iterable[ListRow], cursor: str | None = None) -> None:
        """Show other rows. The cursor goes to the row ``cursor``; by default it stays on its row, or near it."""
        before, place, shown = self.key, self._cursor, self.rows
        wanted = before if cursor is None else cursor
        self.rows = tuple(rows)
        found = self._place_of(wanted, default=-1)
        self._cursor = found if found >= 0 else self._selectable(min(place, max(len(self.rows) - 1, 0)), 1)
        self._measure()
        scrolled = self._show_cursor()
        if scrolled or not shown or len(shown) != len(self.rows):
            self.refresh()
        else:
            self._refresh_changes(shown, place)
        if self.key != before:
            self.post_message(self.Moved(self, self.key))

    def go_to(self, key: str) -> bool:
        """Put the cursor on a row; False where there is no such row."""
        place = self._place_of(key, default=-1)
        if place >= 0:
            self._move_to(place)
        return place >= 0

    def _place_of(self, key: str, default: int = 0) -> int:
        for place, row in enumerate(self.rows):
            if row.key == key and row.selectable:
                return place
        return self._selectable(0, 1) if default == 0 else default

    def _selectable(self, place: int, way: int) -> int:
        """Return the first row from ``place`` on, in direction ``way``, that the cursor may be on; ``place`` if there
        is none.
        """
        for step in (way, -way):
            at = place
            while 0 <= at < len(self.rows):
                if self.rows[at].selectable:
                    return at
                at += step
        return min(max(place, 0), max(len(self.rows) - 1, 0))

    # Movement

    def _move_to(self, place: int, way: int = 1) -> None:
        if not self.rows:
            return
        place = self._selectable(min(max(place, 0), len(self.rows) - 1), way)
        if place == self._cursor:
            self._show_cursor()
            return
        before, self._cursor = self._cursor, place
        if not self._show_cursor():
            self._refresh_row(before)
            self._refresh_row(place)
        self.post_message(self.Moved(self, self.key))

    def _show_cursor(self) -> bool:
        """Scroll until the cursor is visible; return whether that was needed."""
        height = self._page
        if height <= 0:
            return False
        top = self.scroll_offset.y
        # A heading directly above the cursor is shown with it.
        above = self._cursor - 1 if self._cursor and not self.rows[self._cursor - 1].selectable else self._cursor
        wanted = min(max(top, self._cursor - height + 1), above)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False)
            return True
        return False

    def _refresh_changes(self, before: Sequence[ListRow], cursor: int) -> None:
        """Paint those rows in sight again that are not as they were ``before``, when the cursor was on another one."""
        top = self.scroll_offset.y
        for place in range(top, min(top + max(self._page, 0), len(self.rows))):
            if self.rows[place] != before[place] or (place in (cursor, self._cursor) and cursor != self._cursor):
                self._refresh_row(place)

    def _refresh_row(self, place: int) -> None:
        y = place - self.scroll_offset.y + self._title_lines
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    @property
    def _title_lines(self) -> int:
        return 1 if self.titles else 0

    @property
    def _page(self) -> int:
        return self.scrollable_content_region.height - self._title_lines

    def action_cursor_down(self) -> None:
        self._move_to(self._cursor + 1)

    def action_cursor_up(self) -> None:
        self._move_to(self._cursor - 1, -1)

    def action_cursor_first(self) -> None:
        self._move_to(0)

    def action_cursor_last(self) -> None:
        self._move_to(len(self.rows) - 1, -1)

    def action_page_down(self) -> None:
        self._move_to(self._cursor + max(self._page - 1, 1))

    def action_page_up(self) -> None:
        self._move_to(self._cursor - max(self._page - 1, 1), -1)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "choose":
            return self.opens and self._is_on_row
        return super().check_action(action, parameters)

    @property
    def _is_on_row(self) -> bool:
        return bool(self.rows) and self.rows[self._cursor].selectable

    def action_choose(self) -> None:
        if self._is_on_row:
            self.post_message(self.Chosen(self, self.key))

    def _column_at(self, x: int) -> int | None:
        """Return the column at a cell of the line of titles."""
        end = len(NO_CURSOR)
        for place, width in enumerate(self._widths(self.size.width)):
            end += width + GAP if width else 0
            if len(NO_CURSOR) <= x < end and width:
                return place
        return None

    def on_click(self, event: events.Click) -> None:
        if self.titles and event.y == 0:
            column = self._column_at(event.x)
            if column is not None:
                self.post_message(self.TitlePicked(self, column))
            return
        place = event.y - self._title_lines + self.scroll_offset.y
        if not 0 <= place < len(self.rows) or event.y < self._title_lines or not self.rows[place].selectable:
            return
        if place == self._cursor:
            self.action_choose()
        else:
            self._move_to(place)

    # Drawing

    def on_mount(self) -> None:
        self._measure()

    def on_resize(self) -> None:
        # While list and panes take turns, a wider one has longer texts, and no column that it would lose beside another.
        self._most_counted = getattr(self.screen, "most_counted", 0)
        self._measure()
        self._show_cursor()

    @property
    def _counted(self) -> int:
        """The width by which columns are shown or not."""
        return min(self.size.width, self._most_counted or self.size.width)

    def on_focus(self) -> None:
        self._refresh_row(self._cursor)

    def on_blur(self) -> None:
        self._refresh_row(self._cursor)

    def _measure(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.rows) + self._title_lines)

    def _widths(self, total: int) -> list[int]:
        """Return the cells of each column, 0 for one that is not shown; flexible ones share what is left."""
        # A blank stays between the last column and the scroll bar.
        room = total - len(CURSOR) - (self.scrollbar_size_vertical if self.show_vertical_scrollbar else 0)
        shown = [column.above <= self._counted for column in self.columns]
        fixed = sum(column.width + GAP for column, on in zip(self.columns, shown, strict=True) if on)
        flexible = sum(1 for column, on in zip(self.columns, shown, strict=True) if on and not column.width)
        left = max(room - fixed, 0)
        cells = [column.width for column in self.columns]
        for place, column in enumerate(self.columns):
            if shown[place]:
                more = max(0, min(column.longest - column.width, left - flexible * ENOUGH_CELLS))
                cells[place], left = cells[place] + more, left - more
        widths = [width or left // flexible if on else 0 for width, on in zip(cells, shown, strict=True)]
        return self._squeezed(widths, fixed - room)

    def _squeezed(self, widths: list[int], over: int) -> list[int]:
        """Shorten the widest text by ``over`` cells, where columns need too many: a figure that is cut off is wrong."""
        texts = [place for place, column in enumerate(self.columns) if not column.right and widths[place]]
        if over > 0 and texts:
            widest = max(texts, key=widths.__getitem__)
            widths[widest] = max(widths[widest] - over, min(widths[widest], LEAST))
        return widths

    def _text(self, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
        if len(cells) == 1 and sum(map(bool, widths)) > 1:
            return [
                text_safe.pad(cells[0], sum(width + GAP for width in widths if width))
            ]  # a heading over all columns
        texts = []
        for index, width in enumerate(widths):
            cell = cells[index] if index < len(cells) else ""
            texts.append(text_safe.pad(cell, width, right=self.columns[index].right) + " " * GAP if width else "")
        return texts

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.base_style
        if self.titles and y == 0:
            titles = self._text([column.title for column in self.columns], self._widths(width))
            return self._strip([NO_CURSOR, *titles], base + self.get_component_rich_style("rows--title"), width)
        place = y - self._title_lines + self.scroll_offset.y
        if not 0 <= place < len(self.rows):
            return self._strip([self._word_line(y, width)], base + self.get_component_rich_style("rows--dim"), width)
        row = self.rows[place]
        texts = self._text(row.cells, self._widths(width))
        if place == self._cursor and row.selectable:
            name = "rows--cursor" if self.has_focus else "rows--cursor-blurred"
            return self._strip([CURSOR, *texts], base + self.get_component_rich_style(name), width)
        plain = base + self.get_component_rich_style(f"rows--{row.tone}")
        if not row.tones:
            return self._strip([NO_CURSOR, *texts], plain, width)
        segments = [Segment(NO_CURSOR, plain)]
        for index, text in enumerate(texts):
            tone = row.tones.get(index)
            style = base + self.get_component_rich_style(f"rows--{tone}") if tone else plain
            segments.append(Segment(text, style))
        # Neighbours of one style are sent as one: over SSH every change of style counts.
        return Strip(segments).adjust_cell_length(width, base).simplify()

    def _word_line(self, y: int, width: int) -> str:
        """Return a line of the words that stand where there are no rows, folded to the width."""
        if self.rows:
            return ""
        lines = textwrap.wrap(self.empty, max(width - 2 * len(NO_CURSOR), LEAST))
        place = y - self._title_lines
        return NO_CURSOR + lines[place] if place < len(lines) else ""

    def _strip(self, texts: Sequence[str], style: Style, width: int) -> Strip:
        return Strip([Segment("".join(texts), style)]).adjust_cell_length(width, style)

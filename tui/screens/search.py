"""Searching all notes and concept pages while one types."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.timer import Timer
from textual.widgets import Input

from ..networks import pages
from ..networks.pages import Hit
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

DELAY_S = 0.12
PAGE_CELLS, WIDE_PAGE_CELLS, WIDE = 22, 36, 90
"""Cells of the title of a page; where the dialog has ``WIDE`` columns, all titles have room."""


class SearchScreen(Dialog[tuple[Hit, str]]):
    """Ends with the line that was chosen and the words that were typed."""

    HEADING = "Search all notes and concepts"

    def __init__(self) -> None:
        super().__init__()
        self._hits: list[Hit] = []
        self._timer: Timer | None = None
        self._searched = ""

    def compose_dialog(self) -> ComposeResult:
        yield Input(placeholder="words", compact=True, id="search-words")
        yield RowList(self._columns(PAGE_CELLS), titles=False, id="search-rows", empty="")

    @staticmethod
    def _columns(cells: int) -> tuple[Column, ...]:
        return Column("page", cells), Column("line")

    @property
    def _page_cells(self) -> int:
        return WIDE_PAGE_CELLS if self.query_one("#dialog").size.width >= WIDE else PAGE_CELLS

    def on_resize(self) -> None:
        self._table.show_columns(self._columns(self._page_cells))
        if self._hits:
            self._search()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(Input).focus()

    @property
    def _table(self) -> RowList:
        return self.query_one(RowList)

    @on(Input.Changed)
    def _typed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        if not self._hits:
            self._table.empty = "searching …" if self.query_one(Input).value.strip() else ""
            self._table.refresh()
        self._timer = self.set_timer(DELAY_S, self._catch_up)

    def _search(self) -> None:
        words = self._searched = self.query_one(Input).value
        self._hits = pages.search(words)
        self._table.empty = "nothing has these words" if words.strip() else ""
        room = self._table.size.width - self._page_cells - 4
        rows = [
            ListRow(str(place), (hit.page.title, pages.excerpt(hit, words, room)))
            for place, hit in enumerate(self._hits)
        ]
        self._table.set_rows(rows, "0")
        count = f"{len(self._hits)}{'+' if len(self._hits) == pages.MOST_HITS else ''}"
        self.query_one("#dialog").border_subtitle = f"{count} lines" if words.strip() else ""

    def _catch_up(self) -> None:
        """Search for what was typed just now, before something is chosen from what was found."""
        if self.query_one(Input).value != self._searched:
            self._search()

    def key_down(self) -> None:
        self._catch_up()
        self._table.action_cursor_down()

    def key_up(self) -> None:
        self._catch_up()
        self._table.action_cursor_up()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_submit()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._catch_up()
        self.action_submit()

    def action_submit(self) -> None:
        if self._table.key:
            self.dismiss((self._hits[int(self._table.key)], self.query_one(Input).value))

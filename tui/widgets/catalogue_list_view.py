"""The left side of the catalogue: the networks as a list, as a family tree or as points; filtered, ordered, marked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widget import Widget

from ...models.catalogue import registry
from ...models.catalogue.registry import Variant
from ..core import screen_export
from ..core.saved_state import SavedState
from ..core.screen_export import Export
from ..networks import catalogue_list, network_data
from .filter_input import FilterInput
from .rows import Column, ListRow, RowList

if TYPE_CHECKING:
    from .scatter_view import ScatterView  # imported when the points are first looked at

COLUMNS = (
    Column("", 1),
    Column("year", 4),
    Column("network"),
    Column("params", 6, right=True),
    Column("MACs", 6, right=True),
    Column("small stem", 16, right=True, above=62),
    Column("tags", 24, above=92, longest=64),
)
# Titles of families with their branches take more room than names.
TREE_COLUMNS = tuple(replace(column, above=max(column.above, 56)) if column.right else column for column in COLUMNS)
TONES = {1: "dim", 6: "dim"}
MOST_MARKED = 4


class CatalogueList(Vertical):
    """Keeps its order, view and cursor in ``saved_state``."""

    TERMS: ClassVar = ("◆", "stem", "(+ …)", "–")

    @dataclass
    class Moved(Message):
        """The cursor is on another network ("": on none)."""

        name: str

    @dataclass
    class Opened(Message):
        """Enter was pressed on a network."""

        name: str

    def __init__(self, saved_state: SavedState, *, id: str) -> None:
        super().__init__(id=id, classes="framed")
        self._saved_state = saved_state
        self._variants: tuple[Variant, ...] = tuple(registry.variants().values())
        self.marked: list[str] = []
        self._before = saved_state.network
        """The network that had the cursor before a filter left none."""
        self.border_title = "Architectures"

    def compose(self) -> ComposeResult:
        yield FilterInput("name, family, year, author, tag …")
        yield RowList(COLUMNS, self._rows(""), cursor=self._saved_state.network, empty="no network has all these words")

    def on_mount(self) -> None:
        self._count()
        if self._saved_state.view == "chart":
            self.call_after_refresh(self._show_view)

    @property
    def table(self) -> RowList:
        """The list, or the tree."""
        return self.query_one(RowList)

    @property
    def filter(self) -> FilterInput:
        """The line for filtering."""
        return self.query_one(FilterInput)

    @property
    def chart(self) -> ScatterView | None:
        """The points, once they were looked at."""
        return cast("ScatterView | None", next(iter(self.query("#scatter")), None))

    @property
    def target(self) -> Widget:
        """What takes the keyboard."""
        return self.chart if self._saved_state.view == "chart" and self.chart is not None else self.table

    @property
    def network(self) -> str:
        """Name of the network under the cursor."""
        return self.table.key

    # What is shown

    def _chosen(self, text: str) -> list[Variant]:
        return catalogue_list.matching(self._variants, text)

    def _rows(self, text: str) -> list[ListRow]:
        chosen = self._chosen(text)
        if self._saved_state.view == "tree":
            lines = catalogue_list.tree_entries(chosen, self.marked, self._saved_state.network)
        else:
            saved_state = self._saved_state
            lines = catalogue_list.entries(chosen, saved_state.sort, self.marked, saved_state.sort_reversed)
        return [
            ListRow(entry.name, entry.cells, tones=TONES)
            if entry.name
            else ListRow("", entry.cells, "head", selectable=False)
            for entry in lines
        ]

    def refresh_rows(self, cursor: str = "") -> None:
        """Show what the filter, the order, the view and the marks ask for, the cursor on a network if one is named."""
        self.table.columns = TREE_COLUMNS if self._saved_state.view == "tree" else COLUMNS
        self.table.set_rows(self._rows(self.filter.value), cursor or self._saved_state.network or self._before or None)
        self.filter.has_lines = bool(self.table.rows)
        self._show_chart()
        self._count()

    def _count(self) -> None:
        shown, total = len(self._chosen(self.filter.value)), len(self._variants)
        count = f"{total} networks" if shown == total else f"{shown} of {total} networks"
        if self._saved_state.view == "tree":
            count = f"{len(self.table.rows)} families, {count}"
        turned = ", reversed" if self._saved_state.sort_reversed else ""
        how = (
            catalogue_list.ORDERS[self._saved_state.sort].words + turned
            if self._saved_state.view == "list"
            else catalogue_list.VIEWS[self._saved_state.view]
        )
        marked = f", {len(self.marked)} marked" if self.marked else ""
        self.border_subtitle = f"{count}, {how}{marked}"

    def _show_chart(self) -> None:
        chart = self.chart
        if chart is not None and chart.display:
            chart.show(self._chosen(self.filter.value), self.table.key, self.marked)

    def _show_view(self) -> None:
        """Bring the view that was chosen to the front."""
        as_chart = self._saved_state.view == "chart"
        if as_chart and self.chart is None:
            from .scatter_view import ScatterView

            self.mount(ScatterView())
        had_focus = self.has_focus_within
        if self.chart is not None:
            self.chart.display = as_chart
        self.table.display = not as_chart
        self.refresh_rows()
        if had_focus:
            self.target.focus()

    @property
    def has_order(self) -> bool:
        """Whether what is shown stands in an order that can be chosen."""
        return self._saved_state.view == "list"

    # Commands of the screen

    def next_view(self) -> None:
        """List, family tree, points, and round again."""
        self._saved_state.view = catalogue_list.following(self._saved_state.view, catalogue_list.VIEWS)
        self._show_view()

    def next_order(self) -> None:
        """Sort by the next order."""
        self._sort(catalogue_list.following(self._saved_state.sort, catalogue_list.ORDERS), turned=False)

    def _sort(self, order: str, turned: bool) -> None:
        self._saved_state.sort, self._saved_state.sort_reversed = order, turned
        self.refresh_rows()

    def toggle_mark(self) -> str:
        """Mark the network under the cursor, or unmark it; words where four are marked already."""
        name = self.table.key
        if name in self.marked:
            self.marked.remove(name)
        elif len(self.marked) == MOST_MARKED:
            return f"{MOST_MARKED} are marked already; `m` on one of them takes its mark away"
        elif name:
            self.marked.append(name)
        self.refresh_rows()
        return ""

    def go_to(self, name: str) -> bool:
        """Put the cursor on a network; a filter that hides it is dropped. In the tree its family stands for it then."""
        if not self.table.go_to(name):
            self.filter.close()
            self._saved_state.network = name
            self.refresh_rows()
        found = self.table.go_to(name)
        self._show_chart()
        return found

    def go_back(self) -> bool:
        """Drop the filter; False where there is none."""
        if self.filter.is_open:
            self.filter.close()
            return True
        return False

    def export(self) -> Export:
        """Return the list as it is shown."""
        columns = [title or "marked" for title in catalogue_list.COLUMN_TITLES]
        shown, variants = [row.key for row in self.table.rows], registry.variants()
        data = [network_data.of_variant(variants[key], marked=key in self.marked) for key in shown if key in variants]
        return screen_export.table("architectures", columns, [row.cells for row in self.table.rows], data)

    # Messages from inside

    @on(FilterInput.Changed)
    def _filter_changed(self) -> None:
        self.refresh_rows(catalogue_list.called(self._chosen(self.filter.value), self.filter.value))

    @on(FilterInput.Left)
    def _filter_left(self) -> None:
        self.target.focus()

    @on(FilterInput.Move)
    def _filter_move(self, message: FilterInput.Move) -> None:
        if message.way > 0:
            self.table.action_cursor_down()
        else:
            self.table.action_cursor_up()

    @on(RowList.TitlePicked)
    def _title_picked(self, message: RowList.TitlePicked) -> None:
        """Sort by the column that was clicked, the second time the other way round."""
        message.stop()
        order = catalogue_list.ORDER_OF_TITLE.get(self.table.columns[message.column].title)
        if order is not None and self.has_order:
            saved_state = self._saved_state
            self._sort(order, turned=order == saved_state.sort and not saved_state.sort_reversed)

    @on(RowList.Moved)
    def _moved(self, message: RowList.Moved) -> None:
        message.stop()
        self._saved_state.network = message.key
        self._before = message.key or self._before
        self.post_message(self.Moved(message.key))

    @on(RowList.Chosen)
    def _opened(self, message: RowList.Chosen) -> None:
        message.stop()
        self.post_message(self.Opened(message.key))

    def on_scatter_view_moved(self, message) -> None:
        """Follow the cursor to another point."""
        message.stop()
        if not self.table.go_to(message.key):
            self._saved_state.network = message.key
            self.post_message(self.Moved(message.key))

    def on_scatter_view_chosen(self, message) -> None:
        """Enter was pressed on a point."""
        message.stop()
        self.post_message(self.Opened(message.key))

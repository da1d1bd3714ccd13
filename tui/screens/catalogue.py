"""The first screen: the architectures on the left, what there is to know of one on the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widget import Widget

from ...errors import UsageError
from ...models import catalogue
from ...models.catalogue import Variant
from .. import commands, layertree, shelf
from ..helper import Answer, HelperState
from ..layertree import LayerNode
from ..widgets.filter_input import FilterInput
from ..widgets.rows import Column, Row, RowList
from ..widgets.tabs import Tabs
from .base import BaseScreen

if TYPE_CHECKING:
    from ..widgets.text_view import TextView

COLUMNS = (
    Column("year", 4),
    Column("network"),
    Column("params", 6, right=True),
    Column("MACs", 6, right=True),
    Column("small form", 16, right=True, above=62),
    Column("tags", 24, above=92),
)
SETTLE_S = 0.08
"""A text follows the cursor this long after it came to rest: who runs down the list is not slowed by what is passed."""


class CatalogueScreen(BaseScreen):
    """List and panes side by side; on a narrow terminal one of them at a time, enter and escape in between."""

    PLACE = "catalogue"
    HEADING = "architectures"
    BINDINGS: ClassVar = commands.bindings("catalogue")
    CSS_PATH = "catalogue.tcss"

    def __init__(self) -> None:
        super().__init__()
        self._variants: tuple[Variant, ...] = tuple(catalogue.variants().values())
        self._form = "paper"
        self._shown: tuple[str, str, str] | None = None
        self._trees: dict[tuple[str, str], LayerNode] = {}
        self._asked: dict[int, tuple[str, str]] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._trail: list[str] = []
        self._timer: Timer | None = None
        self._reading = False

    # Layout

    def compose_body(self) -> ComposeResult:
        memory = self.explorer.memory
        with Horizontal(id="body"):
            with Vertical(id="shelf", classes="framed"):
                yield FilterInput("name, family, year, author, tag …")
                yield RowList(COLUMNS, self._rows(), cursor=memory.network, empty="no network has all these words")
            panes = {"note": ("Note", self._make_note), "layers": ("Layers", self._make_layers)}
            yield Tabs(panes, memory.tab, id="panes")

    def _make_note(self) -> Widget:
        from ..widgets.text_view import TextView

        return TextView(id="note")

    def _make_layers(self) -> Widget:
        from ..widgets.layers_pane import LayersPane

        return LayersPane()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#panes").add_class("framed")
        self.table.focus()
        self._title_list()
        self._title_pane()

    @property
    def table(self) -> RowList:
        """The list of networks."""
        return self.query_one("#shelf RowList", RowList)

    @property
    def tabs(self) -> Tabs:
        """The panes."""
        return self.query_one(Tabs)

    @property
    def filter(self) -> FilterInput:
        """The line for filtering."""
        return self.query_one(FilterInput)

    @property
    def variant(self) -> Variant | None:
        """The network under the cursor."""
        return catalogue.variants().get(self.table.key)

    # The list

    def _chosen(self) -> Sequence[Variant]:
        text = self.filter.value if self.is_mounted else ""
        return shelf.ordered(shelf.matching(self._variants, text), self.explorer.memory.sort)

    def _rows(self) -> list[Row]:
        rows, year = [], None
        for variant in self._chosen():
            show_year = self.explorer.memory.sort != "year" or variant.year != year
            rows.append(Row(variant.name, shelf.cells(variant, show_year=show_year), tones={0: "dim", 5: "dim"}))
            year = variant.year
        return rows

    def _title_list(self) -> None:
        shown, total = len(self.table.rows), len(self._variants)
        count = f"{total} networks" if shown == total else f"{shown} of {total} networks"
        frame = self.query_one("#shelf")
        frame.border_title = "Architectures"
        frame.border_subtitle = f"{count}, {shelf.ORDERS[self.explorer.memory.sort][0]}"

    @on(FilterInput.Changed)
    def _filter_changed(self) -> None:
        self.table.set_rows(self._rows())
        self._title_list()

    @on(FilterInput.Left)
    def _filter_left(self) -> None:
        self.table.focus()

    @on(FilterInput.Move)
    def _filter_move(self, message: FilterInput.Move) -> None:
        self.table.action_cursor_down() if message.way > 0 else self.table.action_cursor_up()

    @on(RowList.Moved, "#shelf RowList")
    def _moved(self, message: RowList.Moved) -> None:
        self.explorer.memory.network = message.key
        self._title_pane()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SETTLE_S, self._show_pane)

    @on(RowList.Chosen, "#shelf RowList")
    def _opened(self) -> None:
        self.read_pane()

    def go_to(self, name: str) -> bool:
        """Put the cursor on a network, dropping a filter that hides it."""
        if not self.table.go_to(name):
            self.filter.close()
            self.table.set_rows(self._rows())
            self._title_list()
        return self.table.go_to(name)

    # The panes

    def read_pane(self) -> None:
        """Bring the pane to the front and the keyboard into it."""
        self.add_class("-reading")
        self._show_pane()
        pane = self.tabs.pane
        target = (
            pane if pane is not None and pane.focusable else next(iter(pane.query("RowList")), None) if pane else None
        )
        if target is not None:
            target.focus()

    def _title_pane(self) -> None:
        variant = self.variant
        frame = self.query_one("#panes")
        frame.border_title = "" if variant is None else f"{variant.title} · {variant.name} · {variant.year}"
        frame.border_subtitle = "" if variant is None else shelf.facts(variant, self._form)

    def _show_pane(self) -> None:
        """Fill the pane that is shown with the network under the cursor, if it does not show that already."""
        variant = self.variant
        if variant is None or not self.is_mounted:
            return
        wanted = (self.tabs.current, variant.name, self._form)
        if wanted == self._shown:
            return
        self._shown = wanted
        if self.tabs.current == "note":
            self._show_note(variant)
        else:
            self._show_layers(variant)

    def _show_note(self, variant: Variant) -> None:
        for view in self.query("#note").results():
            view.show(shelf.note(catalogue.family(variant.family)))

    def _show_layers(self, variant: Variant) -> None:
        key = (variant.name, self._form)
        pane = self._layers_pane()
        if pane is None:
            return
        if key in self._trees:
            pane.show_tree(self._trees[key])
        elif key in self._failed:
            pane.show_words(self._failed.pop(key))
        else:
            if key not in self._asked.values():
                number = self.explorer.helper.ask("layers", network=variant.name, form=self._form)
                self._asked[number] = key
            pane.show_words(self._waiting())

    def _layers_pane(self):
        from ..widgets.layers_pane import LayersPane

        pane = self.tabs.pane_of("layers")
        return pane if isinstance(pane, LayersPane) and pane.is_mounted else None

    def _waiting(self) -> str:
        state = self.explorer.helper.state
        if state.word == "ready":
            return "the table is being computed …"
        return "torch is being loaded in a process of its own; the table appears when it is ready …"

    def answered(self, answer: Answer) -> None:
        """The helper process answered."""
        key = self._asked.pop(answer.number, None)
        if key is None:
            return
        try:
            self._trees[key] = layertree.from_answer((answer.value or {})["tree"])
        except (KeyError, TypeError, AttributeError):
            self._failed[key] = answer.problem or "the helper process gave no table"
        if self._shown is not None and self._shown == ("layers", *key):
            self._shown = None
            self._show_pane()

    def helper_changed(self, state: HelperState) -> None:
        """The helper process started, got ready or died."""
        self.update_status()
        pane, variant = self._layers_pane(), self.variant
        if (
            pane is not None
            and pane.words
            and variant is not None
            and (variant.name, self._form) in self._asked.values()
        ):
            pane.show_words(self._waiting())

    # Commands

    def action_tab(self, key: str) -> None:
        """Show a tab; on a narrow terminal instead of the list."""
        inside = self.focused is not None and self.tabs in self.focused.ancestors
        self._reading = inside or self.has_class("-reading") or not self.explorer.is_wide
        self.explorer.memory.tab = key
        self.tabs.show(key)

    @on(Tabs.Shown)
    def _tab_shown(self) -> None:
        if self._reading:
            self.read_pane()
        else:
            self._show_pane()
        self._reading = False

    @on(Tabs.Picked)
    def _tab_picked(self, message: Tabs.Picked) -> None:
        self.action_tab(message.key)

    def action_filter(self) -> None:
        self.remove_class("-reading")
        self.filter.open()

    def action_order(self) -> None:
        memory = self.explorer.memory
        memory.sort = shelf.next_order(memory.sort)
        self.table.set_rows(self._rows())
        self._title_list()

    def action_form(self) -> None:
        self._form = "small" if self._form == "paper" else "paper"
        self._title_pane()
        self._show_pane()

    def action_pane_down(self) -> None:
        self._scroll_pane(1)

    def action_pane_up(self) -> None:
        self._scroll_pane(-1)

    def _scroll_pane(self, way: int) -> None:
        for view in self.query("#note"):
            view.scroll_relative(y=way * max(view.size.height // 2, 1), animate=False)

    def action_train(self) -> None:
        if self.variant is not None:
            self.explorer.open_launch(self.variant.name)

    def go_back(self) -> bool:
        if self._trail:
            self.go_to(self._trail.pop())
            return True
        if self.has_class("-reading"):
            self.remove_class("-reading")
            self.table.focus()
            return True
        if self.focused is not self.table:
            self.table.focus()
            return True
        if self.filter.is_open:
            self.filter.close()
            return True
        return False

    def on_text_view_link_followed(self, message: TextView.LinkFollowed) -> None:
        """Go to the page of a link; escape comes back."""
        target = message.link.target
        name = PurePosixPath(target.partition("#")[0]).stem
        try:
            family = catalogue.family(name)
        except UsageError:
            self.explorer.say(target if "://" in target else f"there is no page {name!r}", "information")
            return
        here = self.table.key
        if self.go_to(family.variants[0].name):
            self._trail.append(here)
            self._show_pane()

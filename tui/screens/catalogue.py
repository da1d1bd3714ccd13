"""The first screen: the architectures on the left, what there is to know of one on the right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.timer import Timer

from ...errors import UsageError
from ...models.catalogue import registry
from ...models.catalogue.registry import STEMS, Variant
from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings
from ..core.pane_widths import PaneWidths
from ..core.screen_export import Export
from ..networks.selection import NetworkSelection
from ..widgets.catalogue_list_view import CatalogueList
from ..widgets.network_panes import NetworkPanes
from ..widgets.rows import RowList
from ..widgets.split import Split
from ..widgets.tabs import Tabs
from ..worker.process import HelperState
from .two_panes import TwoPanes

if TYPE_CHECKING:
    from ..networks.pages import Page
    from ..widgets.text_view import TextView

FRAME = 2
DELAY_S = 0.08
"""A text follows the cursor this long after it came to rest: who runs down the list is not slowed by what is passed."""

OF_ONE_NETWORK = frozenset(("train", "mark", "compare", "predict", "stem", "code", "image"))
"""The actions that need a network under the cursor; several marked ones are compared without it."""


class CatalogueScreen(TwoPanes):
    """List and panes side by side; on a narrow terminal one of them at a time, enter and escape in between."""

    PLACE = "catalogue"
    PLACES: ClassVar = ("two-panes",)
    WIDTHS = PaneWidths(share=0.4, least=65, widest=65, panes=74)
    TREE_WIDTHS = PaneWidths(share=0.5, least=65, widest=80, panes=74)
    """In the family tree, whose names are indented: as soon as there is room, as wide as in a terminal of 80."""
    LEADS_HERE = "show_catalogue"
    HEADING = "architectures"
    BINDINGS: ClassVar = key_bindings.bindings("catalogue")
    CSS_PATH = "catalogue.tcss"

    def __init__(self) -> None:
        super().__init__()
        self._selection: NetworkSelection | None = None
        # Where links came from: networks of this screen, or concept pages of the other.
        self._trail: list[str | Page] = []
        self._timer: Timer | None = None
        self._reading = False
        # What is to be done in a tab as soon as its pane is there and filled.
        self._then: tuple[str, Callable[[], None]] | None = None

    # Layout

    def compose_body(self) -> ComposeResult:
        with Split():
            yield CatalogueList(self.explorer.saved_state, id="list-pane")
            panes = NetworkPanes(self.explorer.saved_state.tab, id="panes")
            panes.add_class("framed")
            yield panes

    @property
    def list_cells(self) -> int:
        """The columns of the list while it stands beside the panes."""
        state = self.explorer.saved_state
        widths = self.TREE_WIDTHS if state.view == "tree" else self.WIDTHS
        return widths.of_list(self.app.size.width, state.splits.get(self.PLACE))

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self._title()

    @property
    def catalogue_list(self) -> CatalogueList:
        """The list of networks."""
        return self.query_one(CatalogueList)

    @property
    def table(self) -> RowList:
        """The rows of the list."""
        return self.catalogue_list.table

    @property
    def panes(self) -> NetworkPanes:
        """The tabs."""
        return self.query_one(NetworkPanes)

    @property
    def variant(self) -> Variant | None:
        """The network under the cursor."""
        return registry.variants().get(self.explorer.saved_state.network or self.catalogue_list.network)

    @property
    def selection(self) -> NetworkSelection | None:
        """What the panes speak about: the network under the cursor, with the stem and for the image that was chosen."""
        variant = self.variant
        if variant is None:
            return None
        known = self._selection
        if known is None or known.network != variant.name:
            # The stem stays while one moves on, the image size does not: it may not fit the next network.
            batch, stem = (known.batch, known.stem) if known else (NetworkSelection("").batch, STEMS[0])
            self._selection = NetworkSelection(variant.name, stem, batch=batch)
        return self._selection

    # What follows the cursor

    @on(CatalogueList.Moved)
    def _moved(self) -> None:
        # Not even the title follows at once: a frame is painted with all that is in it.
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DELAY_S, self.show_selection)

    @on(CatalogueList.Opened)
    def _opened(self) -> None:
        self.read_pane()

    def _title(self) -> None:
        selection = self.selection
        panes = self.panes
        panes.border_title = ""
        panes.border_subtitle = selection.facts() if selection else ""
        if selection is not None:
            panes.border_title = f"{selection.variant.title} · {selection.network} · {selection.variant.year}"

    def show_selection(self) -> None:
        """Fill the visible panes with the network under the cursor."""
        selection = self.selection
        if selection is not None and self.is_mounted:
            self.panes.show_selection(selection)
        elif self.is_mounted:
            self.panes.show_nothing()
        self.update_keys()

    def read_pane(self) -> None:
        """Bring the pane to the front and the keyboard into it."""
        self.add_class("-reading")
        self.show_selection()
        if self.panes.target is not None:
            self.panes.target.focus()

    @on(Tabs.Shown)
    def _tab_shown(self, message: Tabs.Shown) -> None:
        if self._reading:
            self.read_pane()
        else:
            self.show_selection()
        self._reading = False
        if self._then is not None and self._then[0] == message.key:
            then, self._then = self._then[1], None
            then()
        self.panes_changed()  # the first tab of all was shown before it was known whether there is room for two

    @on(Tabs.Picked)
    def _tab_picked(self, message: Tabs.Picked) -> None:
        self.action_tab(message.key)

    @property
    def _room(self) -> int:
        """The columns inside the frame of the panes; none for a second one where one was given the whole screen."""
        return self.app.size.width - self.list_cells - FRAME if self.side_by_side else 0

    def on_resize(self) -> None:
        self.panes_changed()

    def panes_changed(self) -> None:
        """Show a second pane, or none: the border was moved, or the panes have, or had, the whole screen."""
        if self.panes.pane is not None and self.panes.companion_in(self._room) != self.panes.companion:
            self.panes.show_tab(self.panes.current, self._room)

    # What the app tells

    def helper_changed(self, state: HelperState) -> None:
        super().helper_changed(state)
        for panes in self.query(NetworkPanes):
            panes.helper_changed()

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        super().runs_changed(runs)
        for panes in self.query(NetworkPanes):
            panes.runs_changed(runs)

    # Commands

    def action_tab(self, key: str, then: Callable[[], None] | None = None) -> None:
        """Show a tab; on a narrow terminal instead of the list. ``then`` is called when its pane is filled."""
        if self.selection is None:
            self.explorer.show_message("no network is chosen; escape drops the filter", "warning")
            return
        self._then = (key, then) if then is not None else None
        self._reading = self.in_panes or self.has_class("-reading") or not self.side_by_side
        self.explorer.saved_state.tab = key
        self.panes.show_tab(key, self._room)

    def action_filter(self) -> None:
        self.remove_class("-reading")
        self.catalogue_list.filter.open()

    def action_order(self) -> None:
        self.catalogue_list.next_order()

    def action_view(self) -> None:
        self.remove_class("-reading")
        self.catalogue_list.next_view()
        self._place_border()
        self.panes_changed()
        self.update_keys()

    def action_mark(self) -> None:
        words = self.catalogue_list.toggle_mark()
        if words:
            self.explorer.show_message(words, "warning")

    def action_compare(self) -> None:
        """Compare the marked networks, or the one under the cursor with its predecessor."""
        from ..networks import related
        from .compare import CompareScreen

        names = list(self.catalogue_list.marked)
        variant = self.variant
        if len(names) < 2 and variant is not None:
            other = related.counterpart(variant)
            names += [variant.name] + ([other.name] if other else [])
            names = list(dict.fromkeys(names))
        if len(names) < 2:
            self.explorer.show_message("mark two to four networks with `m` first", "warning")
            return
        stem = self._selection.stem if self._selection else STEMS[0]
        self.app.push_screen(CompareScreen(names[:4], stem))

    def action_stem(self) -> None:
        selection = self.selection
        if selection is not None:
            self._change(
                replace(selection, stem=STEMS[1 - STEMS.index(selection.stem)], image_size=None, channels=None)
            )

    def action_image(self) -> None:
        """Let the person type another image size, other channels, another batch."""
        from .input_size import InputSizeScreen

        if self.selection is not None:
            self.app.push_screen(InputSizeScreen(self.selection), self._change)

    def _change(self, selection: NetworkSelection | None) -> None:
        if selection is not None:
            self._selection = selection
            self._title()
            self.show_selection()

    def action_code(self) -> None:
        """Go from a layer to its line in the model file."""
        from ..widgets.code_pane import CodePane
        from ..widgets.layers_pane import LayersPane

        layers = self.panes.pane_of("layers")
        path = layers.table.path if isinstance(layers, LayersPane) and layers.selection == self.selection else ()

        def show() -> None:
            pane = self.panes.pane_of("code")
            if isinstance(pane, CodePane) and path:
                pane.show_layer(path)

        self.action_tab("code", show)
        self._reading = self._reading or bool(path)

    def on_code_view_picked(self, message) -> None:
        """Go from a class in the model file to the first of its layers, from the builder to the whole table."""
        from ..widgets.layers_pane import LayersPane

        def reveal() -> None:
            pane = self.panes.pane_of("layers")
            if isinstance(pane, LayersPane):
                pane.reveal(message.name)

        self.action_tab("layers", reveal)

    def action_pane_down(self) -> None:
        self._scroll_pane(1)

    def action_pane_up(self) -> None:
        self._scroll_pane(-1)

    def _scroll_pane(self, way: int) -> None:
        target = self.panes.target
        if target is not None:
            target.scroll_relative(y=way * max(target.size.height // 2, 1), animate=False)

    def action_predict(self) -> None:
        """Ask a question about the network under the cursor; in its note also about the terms that stand there."""
        from ..networks import catalogue_list, idea_quiz, quiz

        variant, others = self.variant, list(registry.variants().values())
        if variant is None:
            return
        note = catalogue_list.note(registry.family(variant.family)) if self._reads_note else ""

        def make(rng: random.Random) -> quiz.Question | None:
            idea = idea_quiz.about_text(note, rng) if note and rng.random() < 0.5 else None
            return idea or quiz.about_network(variant, others, rng)

        self.explorer.ask_person(make)

    @property
    def _reads_note(self) -> bool:
        return self.in_panes and self.panes.current == "note"

    def action_train(self) -> None:
        if self.variant is not None:
            from ..launch.form_values import LaunchRequest

            marked = tuple(self.catalogue_list.marked)
            networks = marked if self.variant.name in marked else (self.variant.name,)
            self.explorer.open_launch(LaunchRequest(networks, self.explorer.saved_state.dataset))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        if action == "order" and not self.catalogue_list.has_order:
            return False
        if action == "compare" and len(self.catalogue_list.marked) > 1:
            return True
        if action in OF_ONE_NETWORK and self.variant is None:
            return False
        return super().check_action(action, parameters)

    def open_network(self, name: str) -> None:
        """Put the cursor on a network and the keyboard into its pane."""
        self.go_to(name)
        self.read_pane()

    def open_tab(self, name: str, tab: str) -> None:
        """Show a tab of a network, with the keyboard in it."""
        self.go_to(name)
        self.action_tab(tab)
        self._reading = True

    def open_note(self, family: str, words: str = "", back: Page | None = None) -> None:
        """Show the note of a family, at the first place of ``words``; escape leads to the page ``back``."""
        if back is not None:
            self._trail.append(back)
        self.go_to(registry.family(family).canonical.name)
        self.action_tab("note", lambda: self._find(words))
        self._reading = True

    def _find(self, words: str) -> None:
        from ..widgets.note_pane import NotePane

        pane = self.panes.pane_of("note")
        if words and isinstance(pane, NotePane):
            pane.view.find(words)

    def go_to(self, name: str) -> bool:
        """Put the cursor on a network."""
        found = self.catalogue_list.go_to(name)
        self.explorer.saved_state.network = self.catalogue_list.network
        return found

    @property
    def has_step_back(self) -> bool:
        reading = self.in_panes or self.alone or self.has_class("-reading")
        return bool(self._trail) or reading or self.catalogue_list.filter.is_open

    def go_back(self) -> bool:
        inside = self.in_panes
        if inside and self.panes.go_back():
            return True
        if self._trail:
            before = self._trail.pop()
            if isinstance(before, str):
                self.go_to(before)
            else:
                self.explorer.open_concept(before)
            return True
        if super().go_back():
            return True
        if self.has_class("-reading") or inside:
            self.remove_class("-reading")
            self.catalogue_list.target.focus()
            return True
        return self.catalogue_list.go_back()

    def export(self) -> Export | None:
        return self.panes.export() if self.in_panes else self.catalogue_list.export()

    def on_text_view_link_followed(self, message: TextView.LinkFollowed) -> None:
        """Go to the page of a link; escape comes back."""
        target = message.link.target
        name = PurePosixPath(target.partition("#")[0]).stem
        try:
            family = registry.family(name)
        except UsageError:
            self.explorer.open_page(target)
            return
        here = self.catalogue_list.network
        if self.go_to(family.canonical.name):
            self._trail.append(here)
            self.show_selection()

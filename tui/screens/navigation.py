"""What opens screens: where a link, a key, the palette or a finished form leads."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textual.app import App
from textual.dom import DOMNode

from ...trainer.runs.run import RunSnapshot
from ..core.messages import AskForCharts, AskForColumns, AskForName
from ..core.saved_state import SavedState
from ..runs.watcher import RunWatch
from .base import BaseScreen
from .catalogue import CatalogueScreen

if TYPE_CHECKING:
    from ..core.palette import PaletteEntry
    from ..launch.form_values import LaunchRequest
    from ..networks.pages import Hit, Page
    from ..networks.quiz import Question


class Navigation(App[None]):
    """An app that goes from screen to screen. Each is imported when it is first opened."""

    saved_state: SavedState
    run_watch: RunWatch
    runs: tuple[RunSnapshot, ...]
    rng: random.Random

    @property
    def base_screens(self) -> list[BaseScreen]:
        """The full screens on the stack that are ready."""
        return [screen for screen in self.screen_stack if isinstance(screen, BaseScreen) and screen.is_mounted]

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a short message that goes away by itself. The text is shown as it is, never read as markup."""
        self.notify(text, severity=severity, markup=False)  # pyright: ignore[reportArgumentType] its words are Textual's

    def load_charts_early(self) -> object:
        """Begin to load what draws charts, before anybody opens a run."""

    # What widgets ask for: they know no screens

    def on_ask_for_name(self, message: AskForName) -> None:
        from .pick import PickScreen

        self.push_screen(PickScreen(message.heading, message.names, message.current), message.answer)

    def on_ask_for_charts(self, message: AskForCharts) -> None:
        from .choose_charts import ChooseChartsScreen

        self.push_screen(ChooseChartsScreen(message.shown), message.answer)

    def on_ask_for_columns(self, message: AskForColumns) -> None:
        from .choose_several import ChooseColumnsScreen

        self.push_screen(ChooseColumnsScreen(message.titles, message.shown), message.answer)

    # Where links, forms and the palette lead

    def open_page(self, target: str, words: str = "") -> None:
        """Show the page that a link names: a concept, a note, or the address of something outside."""
        from ..networks import pages

        page = pages.find(target)
        if page is None:
            outside = "://" in target
            self.show_message(target if outside else f"there is no page {target!r}")
            return
        if page.kind == "concept":
            self.open_concept(page, words)
            return
        from .page import PageScreen

        here = self.screen.page if isinstance(self.screen, PageScreen) else None
        screen = self._show(CatalogueScreen)
        if isinstance(screen, CatalogueScreen):
            screen.open_note(page.name, words, here)

    def open_network(self, name: str, tab: str) -> None:
        """Show a tab of a network."""
        screen = self._show(CatalogueScreen)
        if isinstance(screen, CatalogueScreen):
            screen.open_tab(name, tab)

    def open_concept(self, page: Page | None, words: str = "") -> None:
        """Show a concept page, or their list."""
        from .page import PageScreen

        screen = self._show(PageScreen)
        if isinstance(screen, PageScreen) and page is not None:
            screen.open(page, words)
        elif screen is None:
            self.push_screen(PageScreen(page, words))

    def ask_person(self, make: Callable[[random.Random], Question | None]) -> None:
        """Predict, then reveal: show a question, if there is one to ask."""
        from .question import QuestionScreen

        question = make(self.rng)
        if question is None:
            self.show_message("nothing can be asked about this one")
        else:
            self.push_screen(QuestionScreen(question))

    def open_launch(self, request: LaunchRequest) -> None:
        """Ask how to train networks."""
        from .launch import LaunchScreen

        self.push_screen(LaunchScreen(request), self._launched)

    def _launched(self, run_ids: tuple[str, ...] | None) -> None:
        if run_ids:
            self.saved_state.run = run_ids[0]
            self.run_watch.nudge()
            self.action_show_runs(run_ids[0])
            if len(run_ids) == 1:
                self.open_run(run_ids[0], "overview")

    def _show(self, kind: type[BaseScreen]) -> BaseScreen | None:
        """Go to the screen of this kind, if it is open."""
        open_ones = [screen for screen in self.base_screens if isinstance(screen, kind)]
        if not open_ones:
            return None
        while self.screen is not open_ones[-1]:
            self.pop_screen()
        return open_ones[-1]

    # Commands

    def action_show_runs(self, run_id: str = "") -> None:
        """Go to the runs."""
        from .runs import RunsScreen

        screen = self._show(RunsScreen)
        if isinstance(screen, RunsScreen):
            screen.go_to(run_id)
        else:
            self.push_screen(RunsScreen(run_id or self.saved_state.run))
            self.load_charts_early()
        self.saved_state.screen = "runs"

    def open_run(self, run_id: str, pane: str = "") -> None:
        """Show one run, in the tab ``pane`` or else in the one that was chosen last."""
        from .run import RunScreen

        screen = self._show(RunScreen)
        if isinstance(screen, RunScreen) and screen.run_id == run_id:
            return
        if screen is not None:
            self.pop_screen()
        self.saved_state.run = run_id
        self.push_screen(RunScreen(run_id, pane or self.saved_state.run_pane))

    def action_show_catalogue(self) -> None:
        """Go to the architectures."""
        self._show(CatalogueScreen)
        self.saved_state.screen = "catalogue"

    def action_show_bench(self) -> None:
        """Go to the convolution bench."""
        from .bench import BenchScreen

        if self._show(BenchScreen) is None:
            self.push_screen(BenchScreen())

    def action_show_concepts(self) -> None:
        """Go to the concept pages."""
        self.open_concept(None)

    def action_search(self) -> None:
        """Search all notes and concept pages."""
        from .search import SearchScreen

        self.push_screen(SearchScreen(), self._found)

    def _found(self, chosen: tuple[Hit, str] | None) -> None:
        if chosen is not None:
            hit, words = chosen
            folder = "../concepts/" if hit.page.kind == "concept" else ""
            self.open_page(f"{folder}{hit.page.name}.md", words)

    def action_command_palette(self) -> None:
        """Go to a network, a run or a concept by its name, or do a command of the screen."""
        from ..core import palette
        from .palette import PaletteScreen

        screen = self.screen
        if isinstance(screen, BaseScreen):
            commands = screen.active_commands()
            owners = {command.action: screen.owner_of(command) for command in commands}
            listed = palette.entries(commands, self.runs)
            self.push_screen(PaletteScreen(listed), lambda entry: self._go_to(entry, owners))

    async def _go_to(self, entry: PaletteEntry | None, owners: Mapping[str, DOMNode | None]) -> None:
        """Do what was chosen in the palette; ``owners`` are those of the actions of the screen."""
        if entry is None:
            return
        if entry.kind == "command":
            await self.run_action(entry.key, default_namespace=owners.get(entry.key) or self)
        elif entry.kind == "network":
            screen = self._show(CatalogueScreen)
            if isinstance(screen, CatalogueScreen):
                screen.open_network(entry.key)
        elif entry.kind == "run":
            self.action_show_runs(entry.key)
            self.open_run(entry.key)
        else:
            self.open_page(f"../concepts/{entry.key}.md")

"""The app: opens screens, keeps the helper process and the watch over the runs, remembers where you were.

Nothing here or in what it imports at the start loads torch, plotting or a Markdown parser: the first screen is painted
before any of them is needed.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding
from textual.color import Color
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.message import Message

from .. import settings
from ..errors import counted
from ..trainer.runs.run import RunSnapshot
from ..trainer.runs.states import STATES
from .charts.selection import RunSelection
from .core import key_bindings, saved_state, signs, terminal, themes
from .core.ascii_filter import AsciiFilter
from .core.colourless import Colourless
from .core.key_queue import KeyQueue, is_input
from .core.messages import Answered, HelperChanged, RunsRead, TerminalGone
from .core.options import THEMES, AppOptions
from .core.protocol import AppPaths
from .core.shades_filter import ShadesFilter
from .networks import catalogue_list
from .runs import notifications
from .runs.watcher import RunWatch
from .screens.base import BaseScreen
from .screens.catalogue import CatalogueScreen
from .screens.navigation import Navigation
from .worker.process import Answer, Helper, HelperState
from .worker.requests import Questions

if TYPE_CHECKING:
    from .charts.followers import Followers
    from .launch.kept_forms import KeptForms

WIDE = 100
SIGN_FILTERS: dict[str, tuple[LineFilter, ...]] = {
    "unicode": (),
    "shades": (ShadesFilter(),),
    "ascii": (AsciiFilter(),),
}
TWICE_S = 2.0
MOST_THREADS = 64
HELPER_AFTER_S = 0.3
"""The helper process is started this long after the first paint: loading torch would slow it."""
CHARTS_AFTER_S = 3.0
"""What draws charts is loaded so long after the first paint, before anybody opens a form or a run."""


def _import_charts() -> None:
    from .screens import launch, run  # noqa: F401


class ExplorerApp(Navigation):
    """cnn-explorer. ``helper_command`` starts another helper process than the usual one."""

    TITLE = "cnn-explorer"
    # That of the first screen is read at once: for one that comes later Textual parses all of them again.
    CSS_PATH: ClassVar = ["app.tcss", "screens/catalogue.tcss"]
    BINDINGS: ClassVar = [*key_bindings.bindings("app"), Binding("ctrl+q", "leave", show=False, priority=True)]
    HORIZONTAL_BREAKPOINTS: ClassVar = [(0, "-tiny"), (60, "-narrow"), (WIDE, "-wide")]
    VERTICAL_BREAKPOINTS: ClassVar = [(0, "-short"), (15, "-tall"), (32, "-high")]
    ENABLE_COMMAND_PALETTE = False  # there is one of our own, which finds networks, runs and concepts, too

    def __init__(
        self,
        paths: AppPaths | None = None,
        helper_command: tuple[str, ...] = (),
        watch_every_s: float = 1.0,
        options: AppOptions | None = None,
        facts: signs.TerminalFacts | None = None,
    ) -> None:
        super().__init__()
        self.key_queue = KeyQueue(self, super().post_message, self._keys_dropped)
        self.animation_level = "none"
        self.options = options or AppOptions()
        self.rng = random.Random()
        self._fitting = signs.fitting(facts or signs.TerminalFacts())
        self.paths = paths or AppPaths()
        self.saved_state = saved_state.load(self.paths.state)
        asked = self.options.asked_signs
        self.options = self.options.drawn_with(signs.chosen(asked, self.saved_state.signs, self._fitting))
        self._in_terminal = facts is not None
        self._tells_signs = self._in_terminal and not asked and self._fitting.signs not in self.saved_state.signs
        self._colourless = Colourless() if self.no_color else None
        if self.saved_state.sort not in catalogue_list.ORDERS:
            self.saved_state.sort = next(iter(catalogue_list.ORDERS))
        if self.saved_state.view not in catalogue_list.VIEWS:
            self.saved_state.view = next(iter(catalogue_list.VIEWS))
        self.runs: tuple[RunSnapshot, ...] = ()
        self.runs_problem = ""
        self.runs_are_read = False
        self.run_selection = RunSelection(self.saved_state.marked, self.saved_state.pinned)
        self.helper = Helper(self._helper_answered, self._helper_changed, helper_command)
        self.questions = Questions(self.helper)
        self.run_watch = RunWatch(self.paths.runs, self._runs_read, watch_every_s)
        self.deleted: list[str] = []
        self.going: set[str] = set()
        self.run_commands = asyncio.Lock()
        self._interrupted = -TWICE_S
        self._charts_loaded = False

    @cached_property
    def followers(self) -> Followers:
        """The readers of the runs, for all screens; the first screen needs none."""
        from .charts.followers import Followers

        return Followers()

    @cached_property
    def kept_forms(self) -> KeptForms:
        """The changes of training forms that were left; the first screen needs none."""
        from .launch.kept_forms import KeptForms

        return KeptForms()

    # Start and end

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        terminal.take_any_byte(driver)
        return driver

    def on_load(self) -> None:
        # Before the style sheets are parsed: a theme that is set later has Textual parse them all again.
        themes.register(self)
        themes.begin_with(self, self._first_theme())
        self._suit_colourless()

    def on_mount(self) -> None:
        # Each screen has threads that follow files for as long as it is open; asyncio's own pool has six on two cores.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_THREADS))
        self.push_screen(CatalogueScreen(), callback=None)
        if self.saved_state.screen == "runs":
            self.action_show_runs()
        self.call_after_refresh(self._begin_background)

    def _begin_background(self) -> None:
        # To look for garbage in what stays for good takes up to a tenth of a second, and no key acts meanwhile.
        gc.freeze()
        self.watch_runs()
        self.set_timer(HELPER_AFTER_S, self.helper.start)
        self.set_timer(CHARTS_AFTER_S, self.load_charts_early)
        self.set_interval(5.0, self.helper.check)

    @work(thread=True, exclusive=True, group="runs", exit_on_error=False, description="watches the runs folder")
    def watch_runs(self) -> None:
        """Follow the runs folder until the app ends."""
        self.run_watch.run()

    @work(group="load charts", exit_on_error=False, description="loads what draws charts")
    async def load_charts_early(self) -> None:
        await self.load_charts()

    async def load_charts(self) -> None:
        """Import what draws charts, in a thread: the first run or form that is opened must not hold up the keyboard."""
        if not self._charts_loaded:
            await asyncio.to_thread(_import_charts)
            gc.freeze()
            self._charts_loaded = True

    def end(self) -> None:
        """Leave, whatever runs."""
        self.exit()

    def on_unmount(self) -> None:
        gc.unfreeze()
        self.run_watch.stop()
        self.helper.close()
        self._signs_read()
        self.saved_state.marked, self.saved_state.pinned = self.run_selection.marked, self.run_selection.pinned
        saved_state.save(self.paths.state, self.saved_state)

    def _first_theme(self) -> str:
        """Return what was asked for, else what was used last, else what suits the terminal."""
        wanted = (
            self.options.theme,
            self.saved_state.theme,
            terminal.fitting_theme(self) if self._in_terminal else "dark",
        )
        return next(theme for theme in wanted if theme in THEMES)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = [self._colourless] if self._colourless else super().get_line_filters()
        return [*filters, *SIGN_FILTERS[self.options.signs]]

    def _watch_theme(self, theme_name: str) -> None:
        super()._watch_theme(theme_name)
        self._suit_colourless()

    def _suit_colourless(self) -> None:
        """Have the theme tell light from dark where no colours are sent."""
        if self._colourless:
            theme = self.current_theme
            self._colourless.base = Color.parse(theme.background or ("black" if theme.dark else "white")).brightness

    @property
    def signs_line(self) -> str:
        """The words of the first start on the signs in use; "" where they were read."""
        return signs.line(self.options.signs, self._fitting, "Y") if self._tells_signs else ""

    def _signs_read(self) -> None:
        """Say no more about the signs in such a terminal."""
        if self._tells_signs:
            self._tells_signs = False
            self.saved_state.signs.setdefault(self._fitting.signs, self.options.signs)
            for screen in self.base_screens:
                screen.show_signs("")

    def action_next_signs(self) -> None:
        """Change to the next kind of signs, and remember it."""
        chosen = catalogue_list.following(self.options.signs, signs.SIGNS)
        self.options = self.options.drawn_with(chosen)
        self.saved_state.signs[self._fitting.signs] = chosen
        for screen in self.screen_stack:
            for node in screen.walk_children(with_self=True):
                draw_in_letters = getattr(node, "draw_in_letters", None)
                if draw_in_letters is not None:
                    draw_in_letters(self.options.ascii)
                node.refresh()
        self.run_selection_changed()
        for screen in self.base_screens:
            screen.show_signs(self.signs_line)
        self.show_message(f"signs: {chosen}  {signs.SAMPLES[chosen]}")

    # What comes from the keyboard

    def post_message(self, message: Message) -> bool:
        if is_input(message) and not self._closing and not self._closed:
            self.key_queue.put(message)
            return True
        return super().post_message(message)

    async def _dispatch_action(self, namespace: DOMNode, action_name: str, params: Any) -> bool:
        action = super()._dispatch_action(namespace, action_name, params)
        # Only an asynchronous action can hang without blocking everything; a task for each would cost a paint a key.
        can_hang = inspect.iscoroutinefunction(getattr(namespace, f"action_{action_name}", None))
        return await (self.key_queue.guard(action) if can_hang else action)

    async def _press_keys(self, keys: Iterable[str]) -> None:
        await super()._press_keys(keys)
        await self.key_queue.done()

    def _keys_dropped(self, count: int) -> None:
        what = "the key that was" if count == 1 else f"the {count} keys that were"
        self.show_message(f"something takes too long: {what} typed meanwhile had no effect", "warning")

    # What comes from other threads

    def _helper_answered(self, answer: Answer) -> None:
        self.post_message(Answered(answer))

    def _helper_changed(self, state: HelperState) -> None:
        self.post_message(HelperChanged(state))

    def _runs_read(self, runs: tuple[RunSnapshot, ...], problem: str) -> None:
        self.post_message(RunsRead(runs, problem))

    def on_runs_read(self, message: RunsRead) -> None:
        before, self.runs_are_read = self.runs, True
        self.runs, self.runs_problem = message.runs, message.problem
        self.going &= {run.id for run in self.runs}
        for screen in self.base_screens:
            screen.runs_changed(self.runs)
        for run in notifications.ended(before, self.runs):
            self._notify_end(run)

    def _notify_end(self, run: RunSnapshot) -> None:
        """Show that a run has ended, here and, if wanted, by a notification of the terminal."""
        sentence = notifications.sentence(run)
        self.show_message(sentence, "information" if STATES[run.state].good else "error")
        if self.options.notify == "bell":
            self.bell()
        elif self.options.notify == "osc9" and self._driver is not None and not self.is_headless:
            self._driver.write(notifications.osc9(sentence))
            self._driver.flush()

    def on_answered(self, message: Answered) -> None:
        self.questions.answered(message.answer)

    def on_helper_changed(self, message: HelperChanged) -> None:
        for screen in self.base_screens:
            screen.helper_changed(message.state)

    def on_terminal_gone(self, message: TerminalGone) -> None:
        self.exit(return_code=terminal.EXIT_HANGUP)

    # For the screens

    @property
    def live_runs(self) -> list[RunSnapshot]:
        """The runs that a process works on or will."""
        return [run for run in self.runs if run.live]

    def run_selection_changed(self) -> None:
        """Draw the screens again that show marked and pinned runs: the selection has changed."""
        for screen in self.base_screens:
            screen.runs_changed(self.runs)

    # Commands

    def action_copy(self) -> None:
        """Put what is shown into the clipboard of the terminal, also over SSH (OSC 52)."""
        if isinstance(self.screen, BaseScreen):
            self.screen.when_drawn(self._copy)
        else:
            self._copy()

    def _copy(self) -> None:
        shown = self.screen.export() if isinstance(self.screen, BaseScreen) else None
        if shown is None:
            self.show_message("there is nothing to copy here")
            return
        self.copy_to_clipboard(shown.text)
        self.show_message(
            f"{shown.name}: {counted(len(shown.text.splitlines()), 'line')} copied, if your terminal allows it (OSC 52)"
        )

    def action_export(self) -> None:
        """Write what is shown to a file."""
        if isinstance(self.screen, BaseScreen):
            self.screen.when_drawn(partial(self._ask_for_export, self.screen))

    def _ask_for_export(self, screen: BaseScreen) -> None:
        from .screens.export import ExportScreen

        self.push_screen(ExportScreen(screen.export(), self.export_screenshot(), Path.cwd()), self._exported)

    def _exported(self, words: str | None) -> None:
        if words:
            self.show_message(words)

    def action_next_theme(self) -> None:
        """Change to the next theme, and remember it."""
        self.theme = self.saved_state.theme = catalogue_list.following(self.theme, THEMES)
        self.show_message(f"colours: {self.theme}")

    def action_toggle_questions(self) -> None:
        """Switch the questions off, or on again."""
        self.saved_state.quiz = not self.saved_state.quiz
        self.show_message(f"questions are {'on' if self.saved_state.quiz else 'off'}")
        for screen in self.base_screens:
            screen.update_keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "toggle_questions" and not self.options.quiz:
            return False
        if action == "back" and len(self.base_screens) == 1:
            return self._tells_signs or self.base_screens[0].has_step_back
        return super().check_action(action, parameters)

    @property
    def asks_questions(self) -> bool:
        """Whether questions are asked: neither the settings nor the person switched them off."""
        return self.options.quiz and self.saved_state.quiz

    async def action_back(self) -> None:
        """Go one step back, in the screen or to the one before it."""
        screen = self.screen
        if self._tells_signs:
            self._signs_read()
            return
        if isinstance(screen, BaseScreen) and screen.go_back():
            return
        if len(self.base_screens) > 1:
            self.pop_screen()
            self.saved_state.screen = self.base_screens[-1].PLACE

    def action_help(self) -> None:
        """Show the keys of this screen."""
        from .screens.help import HelpScreen, terms

        screen = self.screen
        if isinstance(screen, BaseScreen):
            self.push_screen(HelpScreen(screen.HEADING, screen.active_commands(), terms(screen)))

    def action_leave(self) -> None:
        """Quit, after a word about runs that are not over."""
        if not self.live_runs:
            self.end()
            return
        from .screens.leave import LeaveScreen

        if not isinstance(self.screen, LeaveScreen):
            self.push_screen(LeaveScreen(self.live_runs), self._left)

    def _left(self, choice: str | None) -> None:
        if choice == "stop":
            self._ask_to_stop_all()
        elif choice == "leave":
            self.end()

    def _ask_to_stop_all(self) -> None:
        from .screens.confirm import ConfirmScreen

        count = len(self.live_runs)
        question = f"Stop {'this run' if count == 1 else f'these {count} runs'} and quit?"
        detail = "Each ends its step and writes a checkpoint; `cnn-explorer runs resume` goes on from there."
        self.push_screen(ConfirmScreen(question, detail, "stop and quit"), self._stop_and_quit)

    def _stop_and_quit(self, agreed: bool | None) -> None:
        if agreed:
            self._stop_all()

    @work(thread=True, group="control", exit_on_error=False, description="stops the runs")
    def _stop_all(self) -> None:
        from .runs.actions import stop_all

        problems = stop_all(self.live_runs)
        if problems:
            self.call_from_thread(self.show_message, problems[0], "error")
        else:
            self.call_from_thread(self.end)

    def action_interrupt(self) -> None:
        """Count Ctrl+C: the second one within two seconds ends the app."""
        now = time.monotonic()
        if now - self._interrupted < TWICE_S:
            self.end()
        self._interrupted = now
        self.show_message("Ctrl+C once more to quit; runs go on without the app")


def run(options: AppOptions | None = None, runs: Path | None = None, data: Path | None = None) -> int:
    """Open the app; returns the exit code. UsageError where the catalogue or the settings cannot be read.

    ``runs`` and ``data`` are folders that the command line names.
    """
    from ..models.catalogue import registry

    registry.variants()
    terminal.check()
    paths = AppPaths(settings.runs_folder(runs), settings.data_folder(data))
    app = ExplorerApp(paths, options=options, facts=signs.facts(os.environ))
    with terminal.watchdog(app):
        app.run(mouse=app.options.mouse)
    return app.return_code or 0

"""What all full screens share: the frame, the line of keys, and going back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from textual.app import ComposeResult
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from ...trainer.runs.run import RunSnapshot
from ..core import breakpoints, key_bindings
from ..core.key_bindings import Command
from ..core.protocol import AppProtocol
from ..core.screen_export import Export
from ..widgets.shell import KeyLine, TooSmall, TopLine, helper_text, runs_text
from ..widgets.signs_line import SignsLine
from ..worker.process import HelperState


class BaseScreen(Screen[None]):
    """A full screen. ``PLACE`` is its name in the command table, ``PLACES`` further ones whose commands it has."""

    PLACE: ClassVar = ""
    PLACES: ClassVar[tuple[str, ...]] = ()
    HEADING: ClassVar = ""
    LEADS_HERE: ClassVar = ""
    """The action of the app that opens this screen; its key does nothing here and is not offered."""
    # Each screen says itself what takes the keyboard; Textual would first choose a filter line that is not shown yet.
    AUTO_FOCUS = ""

    @property
    def explorer(self) -> AppProtocol:
        """The app, as far as it concerns its screens."""
        return cast(AppProtocol, self.app)

    def compose(self) -> ComposeResult:
        breakpoints.fit(self)
        yield TopLine(self.HEADING)
        yield from self.compose_body()
        yield KeyLine()
        yield SignsLine()
        yield TooSmall()

    def compose_body(self) -> ComposeResult:
        """Return the widgets between the top line and the keys."""
        return iter(())

    def on_mount(self) -> None:
        self.watch(self, "focused", self.update_keys)
        self.runs_changed(self.explorer.runs)

    def on_screen_resume(self) -> None:
        self.runs_changed(self.explorer.runs)
        self.show_signs(self.explorer.signs_line)

    # What the app tells its screens

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        """Update what is shown: the runs on this machine changed."""
        self.update_status()

    def export(self) -> Export | None:
        """Return what is shown, for a file or the clipboard."""
        return None

    def when_drawn(self, command: Callable[[], None]) -> None:
        """Do a command when what is shown is what the keys before asked for."""
        command()

    def helper_changed(self, state: HelperState) -> None:
        """Update what is shown: the helper process started, got ready or ended."""
        self.update_status()

    def show_signs(self, line: str) -> None:
        """Show the line of the first start above the keys, or hide it."""
        for widget in self.query(SignsLine):
            widget.show(line)

    def update_status(self) -> None:
        """Show at the top what goes on in the background."""
        runs = runs_text(self.explorer.runs) if self.explorer.runs_are_read else "reading the runs …"
        parts = [helper_text(self.explorer.helper.state), runs]
        # A loop and not query_one: what other threads tell may come while the screen is being closed.
        for line in self.query(TopLine):
            line.show(status="  ".join(part for part in parts if part))

    @property
    def has_step_back(self) -> bool:
        """Whether there is something inside the screen that ``go_back`` would undo."""
        return True

    def go_back(self) -> bool:
        """Undo one step inside the screen; False where there is nothing to undo."""
        return False

    # Commands

    def active_commands(self) -> tuple[Command, ...]:
        """Return the commands that work now, where the focus is."""
        places = list(dict.fromkeys((*getattr(self.focused, "PLACES", ()), self.PLACE, *self.PLACES, "app")))
        if getattr(self.focused, "TAKES_LETTERS", False):
            places = places[:1]  # the letters of the other places would be typed
        found = [
            command
            for command in key_bindings.of(*places)
            if command.action != self.LEADS_HERE and self._works(command)
        ]
        return key_bindings.unshadowed(found, places)

    def _offered(self) -> tuple[Command, ...]:
        """Return the commands whose keys work now: in a line in which one types, letters are text."""
        found, focused = self.active_commands(), self.focused
        if not isinstance(focused, Input):
            return found
        return key_bindings.while_typing(found, focused._bindings.key_to_bindings, getattr(focused, "PLACES", ()))

    def owner_of(self, command: Command) -> DOMNode | None:
        """Return who does it: the nearest to the focus, from there up to the app, that has such an action."""
        start = self.focused or self
        name = command.action.partition("(")[0]
        return next((node for node in start.ancestors_with_self if hasattr(node, f"action_{name}")), None)

    def _works(self, command: Command) -> bool:
        """Return whether its owner would do it now."""
        name, _, arguments = command.action.partition("(")
        owner = self.owner_of(command)
        return owner is not None and bool(owner.check_action(name, (arguments.rstrip(")").strip("'"),)))

    def update_keys(self) -> None:
        """Show at the foot what can be done now."""
        for line in self.query(KeyLine):
            line.show(self._offered())

"""What all dialogs share: a box in the middle, escape closes it."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from ..core import breakpoints, key_bindings
from ..core.key_bindings import Command
from ..widgets.shell import KeyLine

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A dialog that ends with a result, or with None when it is cancelled."""

    PLACES: ClassVar = ("dialog",)
    BINDINGS: ClassVar = key_bindings.bindings("dialog")
    HEADING: ClassVar = ""

    def compose(self) -> ComposeResult:
        breakpoints.fit(self)
        with VerticalScroll(id="dialog", can_focus=False) as box:
            box.border_title = self.HEADING
            yield from self.compose_dialog()
        yield KeyLine()

    def compose_dialog(self) -> ComposeResult:
        """Return what stands in the box."""
        return iter(())

    def on_mount(self) -> None:
        self.update_keys()

    def update_keys(self) -> None:
        """Show at the foot what can be done now."""
        self.query_one(KeyLine).show(self.active_commands())

    def active_commands(self) -> tuple[Command, ...]:
        """Return the commands that work now."""
        fields = sum(widget.focusable for widget in self.query("#dialog *"))
        found = [
            command for command in key_bindings.of(*self.PLACES) if command.action != "app.focus_next" or fields > 1
        ]
        return key_bindings.unshadowed(found, self.PLACES)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def action_submit(self) -> None:
        """Go on with what was chosen."""

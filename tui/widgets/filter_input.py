"""The line in which a list is filtered while one types."""

from __future__ import annotations

from typing import ClassVar

from textual.message import Message
from textual.widgets import Input

from ..core import key_bindings


class FilterInput(Input):
    """Hidden until it is opened. Enter keeps the filter, escape drops it; up and down move in the list meanwhile."""

    BINDINGS: ClassVar = key_bindings.bindings("filter")
    PLACES: ClassVar = ("filter",)
    TAKES_LETTERS = True
    has_lines = True
    """Whether the filter leaves lines in the list to move between."""

    class Left(Message):
        """Typing is over; the list should have the focus again."""

    class Move(Message):
        """Up or down was pressed."""

        def __init__(self, way: int) -> None:
            super().__init__()
            self.way = way

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, classes="filter", compact=True)

    @property
    def is_open(self) -> bool:
        """Whether it is visible."""
        return self.has_class("-open")

    def open(self) -> None:
        """Show it and type into it."""
        self.add_class("-open")
        self.focus()

    def close(self) -> None:
        """Empty the input and hide it."""
        self.value = ""
        self.remove_class("-open")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.has_lines if action == "move" else super().check_action(action, parameters)

    def action_drop(self) -> None:
        self.close()
        self.post_message(self.Left())

    def action_keep(self) -> None:
        if not self.value:
            self.remove_class("-open")
        self.post_message(self.Left())

    def action_move(self, way: int) -> None:
        self.post_message(self.Move(way))

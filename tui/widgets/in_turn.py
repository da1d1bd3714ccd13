"""Commands done in the order in which they came, where some concern what a thread has still to draw."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class InTurn:
    """A command that concerns what is drawn waits until that is up to date, and what comes after it waits behind it.

    ``up_to_date`` says whether what is drawn is what the commands before have asked for.
    """

    def __init__(self, up_to_date: Callable[[], bool]) -> None:
        self._up_to_date = up_to_date
        self._waiting: deque[tuple[Callable[[], None], bool]] = deque()

    def __bool__(self) -> bool:
        """Return whether a command waits."""
        return bool(self._waiting)

    def do(self, command: Callable[[], None], *, on_what_is_drawn: bool) -> None:
        """Do a command, now or when its turn comes."""
        self._waiting.append((command, on_what_is_drawn))
        self.go_on()

    def go_on(self) -> None:
        """Do what need not wait any longer; to be called when something was drawn."""
        while self._waiting and (not self._waiting[0][1] or self._up_to_date()):
            self._waiting.popleft()[0]()

    def forget(self) -> None:
        """Drop what waits: it was meant for something that is no longer shown."""
        self._waiting.clear()

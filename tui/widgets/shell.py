"""What frames every screen: the line at the top, the keys at the foot, the words for a terminal that is too small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.widget import Widget

from ...errors import counted
from ...trainer.common.text_safe import shorten, width
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..core.key_bindings import Command
from ..worker.process import HelperState

SMALLEST = (60, 15)


def runs_text(runs: Sequence[RunSnapshot]) -> str:
    """Return how many runs there are, and how many of them are alive, with sign and word: ``3 runs · ► 1 training``."""
    if not runs:
        return "no runs"
    alive = Counter(run.state for run in runs if run.live)
    parts = [counted(len(runs), "run")]
    parts += [f"{STATES[state].symbol} {count} {state}" for state, count in alive.items()]
    return " · ".join(parts)


def helper_text(state: HelperState) -> str:
    """Return what the helper process is up to, where that matters to the person."""
    return {"loading": "loading torch …", "down": "helper restarting …"}.get(state.word, "")


class TopLine(Widget):
    """Name of the app, of the screen, and what goes on in the background."""

    def __init__(self, place: str) -> None:
        super().__init__(id="top")
        self._place = place
        self._status = ""

    def show(self, place: str | None = None, status: str | None = None) -> None:
        """Change either part."""
        changed = (self._place if place is None else place, self._status if status is None else status)
        if changed != (self._place, self._status):
            self._place, self._status = changed
            self.refresh()

    def render(self) -> RenderResult:
        left = f" cnn-explorer  {self._place}"
        room = self.size.width - width(left) - 3
        status = shorten(self._status, room) if room > 8 else ""
        blanks = " " * max(self.size.width - width(left) - width(status) - 1, 1)
        return Text(shorten(left + blanks + status, self.size.width), no_wrap=True)


class KeyLine(Widget):
    """The keys that work now, the most important ones first, as many as fit."""

    def __init__(self) -> None:
        super().__init__(id="keys")
        self._commands: tuple[Command, ...] = ()

    def show(self, commands: Sequence[Command]) -> None:
        """Show these commands."""
        if tuple(commands) != self._commands:
            self._commands = tuple(commands)
            self.refresh()

    @property
    def shown(self) -> list[Command]:
        """The commands that stand there now."""
        return self.chosen(self._commands, self.size.width)

    @staticmethod
    def chosen(commands: Sequence[Command], cells: int) -> list[Command]:
        """Return the commands that fit into ``cells``, in the order of rank.

        The first without room ends the line, even if a shorter one after it would fit: a wider line has all that a
        narrower one has.
        """
        fitting, used = [], 1
        for command in sorted((c for c in commands if c.foot), key=lambda c: c.rank):
            used += width(command.shown_key) + width(command.foot) + 3
            if used - 2 > cells:
                break
            fitting.append(command)
        return fitting

    def command_at(self, x: int) -> Command | None:
        """Return the command that is shown at a cell; None between and behind them."""
        end = 1
        for command in self.shown:
            start, end = end, end + width(command.shown_key) + width(command.foot) + 3
            if start <= x < end - 2:
                return command
        return None

    def on_click(self, event: events.Click) -> None:
        """Do what the key does that was clicked."""
        command = self.command_at(event.x)
        if command is not None:
            key = command.keys.split(",")[0]
            self.app.post_message(events.Key(key, key if len(key) == 1 else None))

    def render(self) -> RenderResult:
        text = Text(" ", no_wrap=True)
        for command in self.shown:
            text.append(command.shown_key, style="bold reverse" if self.app.native_ansi_color else "bold")
            text.append(f" {command.foot}  ")
        return text


class TooSmall(Widget):
    """Lies over everything while the terminal has no room for the app."""

    def __init__(self) -> None:
        super().__init__(id="too-small")

    def render(self) -> RenderResult:
        size = self.app.size
        return Text(
            f"{SMALLEST[0]}×{SMALLEST[1]} at least;\nthis terminal is {size.width}×{size.height}", justify="center"
        )

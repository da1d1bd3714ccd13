"""What a screen with a grid of charts takes in, so that its keys work wherever the focus is."""

from __future__ import annotations

from collections.abc import Callable

from .chart_grid import ChartGrid


class ChartCommands:
    """What a screen with a :class:`ChartGrid` takes in: its commands, wherever the focus is."""

    def action_chart(self, what: str) -> None:
        """Pass a command on to the charts."""
        for found in self.query(ChartGrid):  # pyright: ignore[reportAttributeAccessIssue] of the screen
            found.action_chart(what)

    def when_drawn(self, command: Callable[[], None]) -> None:
        """Do a command when the charts are drawn as the keys before asked for; at once where none are in sight."""
        for found in self.query(ChartGrid):  # pyright: ignore[reportAttributeAccessIssue] of the screen
            if found.is_on_screen:
                found.when_drawn(command)
                return
        command()

    def on_screen_suspend(self) -> None:
        """Stop drawing behind another screen."""
        for found in self.query(ChartGrid):  # pyright: ignore[reportAttributeAccessIssue] of the screen
            found.pause(True)

    def on_screen_resume(self) -> None:
        """Draw again: the grid is in sight."""
        for found in self.query(ChartGrid):  # pyright: ignore[reportAttributeAccessIssue] of the screen
            found.pause(False)

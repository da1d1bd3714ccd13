"""What the machine is doing, in a few lines: load, memory, and each GPU with its history."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, work
from textual.app import RenderResult
from textual.geometry import Size
from textual.widget import Widget

from ..core.messages import MachineRead
from ..runs import machine
from ..runs.machine import Readings, Sampler

MOST_LINES = 9


class MachineStrip(Widget):
    """Samples while it is visible, and only then."""

    TERMS: ClassVar = ("►", "N/A")

    def __init__(self, every_s: float = machine.EVERY_S) -> None:
        super().__init__(classes="one-line")
        self.readings: Readings | None = None
        self._sampler = Sampler(self._post_readings, every_s)
        self._lines: list[str] = []
        self._in_sight = False

    @work(thread=True, group="machine", exit_on_error=False, description="samples the machine")
    def sample(self) -> None:
        """Read the machine until the strip is closed."""
        self._sampler.run()

    def _post_readings(self, readings: Readings) -> None:
        self.post_message(MachineRead(readings))

    def look_for(self, pids: frozenset[int]) -> None:
        """Mark what these processes take."""
        self._sampler.look_for(pids)

    def on_mount(self) -> None:
        self.sample()

    def on_show(self) -> None:
        self._in_sight = True
        self.resume()

    def on_hide(self) -> None:
        self._in_sight = False
        self.pause()

    def resume(self) -> None:
        """Sample again, if the strip is in sight: nothing lies over the screen."""
        self._sampler.want(self._in_sight and self.screen.is_current)

    def pause(self) -> None:
        """Stop the updates: another screen lies over this one."""
        self._sampler.want(False)

    def on_unmount(self) -> None:
        self._sampler.stop()

    def on_machine_read(self, message: MachineRead) -> None:
        message.stop()
        self.readings = message.readings
        found = machine.lines(self.readings, self.size.width)
        if found != self._lines:
            taller = len(found) != len(self._lines)
            self._lines = found
            self.refresh(layout=taller)

    def on_resize(self, event: events.Resize) -> None:
        self._lines = machine.lines(self.readings, event.size.width)
        self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return min(max(len(self._lines), 2), MOST_LINES)

    def render(self) -> RenderResult:
        shown = self._lines[: self.size.height]
        if len(self._lines) > len(shown) > 0:
            shown[-1] = f"… and {len(self._lines) - len(shown) + 1} more GPUs"
        return Text("\n".join(shown), no_wrap=True, overflow="ellipsis")

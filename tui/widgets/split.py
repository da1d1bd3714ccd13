"""A list and panes side by side, whose common border the mouse can drag."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.containers import Horizontal
from textual.message import Message


class Split(Horizontal):
    """Two children side by side: where the first ends, and where the second begins, the mouse takes hold of the border."""

    @dataclass
    class Dragged(Message):
        """The border was dragged: the first child is to have ``cells`` columns."""

        cells: int

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Split.Dragged)

    def __init__(self) -> None:
        super().__init__(id="body")
        self._held = False

    def _is_border(self, x: int) -> bool:
        shown = [child for child in self.children if child.display]
        return len(shown) == 2 and x in (shown[0].region.right - 1, shown[0].region.right)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if self._is_border(event.screen_x):
            self._held = True
            self.capture_mouse()
            event.stop()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held:
            event.stop()
            self.post_message(self.Dragged(event.screen_x - self.region.x + 1))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._held:
            self._held = False
            self.release_mouse()
            event.stop()

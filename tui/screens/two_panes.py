"""What screens with a list and panes beside it share: where the border stands, and one of them with all the room."""

from __future__ import annotations

from typing import ClassVar

from textual import on

from ..core import key_bindings
from ..core.pane_widths import IN_TURNS, STEP, PaneWidths
from ..widgets.split import Split
from .base import BaseScreen


class TwoPanes(BaseScreen):
    """A screen whose body is a :class:`Split` of ``#list-pane`` and ``#panes``.

    Side by side where both have room; else, and while one of them is wanted alone, one at a time. The class ``-reading``
    says that it is the panes' turn.
    """

    BINDINGS: ClassVar = key_bindings.bindings("two-panes")
    WIDTHS: ClassVar[PaneWidths]

    @property
    def alone(self) -> bool:
        """Whether one of the two was given the whole screen."""
        return self.has_class("-alone")

    @property
    def is_wide(self) -> bool:
        """Whether the terminal has room for both."""
        return self.app.size.width >= self.WIDTHS.side_by_side

    @property
    def side_by_side(self) -> bool:
        """Whether list and panes are both in sight."""
        return self.is_wide and not self.alone

    @property
    def most_counted(self) -> int:
        """The width by which a table shows its columns at most; 0 for all of it."""
        return 0 if self.is_wide else IN_TURNS

    @property
    def list_cells(self) -> int:
        """The columns of the list while it stands beside the panes."""
        return self.WIDTHS.of_list(self.app.size.width, self.explorer.saved_state.splits.get(self.PLACE))

    @property
    def in_panes(self) -> bool:
        """Whether the keyboard is in the panes."""
        focused = self.focused
        return focused is not None and any(node.id == "panes" for node in focused.ancestors)

    def on_mount(self) -> None:
        self._place_border()

    def on_resize(self) -> None:
        self._place_border()

    def _place_border(self) -> None:
        """Give the list its columns; in turns it has what the style sheet says."""
        # Textual's own classes for widths come with the first resize, which is after the first paint.
        self.set_class(not self.is_wide, "-in-turns")
        cells = self.list_cells if self.side_by_side else None
        for found in self.query("#list-pane"):
            found.styles.width = found.styles.min_width = found.styles.max_width = cells

    def _move_border(self, cells: int) -> None:
        self.explorer.saved_state.splits[self.PLACE] = cells
        # Kept as far as it can be seen, so that the next key moves it from there.
        self.explorer.saved_state.splits[self.PLACE] = self.list_cells
        self._place_border()
        self.panes_changed()

    def panes_changed(self) -> None:
        """Show what depends on the room: the border was moved, or one of the two has, or had, the whole screen."""

    @on(Split.Dragged)
    def _dragged(self, message: Split.Dragged) -> None:
        if self.side_by_side:
            self._move_border(message.cells)

    def action_border(self, way: str) -> None:
        """Move the border to the left or to the right."""
        self._move_border(self.list_cells + int(way) * STEP)

    def action_zoom(self) -> None:
        """Give the pane at hand the whole screen, or both their places again."""
        if not self.alone:
            self.set_class(self.in_panes, "-reading")
        self.toggle_class("-alone")
        self._place_border()
        self.panes_changed()
        self.update_keys()

    def go_back(self) -> bool:
        """Show both again where one was alone; False where there is nothing to undo."""
        if self.alone:
            self.action_zoom()
            return True
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "zoom":
            return self.is_wide
        if action == "border":
            return self.side_by_side
        return super().check_action(action, parameters)

"""Plain lines: a log that is followed, or a table of names and values that folds. Scrolls; nothing is read as markup."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ...trainer.common.text_safe import pad, width
from ..core import key_bindings
from .edges import SIDE_STEP, window
from .repaint import LineDrawn

MOST_LINES = 20_000
NAME_CELLS = 16


class LineView(ScrollView, LineDrawn, can_focus=True):
    """``follows``: stays at the end while it is there, as ``tail -f`` does; scrolling up lets go of it."""

    BINDINGS: ClassVar = key_bindings.bindings("lines")
    PLACES: ClassVar = ("lines",)
    COMPONENT_CLASSES: ClassVar = {"lines--head", "lines--name"}

    def __init__(self, *, follows: bool = False, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[str] = []
        self._pairs: tuple[tuple[str, str], ...] | None = None
        self._heads: set[int] = set()
        self._follows = follows
        self._empty = "reading …" if empty else ""
        self._when_read = empty
        self._at_end = True
        self._measuring = False
        self._name_cells = NAME_CELLS

    # What is shown

    def set_lines(self, lines: Sequence[str]) -> None:
        """Show these lines; those that are too long are cut at a sign, and left and right scroll to the rest."""
        self._pairs, self._heads, self._empty = None, set(), self._when_read
        self._replace(list(lines))

    def set_pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show names and values; long values are folded. A name without a value is a heading."""
        if tuple(pairs) != self._pairs:
            self._pairs = tuple(pairs)
            self._fold()

    def _fold(self) -> None:
        whole = self.scrollable_content_region.width
        longest = max((width(name) for name, value in self._pairs or () if value), default=0)
        names = self._name_cells = max(NAME_CELLS, min(longest, whole // 3))
        room = max(whole - names - 1, 20)
        lines: list[str] = []
        self._heads = set()
        for name, value in self._pairs or ():
            if not value:
                lines += [""] if lines else []
                self._heads.add(len(lines))
                lines.append(name)
                continue
            parts = textwrap.wrap(value, room, break_on_hyphens=False) or [""]
            lines.append(f"{pad(name, names)} {parts[0]}")
            lines += [f"{' ' * names} {part}" for part in parts[1:]]
        self._replace(lines)

    def _replace(self, lines: list[str]) -> None:
        if lines == self.lines:
            return
        self.lines = lines[-MOST_LINES:]
        self._measure()
        self.refresh()

    def on_resize(self) -> None:
        if self._pairs is not None:
            self._fold()
        self._measure()

    def watch_scroll_y(self, old: float, new: float) -> None:
        super().watch_scroll_y(old, new)
        if not self._measuring:
            self._at_end = new >= self.max_scroll_y

    def _measure(self) -> None:
        widest = 0 if self._pairs is not None else max((width(line) for line in self.lines), default=0)
        self._measuring = True
        self.virtual_size = Size(max(widest, self.scrollable_content_region.width), len(self.lines))
        if self._follows and self._at_end:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self._measuring = False

    # Drawing

    def render_line(self, y: int) -> Strip:
        size, base = self.size, self.base_style
        place = y + self.scroll_offset.y
        if place >= len(self.lines):
            text = self._empty if not self.lines and y == 0 else ""
            return Strip([Segment(text, base)]).adjust_cell_length(size.width, base)
        line = self.lines[place]
        style = base + self.get_component_rich_style("lines--head") if place in self._heads else base
        if self._pairs is not None and place not in self._heads:
            name = base + self.get_component_rich_style("lines--name")
            segments = [Segment(line[: self._name_cells], name), Segment(line[self._name_cells :], base)]
        else:
            segments = [Segment(line, style)]
        # The last cell of the widget lies under its scroll bar, where it has one.
        cells = self.scrollable_content_region.width
        return window(segments, self.scroll_offset.x, cells, base).adjust_cell_length(size.width, base)

    # Scrolling

    def action_scroll_lines(self, change: int) -> None:
        self.scroll_relative(y=change, animate=False)

    def action_scroll_page(self, way: int) -> None:
        self.scroll_relative(y=way * max(self.size.height - 2, 1), animate=False)

    def action_scroll_first(self) -> None:
        self.scroll_to(0, 0, animate=False)

    def action_scroll_last(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.max_scroll_x > 0 if action == "scroll_side" else super().check_action(action, parameters)

    def action_scroll_side(self, way: int) -> None:
        self.scroll_relative(x=way * SIDE_STEP, animate=False)

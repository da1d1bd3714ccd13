"""Shows a Markdown text: scrolls, folds to its width, and lets the keyboard walk from link to link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..core import key_bindings
from ..networks.markdown import Document, Link, layout
from .edges import SIDE_STEP, marked
from .repaint import LineDrawn

KINDS = ("h1", "h2", "h3", "strong", "em", "code", "block", "link", "quote", "rule", "mark")
MARGIN = 1


class TextView(ScrollView, LineDrawn, can_focus=True):
    """One text. Diagrams and tables are not folded: where one is cut there is a sign, and left and right scroll to the rest.

    Only those that are too wide move to the side; the prose around them stays where it is.
    """

    BINDINGS: ClassVar = [*key_bindings.bindings("text"), *key_bindings.bindings("found")]
    PLACES: ClassVar[tuple[str, ...]] = ("text", "found")
    COMPONENT_CLASSES: ClassVar = {f"text--{kind}" for kind in (*KINDS, "chosen-link", "match")}

    @dataclass
    class LinkFollowed(Message):
        """A link was followed."""

        view: TextView
        link: Link

    def __init__(self, source: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._source = source
        self._document = Document((), (), (), 0)
        self._columns = 0
        """The cells of a line between the margins."""
        self._link: int | None = None
        self._shown = ""
        self._words: tuple[str, ...] = ()
        self._seek = False
        self._match: int | None = None

    @property
    def source(self) -> str:
        """The Markdown that is shown."""
        return self._source

    @property
    def document(self) -> Document:
        """The text as it is laid out."""
        return self._document

    def show(self, source: str, *, keep_place: bool = False) -> None:
        """Show another text, from its beginning."""
        if source == self._source and self._shown == source:
            return
        self._source = source
        self._link = self._match = None
        self._words = ()
        self._seek = False
        self._lay_out()
        if not keep_place:
            self.scroll_to(0, 0, animate=False)

    def on_mount(self) -> None:
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        columns = self.size.width - 2 * MARGIN
        if columns <= 0:
            return
        self._shown = self._source
        self._document = layout(self._source, columns)
        if len(self._document.lines) > self.size.height:
            # The scroll bar, which is not there yet when a text is first shown, takes room from its lines.
            columns = max(columns - self.scrollbar_size_vertical, 1)
            self._document = layout(self._source, columns)
        self._columns = columns
        self.virtual_size = Size(max(self._document.wide, columns) + 2 * MARGIN, len(self._document.lines))
        self.refresh()
        if self._seek:
            self.find(" ".join(self._words))

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.base_style
        place = y + self.scroll_offset.y
        if place >= len(self._document.lines):
            return Strip.blank(width, base)
        found = place == self._match
        if found:
            base += self.get_component_rich_style("text--match")
        line = self._document.lines[place]
        segments = [Segment(span.text, self._style(span.kind, span.link, base)) for span in line]
        mark = Segment("▶" if found else " " * MARGIN, base)
        strip = marked(segments, self._left_of(place), self._columns, base, mark)
        return strip.adjust_cell_length(width, base).simplify()

    def _left_of(self, place: int) -> int:
        """Return by how many cells a line is moved to the left: never further than to the end of its diagram or table."""
        for drawing in self._document.drawings if self.scroll_offset.x else ():
            if drawing.first <= place < drawing.end:
                return min(self.scroll_offset.x, max(drawing.wide - self._columns, 0))
        return 0

    # Finding words

    def find(self, words: str) -> None:
        """Mark the lines that have one of the words and go to the first that has most of them.

        A text that is not in sight yet is laid out, and searched, when it is.
        """
        self._words = tuple(words.lower().split())
        self._seek = self._shown != self._source
        if self._seek:
            return
        counts = {place: sum(word in text for word in self._words) for place, text in enumerate(self._plain_lines())}
        best = max(counts.values(), default=0)
        if best:
            self._go_to_match(min(place for place, count in counts.items() if count == best))

    def _plain_lines(self) -> list[str]:
        return ["".join(span.text for span in line).lower() for line in self._document.lines]

    def _go_to_match(self, place: int) -> None:
        self._match = place
        # Forced: a view that was empty until now has no scroll bar yet, without which Textual would not scroll.
        self.scroll_to(y=max(place - self.size.height // 3, 0), animate=False, force=True)
        self.refresh()

    def action_next_match(self) -> None:
        self._step_match(1)

    def action_previous_match(self) -> None:
        self._step_match(-1)

    def _step_match(self, way: int) -> None:
        lines = self._plain_lines()
        matches = [place for place, text in enumerate(lines) if any(word in text for word in self._words)]
        here = -1 if self._match is None else self._match
        ahead = [place for place in matches if (place > here if way > 0 else place < here)]
        if matches:
            self._go_to_match((ahead or matches)[0 if way > 0 else -1])

    def _style(self, kind: str, link: int | None, base: Style) -> Style:
        if link is not None and link == self._link:
            return base + self.get_component_rich_style("text--chosen-link")
        return base if kind == "plain" else base + self.get_component_rich_style(f"text--{kind}")

    # Scrolling

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.max_scroll_x > 0 if action == "scroll_side" else super().check_action(action, parameters)

    def action_scroll_side(self, way: int) -> None:
        self.scroll_relative(x=way * SIDE_STEP, animate=False)

    def action_scroll_line_down(self) -> None:
        self.scroll_relative(y=1, animate=False)

    def action_scroll_line_up(self) -> None:
        self.scroll_relative(y=-1, animate=False)

    def action_scroll_first(self) -> None:
        self.scroll_to(0, 0, animate=False)

    def action_scroll_last(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    def action_scroll_page_down(self) -> None:
        self.scroll_relative(y=max(self.size.height - 2, 1), animate=False)

    def action_scroll_page_up(self) -> None:
        self.scroll_relative(y=-max(self.size.height - 2, 1), animate=False)

    # Links

    @property
    def link(self) -> Link | None:
        """The link that is chosen."""
        return None if self._link is None else self._document.links[self._link]

    def action_next_link(self) -> None:
        self._choose(1)

    def action_previous_link(self) -> None:
        self._choose(-1)

    def _choose(self, way: int) -> None:
        links = self._document.links
        if not links:
            return
        if self._link is None:
            top = self.scroll_offset.y
            below = [number for number, link in enumerate(links) if link.line >= top]
            above = [number for number, link in enumerate(links) if link.line < top + self.size.height]
            found = below[:1] if way > 0 else above[-1:]
            self._link = found[0] if found else (0 if way > 0 else len(links) - 1)
        else:
            self._link = (self._link + way) % len(links)
        line, top = links[self._link].line, self.scroll_offset.y
        if not top <= line < top + self.size.height:
            self.scroll_to(y=max(line - self.size.height // 2, 0), animate=False)
        self.refresh()

    def action_follow_link(self) -> None:
        if self.link is not None:
            self.post_message(self.LinkFollowed(self, self.link))

    def on_click(self, event: events.Click) -> None:
        place = event.y + self.scroll_offset.y
        if place >= len(self._document.lines):
            return
        x = event.x + self._left_of(place) - MARGIN
        for span in self._document.lines[place]:
            x -= len(span.text)
            if x < 0:
                if span.link is not None:
                    self._link = span.link
                    self.refresh()
                    self.action_follow_link()
                return

"""Widgets, and a base of widgets, that paint again no more than what changed: over SSH every cell costs."""

from __future__ import annotations

from typing import Self

from rich.style import Style
from rich.text import Text
from textual.app import RenderResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class LineDrawn(Widget):
    """What widgets that draw themselves line by line have in common: a ``base_style`` for ``render_line``.

    As a second base class it stands last, behind that with the styles.
    """

    _base_style: Style | None = None

    @property
    def base_style(self) -> Style:
        """The style of the widget itself, mixed once a paint from those of all that it lies in, and not once a line."""
        if self._base_style is None:
            self._base_style = self.rich_style
        return self._base_style

    def render_lines(self, crop: Region) -> list[Strip]:
        self._base_style = None
        return super().render_lines(crop)


class Frame(Vertical):
    """A framed pane whose titles may change often.

    It paints a line of its border again where the title in it is another one, and nothing else. Textual paints a whole
    pane, and all that lies in it, for every title that is set.
    """

    def __init__(self, *children: Widget, id: str) -> None:
        super().__init__(*children, id=id, classes="framed")
        self._titles = ("", "")
        self._line: Region | None = None

    def entitle(self, title: str, subtitle: str = "") -> None:
        """Show these words in the border, as they are: nothing in them is markup."""
        before, self._titles = self._titles, (title, subtitle)
        left, top = self.content_offset
        width, height = self.outer_size
        if title != before[0]:
            self._line = Region(-left, -top, width, 1)
            self.border_title = Text(title)
        if subtitle != before[1]:
            self._line = Region(-left, height - 1 - top, width, 1)
            self.border_subtitle = Text(subtitle)
        self._line = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if self._line is not None:
            regions = (self._line,)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class TextLines(Widget):
    """A few lines of plain text whose size is fixed by the style sheet: a change is painted without a new layout.

    Shown as it is, never read as markup; lines that are too long end in "…" where the style sheet says nothing else.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, classes="one-line")
        self.text = ""

    def update(self, text: str) -> None:
        """Show another text."""
        if text != self.text:
            self.text = text
            self.refresh()

    def render(self) -> RenderResult:
        return Text(self.text)

"""A framed pane whose titles may change often: over SSH every cell that is painted again costs."""

from __future__ import annotations

from typing import Self

from rich.text import Text
from textual.containers import Vertical
from textual.geometry import Region
from textual.widget import Widget


class Frame(Vertical):
    """Paints a line of its border again where the title in it is another one, and nothing else.

    Textual paints a whole pane, and all that lies in it, for every title that is set.
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
            self.border_title = Text(title)  # type: ignore[assignment]
        if subtitle != before[1]:
            self._line = Region(-left, height - 1 - top, width, 1)
            self.border_subtitle = Text(subtitle)  # type: ignore[assignment]
        self._line = None

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if self._line is not None:
            regions = (self._line,)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

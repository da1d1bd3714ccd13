"""A few lines of plain text whose size is fixed by the style sheet: a change is painted without a new layout."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget


class TextLines(Widget):
    """Shown as it is, never read as markup; lines that are too long end in "…" where the style sheet says nothing else."""

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

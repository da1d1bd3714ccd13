"""The line of the first start: it shows the signs in use and names the key that changes them."""

from __future__ import annotations

from rich.text import Text
from textual.app import RenderResult
from textual.widget import Widget


class SignsLine(Widget):
    """Hidden while it has nothing to say."""

    DEFAULT_CSS = """
    SignsLine { dock: bottom; height: 1; margin-bottom: 1; display: none; background: $panel; text-style: bold; }
    SignsLine.-shown { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(id="signs")
        self.text = ""

    def show(self, text: str) -> None:
        """Show these words; "" hides the line."""
        self.text = text
        self.set_class(bool(text), "-shown")
        self.refresh()

    def render(self) -> RenderResult:
        return Text(f" {self.text}", no_wrap=True, overflow="ellipsis")

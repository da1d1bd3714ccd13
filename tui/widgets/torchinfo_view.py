"""torchinfo's own summary of a network: its table, which scrolls both ways, and below it how its totals compare."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from ..core import key_bindings
from ..core.messages import AskForColumns
from ..networks.torchinfo_text import FIRST_COLUMNS, FIRST_DEPTH, TITLES, TorchinfoText
from .line_view import LineView
from .repaint import TextLines

MOST_LINES = 6
"""Lines of the explanation, of which a file has all."""


class TorchinfoLines(LineView):
    """The lines of the table."""

    PLACES: ClassVar = ("torchinfo", "lines")


class TorchinfoView(Vertical):
    """Depth and columns are chosen here; whoever holds the view asks for the table anew after each change."""

    # The app writes and copies what is shown here; the table names these keys for the line at the foot.
    BINDINGS: ClassVar = key_bindings.bindings(
        "torchinfo", [command for command in key_bindings.COMMANDS if command.action not in ("export", "copy")]
    )
    TERMS: ClassVar = ("torchinfo", "depth-idx", *TITLES.values(), "(recursive)")

    @dataclass
    class Changed(Message):
        """Another depth or other columns were chosen."""

    def __init__(self) -> None:
        super().__init__(id="torchinfo")
        self.depth = FIRST_DEPTH
        self.columns: tuple[str, ...] = FIRST_COLUMNS
        self.shown: TorchinfoText | None = None
        self._deepest = 0
        """The deepest level of the network, 0 while it is not known."""
        self._name = ""

    def compose(self) -> ComposeResult:
        yield TextLines(id="torchinfo-heading")
        yield TorchinfoLines()
        yield TextLines(id="torchinfo-explanation")

    @property
    def table(self) -> TorchinfoLines:
        """The lines themselves."""
        return self.query_one(TorchinfoLines)

    def details(self) -> dict[str, Any]:
        """Return what the helper process is asked for, the network apart."""
        return {"depth": self.depth, "columns": list(self.columns)}

    def wait(self, network: str, words: str) -> None:
        """Show words where the table of ``network`` will stand, or why there is none."""
        self._begin(network)
        self.shown = None
        self.table.set_lines([words])
        self._show_words()

    def show(self, network: str, text: TorchinfoText) -> None:
        """Show the table of ``network``."""
        self._begin(network)
        self.shown, self._deepest = text, text.deepest
        self.table.set_lines(text.lines)
        self._show_words()

    def _begin(self, network: str) -> None:
        if network != self._name:
            self._name, self._deepest = network, 0
            self.table.scroll_to(0, 0, animate=False)

    def on_resize(self) -> None:
        self._show_words()

    def _show_words(self) -> None:
        heading, lines = f"torchinfo: {self._name}", []
        if self.shown is not None:
            depth = f"depth {min(self.depth, self.shown.deepest)} of {self.shown.deepest}"
            heading += f", {depth}, {len(self.columns)} of {len(TITLES)} columns"
            for sentence in self.shown.explanation:
                lines += textwrap.wrap(sentence, max(self.size.width, 20), break_on_hyphens=False)
        explanation = self.query_one("#torchinfo-explanation", TextLines)
        explanation.styles.height = min(max(len(lines), 1), MOST_LINES)
        explanation.update("\n".join(lines[:MOST_LINES]))
        self.query_one("#torchinfo-heading", TextLines).update(heading)

    def action_depth(self, change: int) -> None:
        """Show one level more or less, also where the table of this depth could not be made."""
        if not self._deepest:
            return
        depth = min(max(min(self.depth, self._deepest) + change, 1), self._deepest)
        if depth != self.depth:
            self.depth = depth
            self.post_message(self.Changed())

    def action_columns(self) -> None:
        """Let the person choose the columns."""
        self.post_message(AskForColumns(TITLES, self.columns, self._chosen))

    def _chosen(self, columns: tuple[str, ...] | None) -> None:
        if columns and columns != self.columns:
            self.columns = columns
            self.post_message(self.Changed())

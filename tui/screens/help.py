"""The keys of a screen, from the table that binds them, and a legend of its signs and columns, from the glossary."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen

from ..core import key_bindings
from ..core.key_bindings import Command
from ..networks import glossary
from ..widgets.rows import Column, Row, RowList
from .dialog import Dialog

KEY_CELLS, FRAME_CELLS, WIDEST = 20, 10, 76
"""Cells of the keys, of what frames the rows, and of the dialog at its widest."""
PLACES = {
    "app": "everywhere",
    "list": "in a list",
    "text": "in a text",
    "chart": "in the chart of all networks",
    "layers": "in the layer table",
    "torchinfo": "in torchinfo's summary",
    "walk": "in the walk",
    "pixel": "at one output value",
    "code": "in the model file",
    "diff": "in the difference",
    "catalogue": "architectures",
    "two-panes": "a list and its panes",
    "compare": "comparing",
    "bench": "convolution bench",
    "charts": "charts",
    "grid": "in a chart",
    "lines": "in the log and the files",
    "runs": "runs",
    "run": "with a run",
    "differences": "what differs",
    "one-run": "one run",
    "launch": "train",
    "dialog": "in a dialog",
}


def terms(screen: Screen) -> tuple[str, ...]:
    """Collect what is in sight on a screen: the column titles of its tables, and the ``TERMS`` of it and of its widgets."""
    nodes = [
        screen,
        *(widget for widget in screen.query("*") if all(node.display for node in widget.ancestors_with_self)),
    ]
    columns = [title for node in nodes if isinstance(node, RowList) for title in node.column_titles]
    return tuple(dict.fromkeys((*columns, *(term for node in nodes for term in getattr(node, "TERMS", ())))))


class HelpScreen(Dialog[None]):
    """Lists commands with their keys, and below them the legend; escape, `?` or `q` closes it."""

    BINDINGS: ClassVar = key_bindings.bindings("help")
    PLACES: ClassVar = ("help", "dialog")

    def __init__(self, heading: str, listed: Sequence[Command], terms: Sequence[str] = ()) -> None:
        super().__init__()
        self._heading, self._listed, self._terms = heading, listed, terms

    def compose_dialog(self) -> ComposeResult:
        rows: list[Row] = []
        places = list(dict.fromkeys(command.where for command in self._listed))
        for place in sorted(places, key=lambda place: place == "app"):
            rows.append(Row(place, (PLACES.get(place, place),), tone="head", selectable=False))
            for command in self._listed:
                if command.where == place:
                    rows += self._folded(command.action + place, command.shown_keys, command.help)
        rows.append(Row("mouse", ("mouse",), tone="head", selectable=False))
        rows += self._folded("click", "click", "All of it works without a mouse; shift and drag selects text")
        rows += self._legend()
        yield RowList((Column("", KEY_CELLS), Column("")), rows, titles=False, id="help-rows")

    def _legend(self) -> list[Row]:
        found = glossary.legend(self._terms)
        rows = [Row("legend", ("signs and columns",), tone="head", selectable=False)] if found else []
        for label, sentence in found.items():
            rows += self._folded(f"legend {label}", label, sentence)
        return rows

    def _folded(self, name: str, keys: str, text: str) -> list[Row]:
        """Return the rows of one command: keys and words go on in the next line where they are too long for theirs."""
        room = min(self.app.size.width, WIDEST) - KEY_CELLS - FRAME_CELLS
        lines = zip_longest(wrap(keys, KEY_CELLS - 2), wrap(text, max(room, 20)), fillvalue="")
        return [Row(f"{name}{number}", (f"  {left}", right)) for number, (left, right) in enumerate(lines)]

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#dialog").border_title = f"Keys: {self._heading}"
        self.query_one(RowList).focus()

    def action_submit(self) -> None:
        self.dismiss(None)

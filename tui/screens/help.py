"""The keys of a screen, from the table that binds them, and a legend of its signs and columns, from the glossary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen

from ..core import key_bindings, workspaces
from ..core.key_bindings import Command
from ..core.workspaces import PLACES
from ..networks import glossary
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

KEY_CELLS, FRAME_CELLS, WIDEST = 20, 10, 76
"""Cells of the keys, of what frames the rows, and of the dialog at its widest."""


def terms(screen: Screen) -> tuple[str, ...]:
    """Collect what is in sight on a screen: the column titles of its tables, and the ``TERMS`` of it and of its widgets."""
    nodes = [
        screen,
        *(widget for widget in screen.query("*") if all(node.display for node in widget.ancestors_with_self)),
    ]
    columns = [title for node in nodes if isinstance(node, RowList) for title in node.column_titles]
    return tuple(dict.fromkeys((*columns, *(term for node in nodes for term in getattr(node, "TERMS", ())))))


class HelpRows(RowList):
    """Rows to read: the keys of a list scroll them, since there is nothing to choose."""

    opens = False

    def _scroll(self, lines: int) -> None:
        self.scroll_to(y=self.scroll_offset.y + lines, animate=False)

    def action_cursor_down(self) -> None:
        self._scroll(1)

    def action_cursor_up(self) -> None:
        self._scroll(-1)

    def action_cursor_first(self) -> None:
        self.scroll_to(y=0, animate=False)

    def action_cursor_last(self) -> None:
        self._scroll(len(self.rows))

    def action_page_down(self) -> None:
        self._scroll(max(self._page - 1, 1))

    def action_page_up(self) -> None:
        self._scroll(-max(self._page - 1, 1))


class HelpScreen(Dialog[None]):
    """Lists commands with their keys, and below them the legend; escape, `?` or `q` closes it."""

    BINDINGS: ClassVar = key_bindings.bindings("help")
    PLACES: ClassVar = ("help", "dialog")

    def __init__(self, heading: str, listed: Sequence[Command], terms: Sequence[str] = ()) -> None:
        super().__init__()
        self._heading, self._listed, self._terms = heading, listed, terms

    def compose_dialog(self) -> ComposeResult:
        rows: list[ListRow] = []
        places = list(dict.fromkeys(command.where for command in self._listed))
        for place in workspaces.ordered(places):
            rows.append(ListRow(place, (PLACES.get(place, place),), tone="head", selectable=False))
            for command in self._listed:
                if command.where == place:
                    rows += self._folded(command.action + place, command.shown_keys, command.help)
        rows.append(ListRow("mouse", ("mouse",), tone="head", selectable=False))
        clicks = "An entry of the foot line does what its key does, a column title sorts; shift and drag selects text"
        rows += self._folded("click", "click", clicks)
        rows += self._legend()
        yield HelpRows((Column("", KEY_CELLS), Column("")), rows, titles=False, id="help-rows")

    def _legend(self) -> list[ListRow]:
        found = glossary.legend(self._terms)
        rows = [ListRow("legend", ("signs and columns",), tone="head", selectable=False)] if found else []
        for label, sentence in found.items():
            rows += self._folded(f"legend {label}", label, sentence)
        return rows

    def _folded(self, name: str, keys: str, text: str) -> list[ListRow]:
        """Return the rows of one command: keys and words go on in the next line where they are too long for theirs."""
        room = min(self.app.size.width, WIDEST) - KEY_CELLS - FRAME_CELLS
        lines = zip_longest(wrap(keys, KEY_CELLS - 2), wrap(text, max(room, 20)), fillvalue="")
        return [
            ListRow(f"{name}{number}", (f"  {left}", right), selectable=False)
            for number, (left, right) in enumerate(lines)
        ]

    def active_commands(self) -> tuple[Command, ...]:
        page_down = next(found for found in key_bindings.of("list") if found.action == "page_down")
        return *super().active_commands(), replace(page_down, keys="pagedown", foot="scroll")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#dialog").border_title = f"Keys: {self._heading}"
        self.query_one(RowList).focus()

    def action_submit(self) -> None:
        self.dismiss(None)

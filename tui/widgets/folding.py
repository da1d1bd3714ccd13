"""Sentences that are too long for their line go on in blank lines below, where there are enough of them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from ...trainer.common import text_safe
from .edges import MORE_RIGHT
from .rows import LEAST, ListRow

FEW = 6
"""With fewer lines than these, a text in full would hide the rows beside it."""


def folded(rows: Sequence[ListRow], place: int, cells: int, widest: int) -> list[ListRow]:
    """Return the rows with the text of a column in lines of ``cells``.

    Where the rows alone fit into ``widest`` lines and the texts in full do not, each text keeps its one line, and a sign
    says that it goes on. Rows that have to be scrolled anyway have their texts in full, unless there are ``FEW`` lines.
    """
    texts = [textwrap.wrap(row.cells[place], max(cells, 1), break_on_hyphens=False) or [""] for row in rows]
    if cells < LEAST:
        return list(rows)
    if widest < sum(map(len, texts)) and (len(rows) <= widest or widest < FEW):
        return [replace(row, cells=_with(row.cells, place, _cut(row.cells[place], cells))) for row in rows]
    found = []
    for row, text in zip(rows, texts, strict=True):
        found.append(replace(row, cells=_with(row.cells, place, text[0])))
        blank = ("",) * len(row.cells)
        found += [ListRow("", _with(blank, place, line), row.tone, selectable=False) for line in text[1:]]
    return found


def _cut(text: str, cells: int) -> str:
    if text_safe.width(text) <= cells:
        return text
    return text_safe.shorten(text, cells).removesuffix("…") + MORE_RIGHT


def _with(cells: tuple[str, ...], place: int, text: str) -> tuple[str, ...]:
    return (*cells[:place], text, *cells[place + 1 :])


def folded_lines(lines: Sequence[str], cells: int, widest: int) -> list[str]:
    """Return lines of at most ``cells``, at most ``most`` of them; those that would need more are left as they are."""
    found = [part for line in lines for part in textwrap.wrap(line, max(cells, LEAST), subsequent_indent="  ") or [""]]
    return list(lines[:widest]) if len(found) > widest else found

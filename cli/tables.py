"""Tables for the terminal and for pipes: as wide as the terminal, uncut where nobody looks.

Rich would cut every column of a table that is too wide, and loading it takes a third of the time of `list`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 2000
WIDE_GAP, NARROW_GAP = 3, 2
LEAST_SHRUNK = 8
"""A column that would be narrower is left out: it could hardly show anything."""


def console(stream: IO[str] | None = None) -> Console:
    """Return a console on ``stream`` (stdout), as wide as a terminal; in a pipe lines may have any length."""
    from rich.console import Console

    target = stream or sys.stdout
    if target.isatty():
        return Console(file=target, highlight=False)
    return Console(file=target, width=PIPE_WIDTH, color_system=None, force_terminal=False, highlight=False)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    shrink: str | None = None,
    optional: Sequence[str] = (),
    title: str | None = None,
) -> None:
    """Print rows under their column names on stdout.

    ``numbers`` are the columns set right. On a narrow terminal the column ``shrink`` gives way first, ending in "…"; where
    no room is left it goes, and after it those in ``optional``. What is too wide even then comes in blocks of columns,
    each with the first column.
    """
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    table = [list(columns), *(["" if cell is None else str(cell) for cell in row] for row in rows)]
    print("\n".join([*([title] if title else []), *_lines(table, numbers, shrink, optional, room)]))


def _lines(
    table: list[list[str]], numbers: Sequence[str], shrink: str | None, optional: Sequence[str], room: int
) -> list[str]:
    """Return the rows of ``table``, the first of which names the columns, as lines of at most ``room`` cells if possible."""
    columns = table[0]
    widths = [max(map(_cells, column)) for column in zip(*table, strict=True)]
    right = [name in numbers for name in columns]
    for gap in (WIDE_GAP, NARROW_GAP):
        if _total(widths, gap) <= room:
            return _drawn(table, widths, right, gap)
    if shrink in columns:
        at = columns.index(shrink)
        widths[at] -= _total(widths, NARROW_GAP) - room
        if widths[at] >= LEAST_SHRUNK:
            return _drawn(table, widths, right, NARROW_GAP)
        return _lines(_without(table, at), numbers, None, optional, room)
    if optional:
        return _lines(_without(table, columns.index(optional[0])), numbers, None, optional[1:], room)
    return _in_blocks(table, widths, right, room)


def _without(table: list[list[str]], at: int) -> list[list[str]]:
    return [row[:at] + row[at + 1 :] for row in table]


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _drawn(table: list[list[str]], widths: Sequence[int], right: Sequence[bool], gap: int) -> list[str]:
    lines = []
    for row in table:
        cells = [_cell(cell, width, to) for cell, width, to in zip(row, widths, right, strict=True)]
        lines.append((" " * gap).join(cells).rstrip())
    lines.insert(1, "─" * _total(widths, gap))
    return lines


def _cells(text: str) -> int:
    """Return how many cells a text takes; most are plain ASCII, which needs no look at each letter."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def _cell(text: str, width: int, right: bool) -> str:
    space = width - _cells(text)
    if space < 0:
        return set_cell_size(text, width - 1) + "…"
    return " " * space + text if right else text + " " * space


def _in_blocks(table: list[list[str]], widths: Sequence[int], right: Sequence[bool], room: int) -> list[str]:
    """Return blocks of columns: as many beside the first as fit, below them the next ones beside the first again."""
    lines: list[str] = []
    at = 1
    while at < len(widths):
        chosen = [0, at]
        at += 1
        while at < len(widths) and _total([widths[i] for i in (*chosen, at)], NARROW_GAP) <= room:
            chosen.append(at)
            at += 1
        block = [[row[i] for i in chosen] for row in table]
        lines += ["", *_drawn(block, [widths[i] for i in chosen], [right[i] for i in chosen], NARROW_GAP)]
    return lines[1:] or _drawn(table, widths, right, NARROW_GAP)

"""Tables for the terminal and for pipes: as wide as the terminal, uncut and without colour codes where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 2000


def console(stream: IO[str] | None = None) -> Console:
    """A console on ``stream`` (stdout): terminal width on a terminal, practically endless lines in a pipe."""
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
    title: str | None = None,
) -> None:
    """Print rows under their column names on stdout.

    ``numbers`` are the columns set right; ``shrink`` is the column that gives way first on a narrow terminal, ending in "…".
    """
    target = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", show_edge=False)
    for name in columns:
        narrow = name == shrink
        table.add_column(
            name,
            justify="right" if name in numbers else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if narrow and target.is_terminal else None,
            min_width=None if narrow else len(name),
        )
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    with target.capture() as capture:
        target.print(table)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))

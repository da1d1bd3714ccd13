"""The columns of the list of runs, and at which width of the list each of them is shown."""

from __future__ import annotations

from ..runs import run_table
from ..runs.identity import STATE_CELLS
from .rows import Column


def columns(live: bool) -> tuple[Column, ...]:
    """Return the columns; while a run is ``live``, its pace and the time left come before what tells runs apart."""
    return (
        Column("", 2),
        Column("", 1),
        Column("network"),
        Column("data", 9, above=50, longest=20),
        Column("state", STATE_CELLS),
        Column("best %", 6, right=True),
        Column("course", run_table.CURVE_CELLS, above=60 if live else 75),
        Column("test %", 6, right=True, above=98 if live else 96),
        Column("img/s", 6, right=True, above=74 if live else 126),
        Column("left", 7, right=True, above=66 if live else 134),
        Column("notes", 12, above=122 if live else 89, longest=32),
        Column("lr", 7, right=True, above=86 if live else 60),
        Column("batch", 5, right=True, above=104 if live else 102),
        Column("seed", 4, right=True, above=109 if live else 107),
        Column("date", 11, above=134 if live else 119),
        Column("end", 4, above=91 if live else 66),
        Column("id", 42, above=178, longest=56),
    )


def titles() -> list[str]:
    """Return the names of all columns for a file; the two without a title are the mark and the sign of the state."""
    return [column.title or ("mark", "sign")[place % 2] for place, column in enumerate(columns(live=True))]

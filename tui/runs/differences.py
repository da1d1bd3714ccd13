"""What differs between runs: their settings and what they came to, side by side. No Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...trainer.common.number_text import NONE, percentage
from ...trainer.config.recipe import renamed
from ...trainer.runs.run import RunSnapshot
from . import identity, run_page


@dataclass(frozen=True)
class Difference:
    """A setting or a result by its name, with its value in each run."""

    name: str
    values: tuple[str, ...]
    result: bool = False

    @property
    def varied(self) -> int:
        """How many different values there are."""
        return len(set(self.values))


def rows(runs: Sequence[RunSnapshot], *, everything: bool = False) -> list[Difference]:
    """Return the results of the runs, then the settings in which they differ, or all of them."""
    results = [
        Difference("state", tuple(map(identity.state_text, runs)), True),
        Difference("best %", tuple(percentage(run.best_accuracy, NONE) for run in runs), True),
        Difference("test %", tuple(percentage(run.test_accuracy, NONE) for run in runs), True),
    ]
    known = [_settings(run) for run in runs]
    names = dict.fromkeys(name for values in known for name in values)
    settings = [Difference(name, tuple(values.get(name, NONE) for values in known)) for name in names]
    return results + [row for row in settings if everything or row.varied > 1]


def _settings(run: RunSnapshot) -> dict[str, str]:
    """Return what decides a run, and what a person wrote on it, by name."""
    found = {"seed": run_page.text(run.config.get("seed"))}
    for part in run_page.PARTS:
        values = run.config.get(part)
        if isinstance(values, dict):
            lines = run_page.flat(renamed(values) if part == "recipe" else values)
            found |= {name if part == "recipe" else f"{part} {name}": value for name, value in lines}
    found["tags"] = ", ".join(run.notes.tags) or NONE
    return found


def by_run(found: Sequence[Difference], cells: int, *, least: int = 6, widest: int = 16) -> tuple[list[int], int]:
    """Choose the rows that have room as columns of ``cells`` in all, a row a run: results, then what varies most.

    Returns their places and how many are left out. The first that has no room ends it, though a narrower one might still
    fit: on a wider terminal that one would have to make room.
    """
    order = sorted(range(len(found)), key=lambda place: (not found[place].result, -found[place].varied))
    chosen: list[int] = []
    for place in order:
        size = column_cells(found[place], least, widest) + 1
        if size > cells:
            break
        chosen.append(place)
        cells -= size
    return chosen, len(found) - len(chosen)


def column_cells(row: Difference, least: int = 6, widest: int = 16) -> int:
    """Return the width of a column for a setting."""
    return min(max(least, len(row.name), *map(len, row.values)), widest)

"""What differs between runs: their settings and what they came to, side by side. No Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...trainer.common.number_text import NONE, percentage
from ...trainer.config.recipe import renamed
from ...trainer.runs.run import RunSnapshot
from . import identity, run_page

MEASURED = "engine calibration "
"""What the names of measurements begin with: they decide nothing themselves, their outcome stands among the settings."""


@dataclass(frozen=True)
class Difference:
    """A setting or a result by its name, with its value in each run as text and as ``data``.

    ``key`` is the name in `runs --json` of a result, which is called otherwise on the screen.
    """

    name: str
    values: tuple[str, ...]
    data: tuple[Any, ...] = ()
    key: str = ""

    @property
    def result(self) -> bool:
        """Whether it is what a run came to, and no setting."""
        return bool(self.key)

    @property
    def varied(self) -> int:
        """How many different values there are."""
        return len(set(self.values))


def rows(runs: Sequence[RunSnapshot], *, everything: bool = False) -> list[Difference]:
    """Return the results of the runs, then the settings in which they differ, or all of them."""
    results = [
        Difference("state", tuple(map(identity.state_text, runs)), tuple(run.state for run in runs), "state"),
        _accuracy("best %", "best_accuracy", [run.best_accuracy for run in runs]),
        _accuracy("test %", "test_accuracy", [run.test_accuracy for run in runs]),
    ]
    known = [_settings(run) for run in runs]
    names = dict.fromkeys(name for values in known for name in values)
    settings = [_setting(name, [values.get(name) for values in known]) for name in names]
    return results + [row for row in settings if everything or row.varied > 1]


def _accuracy(name: str, key: str, values: Sequence[float | None]) -> Difference:
    return Difference(name, tuple(percentage(value, NONE) for value in values), tuple(values), key)


def _setting(name: str, values: Sequence[Any]) -> Difference:
    return Difference(name, tuple(map(run_page.text, values)), tuple(values))


def _settings(run: RunSnapshot) -> dict[str, Any]:
    """Return what decides a run, and what a person wrote on it, by name."""
    found = {"seed": run.config.get("seed")}
    for part in run_page.PARTS:
        values = run.config.get(part)
        if isinstance(values, dict):
            lines = run_page.items(renamed(values) if part == "recipe" else values)
            named = {name if part == "recipe" else f"{part} {name}": value for name, value in lines}
            found |= {name: value for name, value in named.items() if not name.startswith(MEASURED)}
    found["tags"] = list(run.notes.tags)
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

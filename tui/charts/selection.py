"""Which runs are drawn together: the marked ones, the pinned one, and the one under the cursor. No Textual.

A run keeps its slot, and with it its colour and its marker, for as long as no other shown run has it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from ...trainer.runs.run import RunSnapshot
from . import markers
from .view import ChartedRun

SLOTS = markers.COLOURS * len(markers.MARKERS)
PINNED = "↑"


class RunSelection:
    """``marked`` are ids of runs in the order of marking, ``pinned`` is the id of the run on top of all others, or ""."""

    def __init__(self, marked: Iterable[str] = (), pinned: str = "") -> None:
        self.marked = [name for name in marked if isinstance(name, str)]
        self.pinned = pinned
        self._slots: dict[str, int] = {}

    def toggle(self, run_id: str) -> bool:
        """Mark a run, or no longer; whether it is marked now."""
        if run_id in self.marked:
            self.marked.remove(run_id)
            return False
        self.marked.append(run_id)
        return True

    def pin(self, run_id: str) -> bool:
        """Put a run on top, or no longer; whether it is there now."""
        self.pinned = "" if run_id == self.pinned else run_id
        return bool(self.pinned)

    def clear(self) -> None:
        """Remove all marks and the pin."""
        self.marked.clear()
        self.pinned = ""

    def sign(self, run_id: str, *, ascii: bool = False) -> str:
        """Return two characters for the list: the marker that a marked run has in the charts, and whether it is pinned."""
        if run_id != self.pinned and run_id not in self.marked:
            return ""
        marker = markers.marker(self._slots[run_id], "train", ascii) if run_id in self._slots else " "
        return marker + (PINNED if run_id == self.pinned else "")

    def charted(self, runs: Sequence[RunSnapshot], selected: str) -> tuple[ChartedRun, ...]:
        """Return what to draw: the selected run first, then the pinned one and the marked ones, as far as they exist."""
        known = {run.id: run for run in runs}
        wanted = dict.fromkeys(name for name in (selected, self.pinned, *self.marked) if name in known)
        taken: set[int] = set()
        charted = []
        for name in sorted(wanted, key=lambda name: (name not in self._slots, name)):
            taken.add(self._slot(name, taken))
        for name in wanted:
            run = known[name]
            label = f"{run.network or 'run'} {name.rpartition('-')[2][-8:]}"
            charted.append(ChartedRun(run.path, label, self._slots[name], name == self.pinned))
        return tuple(charted)

    def _slot(self, run_id: str, taken: set[int]) -> int:
        """Return its slot of before, or the first free one from where its id points; any one when all are taken."""
        first = self._slots.get(run_id, zlib.crc32(run_id.encode()) % markers.COLOURS)
        free = (slot % SLOTS for slot in range(first, first + SLOTS) if slot % SLOTS not in taken)
        self._slots[run_id] = next(free, first)
        return self._slots[run_id]

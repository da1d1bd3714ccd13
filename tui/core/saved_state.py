"""What the app remembers from one start to the next: where you were. Losing it costs nothing, so nothing here raises."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ...trainer.common.files import read_bytes, remove_abandoned, replace_file

FILE = "app.json"
LARGEST = 1 << 16


@dataclass
class SavedState:
    """Where the person was. A value of a wrong type in the file is replaced by the default.

    ``run_tab`` is what version 0.1 calls the pane of a run; it is kept for that version as it was read.
    """

    screen: str = "catalogue"
    network: str = ""
    tab: str = "note"
    sort: str = "year"
    sort_reversed: bool = False
    view: str = "list"
    run: str = ""
    run_pane: str = "overview"
    run_tab: str = "charts"
    run_order: str = "newest"
    machine: bool = True
    marked: list[str] = field(default_factory=list)
    pinned: str = ""
    axis: str = "epoch"
    smoothing: float = 0.0
    log_charts: str = ""
    charts: str = ""
    dataset: str = "digits"
    theme: str = ""
    signs: dict[str, str] = field(default_factory=dict)
    digit: int = 0
    asked: int = 0
    right: int = 0
    quiz: bool = True
    splits: dict[str, int] = field(default_factory=dict)


def load(folder: Path) -> SavedState:
    """Return what is remembered in ``folder``; the defaults where nothing is, or it cannot be read."""
    try:
        values = json.loads(read_bytes(folder / FILE, LARGEST))
    except (OSError, ValueError, RecursionError):
        return SavedState()
    if not isinstance(values, dict):
        return SavedState()
    state = SavedState()
    values.setdefault("run_pane", _run_pane_of_0_1(values.get("run_tab")))
    for known in fields(SavedState):
        value, default = values.get(known.name), getattr(state, known.name)
        if type(value) is type(default):
            setattr(state, known.name, value)
    return state


def _run_pane_of_0_1(tab: object) -> object:
    """Return what version 0.1 saved as ``run_tab``: "charts" was its first tab, in whose place the overview stands."""
    return "overview" if tab == "charts" else tab


def save(folder: Path, state: SavedState) -> bool:
    """Write it, whole or not at all; False where the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder / FILE)
        replace_file(folder / FILE, json.dumps(asdict(state), indent=1).encode(), sync=False)
    except OSError:
        return False
    return True

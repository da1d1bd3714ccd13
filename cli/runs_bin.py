"""`cnn-explorer runs rm` and `runs bin`: removing runs, what the bin holds, and emptying it."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import typer

from ..errors import UsageError, counted
from ..trainer.runs import deleted_runs
from ..trainer.runs.deleted_runs import DeletedRun
from ..trainer.runs.reader import read_run, summary
from . import runs_text
from .narrate import log
from .output import print_json
from .tables import print_table

COLUMNS = ("id", "result", "size", "removed", "kept until")


def remove(path: Path, *, yes: bool, for_good: bool, as_json: bool) -> None:
    """Remove a run, after a question: into the bin, or ``for_good``."""
    what = f"{path.name} ({runs_text.short_result(read_run(path))}, {runs_text.size_on_disk(path)})"
    _ask(f"Remove {what}{' for good' if for_good else ''}?", "is needed to remove a run where nobody can be asked", yes)
    if for_good:
        deleted_runs.remove(path.parent, path.name)
        log(f"removed {path.name} for good")
        found: dict[str, object] = {"bin": None, "until": None}
    else:
        deleted = deleted_runs.delete(path.parent, path.name)
        day = f"{deleted.until.astimezone():%Y-%m-%d}"
        log(f"removed {path.name}; until {day} 'cnn-explorer runs restore {path.name}' brings it back")
        found = {"bin": str(deleted.path), "until": _utc(deleted.until)}
    if as_json:
        print_json({"schema": 1, "id": path.name, "path": str(path), "removed": True} | found)


def empty(runs: Path, *, yes: bool) -> None:
    """Delete all that is in the bin, after a question."""
    found = deleted_runs.in_bin(runs)
    if found:
        question = f"Delete {counted(len(found), 'run')} in {runs / deleted_runs.BIN} for good?"
        _ask(question, "is needed to empty the bin where nobody can be asked", yes)
    count = deleted_runs.empty(runs)
    log(f"deleted {counted(count, 'run')} for good")


def _ask(question: str, why: str, yes: bool) -> None:
    """Ask, unless ``yes``; whoever does not agree ends the program with exit code 1."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("--yes", None, why)
    if not typer.confirm(question, err=True):
        raise typer.Exit(1)


def show(runs: Path, *, as_json: bool) -> None:
    """Print the runs in the bin, the one deleted last first."""
    folder, found = runs / deleted_runs.BIN, deleted_runs.in_bin(runs)
    if as_json:
        rows = [summary(one.read()) | {"deleted": _utc(one.deleted), "until": _utc(one.until)} for one in found]
        print_json({"schema": 1, "folder": str(folder), "days": deleted_runs.DAYS, "runs": rows})
    elif found:
        print_table(COLUMNS, map(_cells, found), shrink="result", optional=("removed", "size"))
    else:
        log(f"the bin is empty: {folder}")


def _cells(one: DeletedRun) -> tuple[str, ...]:
    times = (f"{when.astimezone():%Y-%m-%d %H:%M}" for when in (one.deleted, one.until))
    return one.id, runs_text.short_result(one.read()), runs_text.size_on_disk(one.path), *times


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"

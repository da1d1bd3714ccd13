"""Reads run directories, whatever they hold: damaged files, strange types and hostile names give gaps, never exceptions.

The state that is shown is inferred, not merely read: a run whose status says *training* while nobody holds its lock has
*crashed* (liveness.py). Strings are cleaned for showing.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..common.files import read_bytes
from ..common.text_safe import clean_value, is_harmless
from .annotations import notes_from
from .ids import age_key, is_run, run_names
from .liveness import infer_state
from .lock import is_locked
from .run import RunSnapshot, number, summary
from .states import ENDED
from .tail import (
    LogTail,
    MetricsTail,
    NewestMetrics,
    NewLines,
    NewRecords,
    last_log_lines,
    newest_metrics,
    newest_records,
    skim,
)

__all__ = [
    "LogTail",
    "MetricsTail",
    "NewLines",
    "NewRecords",
    "NewestMetrics",
    "RunCache",
    "RunSnapshot",
    "infer_state",
    "last_log_lines",
]
__all__ += ["list_runs", "newest_metrics", "newest_records", "number", "read_run", "skim", "summary"]

LARGEST_JSON = 4 << 20
CREATING_S = 10.0
"""A directory this young without run.json is a run that is being created."""

_FILES = ("run.json", "status.json", "notes.json")


def read_run(path: Path) -> RunSnapshot:
    """Return the run in the directory ``path``; never raises on what is in it, or when it is not there."""
    return _assemble(path, _load(str(path)))


def list_runs(runs: Path) -> list[RunSnapshot]:
    """Return all runs in the folder ``runs``, newest first; none when it does not exist. UsageError when it cannot be
    read.
    """
    return RunCache(runs).read()


class RunCache:
    """Reads a runs folder again and again, opening only the files that changed in between."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._known: dict[str, _Files] = {}

    def read(self) -> list[RunSnapshot]:
        """Return all runs, newest first, as they are now. Raises UsageError when the folder cannot be read."""
        found = {name: _load(f"{self.runs}/{name}", self._known.get(name)) for name in run_names(self.runs)}
        self._known = found
        order = sorted(found, key=lambda name: age_key(name, found[name].written_ns), reverse=True)
        return [_assemble(self.runs / name, found[name]) for name in order]


_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Files:
    """What the three JSON files of a run held, with their stamps (inode, size, time) to notice changes."""

    stamps: tuple[_Stamp, ...]
    values: tuple[object, ...]
    problems: tuple[str, ...]

    @property
    def written_ns(self) -> int:
        return self.stamps[0][2] if self.stamps[0] else 0

    @property
    def touched(self) -> float | None:
        return self.stamps[1][2] / 1e9 if self.stamps[1] else None

    @property
    def status(self) -> dict:
        return _dict(self.values[1])


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _load(path: str, known: _Files | None = None) -> _Files:
    stamps = tuple(_stamp(f"{path}/{name}") for name in _FILES)
    if known is not None and known.stamps == stamps:
        return known
    values, problems = [], []
    for index, name in enumerate(_FILES):
        if known is not None and known.stamps[index] == stamps[index] and known.values[index] is not None:
            values.append(known.values[index])
            continue
        value, problem = _read_json(f"{path}/{name}")
        values.append(value)
        if problem and not (name == "notes.json" and stamps[index] is None):
            problems.append(f"{name} {problem}")
    return _Files(stamps, tuple(values), tuple(problems))


def _stamp(path: str) -> _Stamp:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_json(path: str) -> tuple[dict | None, str]:
    """Return the cleaned object in a JSON file, or None and what is wrong."""
    try:
        data = read_bytes(path, LARGEST_JSON)
        value = json.loads(data.decode("utf-8", "replace"))
        cleaned = value if is_harmless(data) else clean_value(value)
    except FileNotFoundError:
        return None, "is missing"
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        return None, "is damaged"
    return (cleaned, "") if isinstance(cleaned, dict) else (None, "is damaged")


def _assemble(path: Path, files: _Files) -> RunSnapshot:
    files, state, reason = _resolve_state(path, files)
    notes = notes_from(files.values[2])
    return RunSnapshot(path.name, path, _dict(files.values[0]), files.status, notes, state, reason, files.problems)


def _resolve_state(path: Path, files: _Files) -> tuple[_Files, str, str]:
    """Infer the state; *crashed* only when the status was still the same after the lock was found free.

    Otherwise a run that ends, or is resumed, between the reading and the probe would be declared dead for an instant.
    """
    said = files.status.get("state")
    if isinstance(said, str) and said in ENDED:
        return files, said, ""
    state, reason = "crashed", ""
    for _ in range(3):
        locked = is_locked(path)
        again = _load(str(path), files)
        unchanged, files = again.stamps == files.stamps, again
        state, reason = infer_state(files.status, locked, files.touched, time.time())
        if state != "crashed" or unchanged:
            break
    if files.stamps[0] is None and files.stamps[1] is None and state in ("starting", "crashed"):
        return files, *_without_files(path, state, reason)
    return files, state, reason


def _without_files(path: Path, state: str, reason: str) -> tuple[str, str]:
    """Return a directory without run.json and status.json: a run in the making when it is locked or new, otherwise a
    dead one.
    """
    try:
        age = abs(time.time() - os.lstat(path).st_mtime)
    except OSError:
        return "crashed", "the directory is gone"
    if state == "starting" or (age < CREATING_S and is_run(path)):
        return "queued", ""
    return "crashed", reason

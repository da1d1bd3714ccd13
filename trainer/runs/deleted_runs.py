"""The bin: a deleted run stays below the runs folder for seven days, and comes back under its id.

`.bin/20261130T101500Z-ID` is the run directory itself, renamed; the time in its name is that of the deletion. A folder whose
name begins with a dot is no run, so nothing that reads the runs folder sees it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ...errors import UsageError, WorkError, nearest
from ..common.files import sync_folder
from .annotations import NEWEST
from .ids import check_id, is_id, is_run, nearest_word, some, with_the_part
from .lock import RunLock, is_locked
from .reader import read_run
from .run import RunSnapshot

BIN = ".bin"
DAYS = 7
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-(.+)")
_EMPTIED = ".emptied-"


@dataclass(frozen=True)
class DeletedRun:
    """A run in the bin: ``path`` is where it lies now, ``deleted`` when it came there."""

    id: str
    path: Path
    deleted: datetime

    @property
    def until(self) -> datetime:
        """The time from which on it may be gone."""
        return self.deleted + timedelta(days=DAYS)

    def read(self) -> RunSnapshot:
        """Return what its files say, under its own id."""
        return replace(read_run(self.path), id=self.id)


def delete(runs: Path, run_id: str) -> DeletedRun:
    """Move the run directory ``runs/run_id`` into the bin, and empty the bin of what is older than ``DAYS``.

    Raises UsageError for anything but a run directly inside ``runs`` and for a run that is alive, WorkError when its lock is
    held or the bin cannot be used.
    """
    path = _checked(runs, run_id)
    with RunLock.acquire(path, create=False):
        try:
            deleted = _move(path, _made_bin(runs), datetime.now(UTC))
        except OSError as error:
            raise WorkError(
                f"run {run_id}: cannot be moved into {runs / BIN}: {error.strerror}; "
                f"'cnn-explorer runs rm {run_id} --for-good' deletes it without the bin"
            ) from None
    empty_old(runs)
    return deleted


def restore(runs: Path, run_id: str) -> Path:
    """Move a run out of the bin, back to ``runs/run_id``; of several with that id the one deleted last.

    Raises UsageError where the bin has no such run, or the runs folder has something of that name again; WorkError when its
    lock is held or the folders cannot be written.
    """
    deleted = find(runs, run_id)
    path = runs / deleted.id
    with RunLock.acquire(deleted.path, create=False):
        # Renaming would take the place of an empty folder.
        if os.path.lexists(path):
            raise UsageError("run", deleted.id, f"cannot be restored: {path} exists; move that away first")
        try:
            os.rename(deleted.path, path)
        except OSError as error:
            raise WorkError(f"run {deleted.id}: cannot be restored: {error.strerror}") from None
    sync_folder(runs)
    return path


def remove(runs: Path, run_id: str) -> None:
    """Delete the run directory ``runs/run_id`` without the bin. It vanishes from lists at once, then from the disk.

    Raises what :func:`delete` raises.
    """
    path = _checked(runs, run_id)
    grave = runs / f".removed-{run_id}"
    with RunLock.acquire(path, create=False):
        try:
            shutil.rmtree(grave, ignore_errors=True)
            os.rename(path, grave)
        except OSError as error:
            raise WorkError(f"run {run_id}: cannot be removed: {error.strerror}") from None
    try:
        shutil.rmtree(grave)
    except OSError as error:
        raise WorkError(f"run {run_id}: taken off the list, but {grave} is left over: {error.strerror}") from None


def _checked(runs: Path, run_id: str) -> Path:
    path = runs / check_id(run_id)
    if not is_run(path):
        raise UsageError("run", run_id, f"is not a run directory in {runs}")
    run = read_run(path)
    if run.live:
        raise UsageError("run", run_id, f"cannot be removed: it is {run.state}; stop it first")
    return path


def _made_bin(runs: Path) -> Path:
    """Return the bin, made where it is not there. OSError where it is a link or a file."""
    folder = runs / BIN
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    if not _is_folder(folder):
        raise OSError(0, "it is a link, which is not followed" if folder.is_symlink() else "it is not a folder")
    return folder


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _move(path: Path, folder: Path, now: datetime) -> DeletedRun:
    """Rename a run into the bin, a second later where a run with this id came there in the same second."""
    when = now.replace(microsecond=0)
    while os.path.lexists(target := folder / f"{when:{_STAMP}}-{path.name}"):
        when += timedelta(seconds=1)
    os.rename(path, target)
    sync_folder(folder)
    sync_folder(path.parent)
    return DeletedRun(path.name, target, when)


def in_bin(runs: Path) -> list[DeletedRun]:
    """Return the runs in the bin, the one deleted last first; none where there is no bin, or it is a link.

    Raises UsageError where the bin cannot be read.
    """
    folder = runs / BIN
    if not _is_folder(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            found = [_deleted(Path(entry.path)) for entry in entries if is_run(entry)]
    except OSError as error:
        raise UsageError("--runs", str(runs), f"has a bin that cannot be read: {error.strerror}") from None
    return sorted((one for one in found if one is not None), key=lambda one: (one.deleted, one.id), reverse=True)


def _deleted(path: Path) -> DeletedRun | None:
    """Return what a folder in the bin is by its name; None for one that was not put there by :func:`delete`."""
    parts = _NAME.fullmatch(path.name)
    if parts is None or not is_id(parts[2]):
        return None
    try:
        when = datetime.strptime(parts[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return DeletedRun(parts[2], path, when)


def find(runs: Path, text: str) -> DeletedRun:
    """Return the run in the bin that ``text`` names: a whole id, ``last`` deleted, or a unique beginning or ending.

    Raises UsageError when none or several fit.
    """
    found = in_bin(runs)
    newest: dict[str, DeletedRun] = {}
    for one in found:
        newest.setdefault(one.id, one)
    if text in newest:
        return newest[text]
    if is_id(text) and is_run(runs / text):
        raise UsageError("run", text, f"was not deleted: it is in {runs}")
    if not found:
        raise UsageError("run", text, f"is not in the bin, which is empty: {runs / BIN}")
    if text == NEWEST:
        return found[0]
    fitting = with_the_part(text, list(newest))
    if len(fitting) > 1:
        raise UsageError("run", text, f"fits {len(fitting)} runs in the bin: {some(fitting)}; give more of the id")
    if not fitting:
        close = nearest_word(text, newest)
        hint = f"did you mean {close!r}?" if close else nearest(text, sorted(newest, reverse=True))
        raise UsageError("run", text, f"is not in the bin; {hint}")
    return newest[fitting[0]]


def empty_old(runs: Path, now: datetime | None = None) -> None:
    """Delete what has been in the bin for ``DAYS``, and what an interrupted emptying left. What fails stays."""
    with contextlib.suppress(UsageError, WorkError):
        _empty(runs, (now or datetime.now(UTC)) - timedelta(days=DAYS))


def empty(runs: Path) -> int:
    """Delete all runs in the bin; returns how many. Raises WorkError where one of them could not be deleted."""
    return _empty(runs, None)


def _empty(runs: Path, before: datetime | None) -> int:
    """Delete the runs that came into the bin up to ``before``, or all; a run that somebody works on stays."""
    old = [one for one in in_bin(runs) if before is None or one.deleted <= before]
    emptied = [one for one in old if _set_aside(one)]
    problems = [f"{one.id}: it is running or cannot be moved" for one in old if one not in emptied]
    folder = runs / BIN
    if _is_folder(folder):
        for grave in folder.glob(f"{_EMPTIED}*"):
            problems += _delete_folder(grave)
    if problems:
        raise WorkError(f"the bin could not be emptied: {problems[0]}")
    return len(emptied)


def _set_aside(deleted: DeletedRun) -> bool:
    """Rename a run so that nobody restores it any more; False where it is alive or cannot be renamed."""
    if is_locked(deleted.path) or deleted.read().live:
        return False
    try:
        with RunLock.acquire(deleted.path, 0.0, create=False):
            os.rename(deleted.path, deleted.path.with_name(f"{_EMPTIED}{deleted.path.name}"))
    except (OSError, WorkError):
        return False
    return True


def _delete_folder(path: Path) -> list[str]:
    """Delete a folder with all that is in it, following no link; returns what is left over."""
    shutil.rmtree(path, ignore_errors=True)  # errors, because another process may empty the bin as well
    return [f"{path} is left over"] if os.path.lexists(path) else []

"""Checkpoints that survive a kill, a power loss and a full disk: written under another name, flushed, renamed, checked.

At any moment last.pt or previous.pt is whole. Files are read with ``weights_only=True``: a checkpoint from a stranger
can hold wrong numbers but no program. The zip container has a checksum of every tensor, which torch does not look at;
it is looked at here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import torch

from ...errors import WorkError
from ..common.files import open_regular, sync_folder
from ..common.out_of_memory import is_out_of_memory
from ..common.text_safe import clean
from ..runs.run_writer import CheckpointPaths

SCHEMA = 1
_FORBIDDEN = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]{1,100})")
"""How torch names what it does not load."""


class CheckpointError(WorkError):
    """A checkpoint cannot be used: it is damaged, cut off, or written in another way."""


class _Recorder:
    """A file for torch.save that remembers why a write failed: torch reports a full disk as an error of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def write(state: dict, target: Path) -> None:
    """Put ``state`` (tensors, numbers, texts, lists and dicts) into ``target``, which changes as a whole or not at all.

    Raises OSError, DiskFull's kind included, with the old file untouched.
    """
    beside = _beside(target)
    try:
        _write_beside(state, beside)
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(target.parent)


def write_last(state: dict, paths: CheckpointPaths, epoch: int | None = None, count: int = 0) -> None:
    """Make ``state`` the newest checkpoint, and what was the newest the previous one. Raises OSError, both untouched.

    With ``epoch`` it is kept as the one made after that epoch, and of those of earlier epochs only so many stay that there
    are ``count``. That is done first: a run killed in between makes the checkpoint again, and then nothing is missing.
    """
    beside = _beside(paths.last)
    try:
        _write_beside(state, beside)
        if epoch is not None:
            _keep(beside, paths, epoch, count)
        _keep_as_previous(paths)
        os.replace(beside, paths.last)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_folder(paths.folder)


def _keep(written: Path, paths: CheckpointPaths, epoch: int, count: int) -> None:
    """Keep a file just written as that of ``epoch``.

    It is a second name of the same file, and takes room only once the run has gone on; where the file system has no hard
    links it is a copy. Those of later epochs go as well: a run that fell back makes them again. Raises OSError.
    """
    target = paths.of_epoch(epoch)
    beside = _beside(target)
    try:
        beside.unlink(missing_ok=True)
        try:
            os.link(written, beside)
        except OSError:
            _copy(written, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    kept = paths.kept()
    earlier = [number for number, _ in kept if number < epoch]
    stay = {epoch, *earlier[max(0, len(earlier) - count + 1) :]}
    for number, path in kept:
        if number not in stay:
            path.unlink(missing_ok=True)
    sync_folder(paths.folder)


def _copy(source: Path, target: Path) -> None:
    with open(source, "rb") as old, open(target, "wb") as new:
        shutil.copyfileobj(old, new)
        new.flush()
        os.fsync(new.fileno())


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _write_beside(state: dict, beside: Path) -> None:
    with open(beside, "wb") as file:
        recorder = _Recorder(file)
        try:
            torch.save({"schema": SCHEMA} | state, recorder)  # pyright: ignore[reportArgumentType] write and flush are all that torch calls
        except RuntimeError as error:
            cause = recorder.error or _os_error(error)
            raise cause if cause is not None else OSError(errno.EIO, str(error)) from error
        file.flush()
        os.fsync(file.fileno())


def _os_error(error: BaseException) -> OSError | None:
    """Return the OSError in whose handling ``error`` was raised, if there is one."""
    found = error.__context__
    while found is not None and not isinstance(found, OSError):
        found = found.__context__
    return found


def _keep_as_previous(paths: CheckpointPaths) -> None:
    """Give last.pt the second name previous.pt, so that there is a last.pt without interruption.

    Where the file system has no hard links the file is renamed; previous.pt then stands alone for an instant. A folder
    that somebody has put there is left: in the place of previous.pt it would be in the way for ever.
    """
    if not paths.last.is_file():
        return
    second = paths.previous.with_name(f".{paths.previous.name}.{os.getpid()}.tmp")
    try:
        second.unlink(missing_ok=True)
        os.link(paths.last, second)
        os.replace(second, paths.previous)
    except OSError:
        os.replace(paths.last, paths.previous)


def read(path: Path, device: torch.device | str = "cpu") -> dict:
    """Return the state in a checkpoint, its tensors on ``device``.

    Raises FileNotFoundError where there is none and CheckpointError where it is damaged or written in an unknown way.
    """
    try:
        with open(open_regular(path), "rb") as file, zipfile.ZipFile(file) as container:
            damaged = container.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path.name} is damaged: {clean(damaged)} has changed")
        state = torch.load(path, map_location=device, weights_only=True)
    except (FileNotFoundError, CheckpointError):
        raise
    except Exception as error:  # a file from elsewhere can make zipfile and torch raise anything
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{path.name} is damaged: {why_unreadable(error)}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise CheckpointError(f"{path.name} is not a checkpoint of this program, or comes from a newer version")
    return state


def why_unreadable(error: Exception) -> str:
    """Return why torch.load refused a file, in one line. Its own words would advise to run what code the file may hold."""
    if not isinstance(error, pickle.UnpicklingError):
        return first_line(error)
    found = _FORBIDDEN.search(str(error))
    if found is None:
        return "it is not a file of weights"
    return f"it holds {found[1]}, and code is not loaded: torch.save(network.state_dict(), …) makes a file of weights alone"


def first_line(error: Exception) -> str:
    """Return what an error says, short enough for one line of a message."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def read_newest(
    paths: CheckpointPaths, device: torch.device | str = "cpu", log: Callable[[str], None] = lambda line: None
) -> dict | None:
    """Return the newest checkpoint that is whole: last.pt, else previous.pt or one kept, which is said; None where none
    is there.

    Raises CheckpointError when there are checkpoints and none of them is whole.
    """
    reasons = []
    for path in (paths.last, paths.previous, *(path for _, path in reversed(paths.kept()))):
        try:
            state = read(path, device)
        except FileNotFoundError:
            continue
        except CheckpointError as error:
            reasons.append(str(error))
            continue
        if reasons:
            log(f"{reasons[0]}; going on from {path.name}")
        return state
    if reasons:
        hint = f"no other is there; 'cnn-explorer runs clone {paths.folder.parent.name}' trains it anew"
        raise CheckpointError("; ".join([*reasons, hint]))
    return None

"""Asks runs to end: stopped with a checkpoint, ended early with their best weights, or taken out of their queue. No torch.

A request is a file in ``control/`` of the run, which the trainer looks for at every record, and which works from other
machines as well; where the process is known for certain, a stop sends SIGTERM too.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common import process
from ..common.files import open_regular
from .lock import is_locked
from .reader import read_run
from .run import RunSnapshot

STOP = "stop"
FINISH = "finish"
POLL_S = 0.05


@dataclass(frozen=True)
class Stop:
    """``how`` the request went: ``signal``, ``file`` or ``both``; ``ended`` says whether the run is over by now."""

    how: str
    ended: bool


def request_stop(path: Path, wait_s: float = 0.0) -> Stop:
    """Ask the run to write a checkpoint and end; wait up to ``wait_s`` seconds for it.

    Leaves ``control/stop``, and sends SIGTERM to the run's process where that is certain to be the right one: on the same
    boot of the same machine, with the same start. The file tells the trainer that this run was meant, not its whole queue. A
    run that is only queued gets no signal, which would stop the run that the same process works on; it is taken out of the
    queue within a second or so. A request is not signalled twice, which would mean to end without a checkpoint. Raises
    UsageError when the run is not alive, WorkError when neither way is open.
    """
    run = read_run(path)
    if not run.live:
        raise UsageError("run", path.name, f"is {run.state}: there is nothing to stop")
    repeated = is_requested(path, STOP)
    filed = repeated or _leave(path, STOP)
    signalled = run.state != "queued" and not repeated and _terminate(run)
    if not (filed or signalled):
        raise WorkError(f"run {path.name}: cannot be asked to stop: {path / 'control'} cannot be written")
    how = "both" if filed and signalled else ("file" if filed else "signal")
    return Stop(how, _wait_until_over(path, wait_s))


def request_finish(path: Path, wait_s: float = 0.0) -> Stop:
    """Ask the run to end its training now, as if its recipe ended here, and to evaluate its best weights on the test
    split.

    Leaves ``control/finish``; waits up to ``wait_s`` seconds for the end. Raises UsageError when the run is not alive, is
    only queued, or is being tested already, WorkError when the file cannot be written.
    """
    run = read_run(path)
    if not run.live:
        raise UsageError("run", path.name, f"is {run.state}: there is no training to end")
    if run.state == "queued":
        raise UsageError("run", path.name, "has not begun; 'runs skip' takes it out of its queue")
    if run.state == "testing":
        raise UsageError("run", path.name, "is being tested: its training is over")
    if not _leave(path, FINISH):
        raise WorkError(f"run {path.name}: cannot be asked to end: {path / 'control'} cannot be written")
    return Stop("file", _wait_until_over(path, wait_s))


def skip(path: Path, wait_s: float = 0.0) -> Stop:
    """Take a run that waits out of its queue, or end the one that is trained, so that the queue goes on with the next.

    The run is *stopped*, with a checkpoint where it had begun, and can be resumed. Raises what :func:`request_stop` raises.
    """
    run = read_run(path)
    if not run.live:
        raise UsageError("run", path.name, f"is {run.state}: there is nothing to skip")
    return request_stop(path, wait_s)


def is_requested(path: Path, what: str) -> bool:
    """Return whether ``control/`` of the run in ``path`` holds the request ``what``, STOP or FINISH."""
    return os.path.lexists(f"{path}/control/{what}")


def forget_requests(path: Path) -> None:
    """Take back what a run was asked before: it is to go on. Raises WorkError where the folder cannot be written."""
    try:
        for what in (STOP, FINISH):
            _take_away(_folder(path) / what)
    except OSError as error:
        raise WorkError(f"run {path.name}: {path / 'control'} cannot be written: {error.strerror}") from None


def _take_away(request: Path) -> None:
    """Remove a request; somebody may have left a folder of that name. OSError where there is something in it."""
    try:
        request.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # the second is macOS's word for a folder
        if not request.is_dir():
            raise
        try:
            request.rmdir()
        except OSError as error:
            raise OSError(error.errno, f"{request.name} is a folder and is not empty; remove it") from None


def _folder(path: Path) -> Path:
    """Return the folder of requests, made where it is not there. OSError where it is a link, which may lead anywhere."""
    folder = path / "control"
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "is a link, which is not followed", str(folder))
    return folder


def _leave(path: Path, what: str) -> bool:
    try:
        os.close(open_regular(_folder(path) / what, os.O_WRONLY | os.O_CREAT))
    except OSError:
        return False
    return True


def _terminate(run: RunSnapshot) -> bool:
    status = run.status
    if status.get("host") != process.host() or status.get("boot_id") != process.boot_id() or run.pid is None:
        return False
    if not process.is_alive(run.pid, status.get("process_started"), status.get("process_ticks")):
        return False
    try:
        os.kill(run.pid, signal.SIGTERM)
    except OSError:
        return False
    return True


def _wait_until_over(path: Path, wait_s: float) -> bool:
    """Wait for the lock, not only for the status: the process needs a moment after its last word to let go of the device."""
    deadline = time.monotonic() + wait_s
    while True:
        over = not read_run(path).live and not is_locked(path)
        if over or time.monotonic() >= deadline:
            return over
        time.sleep(POLL_S)

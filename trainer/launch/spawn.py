"""Starts runs in processes of their own, and resumes them.

A started run outlives the terminal: it has its own session, SIGHUP is blocked, its output goes to train.log, and the lock of
the run is handed down to it, so that the run counts as alive from the first instant.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common import process
from ..runs import requests, train_longer
from ..runs.lock import RunLock
from ..runs.log_file import open_log
from ..runs.reader import read_run
from ..runs.run import RunSnapshot
from ..runs.run_writer import RunWriter

_started: list[subprocess.Popen] = []


def spawn(
    run_paths: Sequence[Path], locks: Sequence[RunLock], *, devices: Sequence[str] = (), python: str = sys.executable
) -> int:
    """Start one detached process that trains the given runs as :func:`start` does; returns its pid."""
    child = start(run_paths, locks, devices=devices, python=python)
    # A child that ended stays a zombie until it is asked for; those of earlier calls are asked here.
    _started[:] = [other for other in _started if other.poll() is None] + [child]
    return child.pid


def start(
    run_paths: Sequence[Path], locks: Sequence[RunLock], *, devices: Sequence[str] = (), python: str = sys.executable
) -> subprocess.Popen:
    """Start one detached process that trains the given runs one after the other; side by side where there are several
    ``devices``, which are taken instead of those in run.json.

    The runs lie in one folder, are in the state *queued*, and ``locks`` are theirs in the same order. The locks pass to the
    new process; this one's descriptors are closed. The working directory and the environment stay as they are, so that
    relative names in variables keep their meaning. Raises WorkError when no process can be started; the locks are then
    still held.
    """
    command = [python, *search_path_flags(), "-m", "cnn_explorer", "train", "--runs", str(run_paths[0].parent)]
    for path, lock in zip(run_paths, locks, strict=True):
        command += ["--run", path.name] + (["--lock-fd", str(lock.fileno())] if lock.fileno() >= 0 else [])
    command += ["--devices", ",".join(devices)] if devices else []
    # Without buffering the log shows at once what was printed; with the fault handler it shows where a crash happened.
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    try:
        log_file = open_log(run_paths[0])
        try:
            with _hangup_blocked():
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=log_file,
                    env=environment,
                    start_new_session=True,
                    pass_fds=[lock.fileno() for lock in locks if lock.fileno() >= 0],
                )
        finally:
            os.close(log_file)
    except OSError as error:
        raise WorkError(f"run {run_paths[0].name}: no process can be started: {error.strerror}") from None
    for lock in locks:
        lock.hand_over()
    return child


def search_path_flags() -> list[str]:
    """Return flags by which ``python -m`` looks for modules in the working directory only if this process does so."""
    try:
        here = os.getcwd()
    except OSError:
        return ["-P"]
    return [] if here in sys.path or "" in sys.path else ["-P"]


@contextlib.contextmanager
def _hangup_blocked() -> Iterator[None]:
    """Block SIGHUP in this thread while a child is started: the child inherits that, and so do its own children.

    Blocking also holds for programs that install a handler for SIGHUP, as torchrun does, and touches no other thread.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare_resume(path: Path) -> RunLock:
    """Take the lock of a run that ended too early and mark it *queued*; the caller trains it with the lock, or spawns it.

    Raises UsageError for a run that is alive, finished or without a readable run.json, WorkError when the lock is held.
    """
    _check_resumable(read_run(path))
    lock = RunLock.acquire(path)
    try:
        _check_resumable(read_run(path), locked=True)
        with RunWriter.open(path, lock) as writer:
            requests.forget_requests(path)
            writer.status(state="queued", phase="", eta_s=None, exit=None, error=None)
    except BaseException:
        lock.release()
        raise
    return lock


def _check_resumable(run: RunSnapshot, *, locked: bool = False) -> None:
    """Refuse a run that cannot be resumed. ``locked``: by us, so a state that looks alive was left by a crashed process."""
    if not run.config:
        raise UsageError("run", run.id, "cannot be resumed: its run.json is missing or damaged")
    if run.state == "finished":
        raise UsageError(
            "run", run.id, f"cannot be resumed: it is finished; '{train_longer.command(run)}' trains it longer"
        )
    if run.live and not locked:
        where = f" on {run.host}" if run.host and run.host != process.host() else ""
        raise UsageError("run", run.id, f"cannot be resumed: it is {run.state}{where}; stop it first")


def resume(
    path: Path,
    *,
    detach: bool = False,
    log: Callable[[str], None] | None = None,
    devices: Sequence[str] = (),
) -> int:
    """Go on with a run from its last checkpoint: here, returning its exit code, or detached, returning 0 at once.

    ``log`` takes the narration of a training here; without it there is a progress bar where that can be shown. ``devices``,
    one for each process, are taken instead of those in run.json. Raises what :func:`prepare_resume` and :func:`spawn` raise.
    """
    lock = prepare_resume(path)
    if not detach:
        from .execute import execute_run

        try:
            return execute_run(path, lock, log=log, devices=devices)
        finally:
            lock.release()
    try:
        spawn([path], [lock], devices=devices)
    except WorkError:
        lock.release()
        raise
    return 0

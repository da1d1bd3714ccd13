"""Starts the ranks of a run that several devices of this machine train together, and records how such a run ended.

torchrun's own launcher does the starting. It runs in a thread, so that it installs no handlers for signals: of itself it
would take a closed terminal for an order, and leave with an error after a clean stop. So what a person asks goes through our
own signals, and how the run ended is read from its status. The lock of the run goes down to the ranks as their standard
input, the one descriptor that the launcher passes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError, WorkError
from ..common.progress import Log
from ..devices import hardware, process_group
from ..runs import requests
from ..runs.lock import RunLock
from ..runs.run_writer import RunWriter
from ..runs.states import ENDED
from .signals import INTERRUPTED, StopSignals

POLL_S = 0.05
EXIT_CODES = {"finished": 0, "stopped": INTERRUPTED}


def train(
    path: Path,
    lock: RunLock,
    devices: Sequence[str],
    threads: int,
    signals: StopSignals,
    log: Log,
    *,
    plot: bool = False,
) -> int:
    """Train the run in ``path``, whose lock is held, with one process for each of ``devices``; returns the exit code.

    ``plot``: the first of them draws the loss above its progress bar.
    """
    try:
        for device in devices:
            hardware.choose_device(device)
    except UsageError as error:
        return resolve_end(path, lock, f"{error}; 'runs resume' takes --devices", signals, log)
    failures: list[BaseException] = []
    arguments = ["--as-rank", str(path), "--devices", ",".join(devices), *(["--plot"] if plot else [])]

    def launch() -> None:
        try:
            _torchrun(len(devices), arguments)
        except BaseException as error:
            failures.append(error)

    with _handed_down(lock), _environment(threads):
        thread = threading.Thread(target=launch, name="torchrun")
        thread.start()
        asked: set[int] = set()
        while thread.is_alive():
            thread.join(POLL_S)
            if signals.wanted is not None:
                asked |= _ask_to_stop(path, asked)
    return resolve_end(path, lock, _why(failures[0] if failures else None, devices), signals, log)


def _torchrun(count: int, arguments: list[str]) -> None:
    """Start ``count`` ranks on this machine and wait for them; ChildFailedError where one fails, after ending the others."""
    from torch.distributed import run

    options = ["--standalone", f"--nproc-per-node={count}", "--max-restarts=0", "--local-addr=127.0.0.1"]
    logging.disable(logging.CRITICAL)  # it would tell of failures at length; ours are told in one line
    try:
        run.run(run.parse_args([*options, "-m", "cnn_explorer", "train", *arguments]))
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _handed_down(lock: RunLock) -> Iterator[None]:
    """Make the lock our standard input for as long: processes that are started inherit it, and share its hold."""
    try:
        before = os.dup(0)
    except OSError:  # there is none
        before = os.open(os.devnull, os.O_RDONLY)
    os.dup2(lock.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def adopt_lock(path: Path) -> RunLock | None:
    """Take the lock, in a rank, from the standard input, and close that. None for all ranks but the first."""
    lock = RunLock.from_fd(os.dup(0), path) if process_group.is_first() else None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return lock


@contextlib.contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Set the variables that the ranks' libraries read; Python looks for modules where this process does."""
    here = os.getcwd() in sys.path or "" in sys.path
    wanted = {"OMP_NUM_THREADS": str(threads), "PYTHONFAULTHANDLER": "1"} | ({} if here else {"PYTHONSAFEPATH": "1"})
    wanted |= process_group.quiet()
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _ask_to_stop(path: Path, asked: set[int]) -> set[int]:
    """Send SIGTERM to the ranks that have not had it; returns their pids. All of them stop after the same step."""
    import psutil

    reached = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.pid not in asked and {"--as-rank", str(path)} <= set(child.cmdline()):
                child.send_signal(signal.SIGTERM)
                reached.add(child.pid)
    return reached


def resolve_end(path: Path, lock: RunLock, error: str, signals: StopSignals, log: Log) -> int:
    """Write the end that a process could not write, with the ``error`` that it could not know; returns the exit code."""
    if not path.is_dir():  # the first rank noticed that, and told it
        return 1
    with RunWriter.open(path, lock) as writer:
        status = writer.current_status()
        state = status.get("state")
        if state not in ENDED:
            asked = signals.wanted is not None or requests.is_requested(path, requests.STOP)
            state = "stopped" if asked else "failed"
        if state == "failed" and status.get("error") in (None, process_group.LOST):
            log(f"cnn-explorer: run {path.name}: failed: {error}")
            _write(writer, log, state="failed", phase="", eta_s=None, exit=1, error=error)
        elif state != status.get("state"):
            _write(writer, log, state=state, phase="", eta_s=None, exit=INTERRUPTED, error=None)
    return EXIT_CODES.get(str(state), 1)


def _write(writer: RunWriter, log: Log, **changes: object) -> None:
    try:
        writer.status(**changes)
    except WorkError as error:
        log(f"{error}; the end state is {changes['state']}")


def _why(failure: BaseException | None, devices: Sequence[str]) -> str:
    """Return what torchrun knows of the rank that failed: one that a signal ended comes before those that missed it."""
    ranks: dict[int, Any] = getattr(failure, "failures", {})
    if not ranks:
        return f"the processes could not be started: {failure}" if failure else "its processes ended without a word"
    rank, found = min(ranks.items(), key=lambda item: (item[1].exitcode >= 0, item[0]))
    how = f"exit code {found.exitcode}"
    if found.exitcode < 0:
        how = signal.Signals(-found.exitcode).name
    hint = "; somebody did that, or the system, as it does when main memory runs out" if how == "SIGKILL" else ""
    where = devices[rank] if rank < len(devices) else "?"
    return f"the process of rank {rank} ({where}) was ended by {how}{hint}"

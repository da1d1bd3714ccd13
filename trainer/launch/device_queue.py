"""A queue of runs on several devices: as many at a time as there are devices, each in a process of its own.

A device that becomes free takes the next run. The processes have sessions and logs of their own and hold the locks of their
runs, like detached ones; this one holds those of the runs that wait.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import WorkError
from ..common.number_text import percent
from ..common.progress import Log
from ..runs.lock import RunLock
from ..runs.reader import read_run
from . import execute, local_ranks, spawn
from .queue import Queue
from .signals import INTERRUPTED, StopSignals

POLL_S = 0.1


@dataclass
class Child:
    """A run that is being trained: its place in the queue, its device, its process."""

    position: int
    path: Path
    device: str
    process: subprocess.Popen


def train(
    paths: Sequence[Path], locks: Sequence[RunLock], devices: Sequence[str], *, log: Log, detached: bool = False
) -> list[int]:
    """Train the runs, whose locks are held; returns their exit codes as :func:`execute.execute_queue` does.

    A failed run keeps no other from its turn. A signal stops all of them, those that wait included.
    """
    with StopSignals() as signals, Queue(paths, locks) as queue:
        if detached:
            execute.ignore_hangup()
        context = execute.ExecutionContext(signals, log, detached)
        free: list[str] = list(devices)
        running: list[Child] = []
        asked = False
        while True:
            while (signals.wanted or free) and (taken := queue.take()) is not None:
                position, path, lock = taken
                if signals.wanted:
                    queue.codes[position] = execute.train_here(path, lock, context)  # which is to write down the stop
                    lock.release()
                else:
                    child = _begin(position, path, lock, free[0], context)
                    if child is None:
                        queue.codes[position] = 1
                    else:
                        running.append(child)
                        free.pop(0)
            if not running:
                break
            if signals.wanted and not asked:
                asked = True
                for child in running:
                    child.process.terminate()
            time.sleep(POLL_S)
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                free.append(child.device)
                queue.codes[child.position] = _code(child, context)
                log(_failure_of(child))
    return [queue.codes[position] for position in range(len(paths))]


def _begin(position: int, path: Path, lock: RunLock, device: str, context: execute.ExecutionContext) -> Child | None:
    """Start the process of a run; None, and the run is written down as failed, where that is impossible."""
    try:
        process = spawn.start([path], [lock], devices=[device])
    except WorkError as error:
        execute.fail(path, lock, str(error), context)
        lock.release()
        return None
    if context.log is not None:
        context.log(f"{path.name} is trained on {device}; 'cnn-explorer runs watch {path.name}' follows it")
    return Child(position, path, device, process)


def _code(child: Child, context: execute.ExecutionContext) -> int:
    """Return the exit code of a run whose process is gone; how it ended is written down where the process could not."""
    code = child.process.returncode
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    try:
        with RunLock.acquire(child.path) as lock:
            return local_ranks.resolve_end(
                child.path, lock, f"its process was ended by {how}", context.signals, lambda line: None
            )
    except WorkError:  # somebody has taken up the run already, or the disk is full
        return code if code in (0, 1, INTERRUPTED) else 1


def _failure_of(child: Child) -> str:
    run = read_run(child.path)
    test = "" if run.test_accuracy is None else f": test accuracy {percent(run.test_accuracy)}"
    return f"{run.id} on {child.device}: {run.state}{test}{f': {run.error}' if run.error else ''}"

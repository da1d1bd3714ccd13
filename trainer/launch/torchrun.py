"""Ranks that torchrun, or another launcher with its variables, has started from outside: which run is theirs.

All of them were given the same command. Rank 0 alone makes the run, and tells the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common import process
from ..devices import process_group
from ..devices.process_group import Group
from ..runs.lock import RunLock
from ..runs.reader import list_runs, read_run

OVER = {"finished": 0, "stopped": 0, "diverged": 1}
"""States in which ranks that are started again leave a run as it is, with these exit codes."""


class RunEnded(Exception):
    """There is nothing left to do, and the process may leave with ``code``."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exit code {code}")


def job() -> dict[str, object] | None:
    """Return what identifies the torchrun that started this process, for run.json; None where none did.

    When it starts its ranks again after an accident, they find their run by this.
    """
    if not process_group.ranked():
        return None
    agent = os.getppid()
    identity = {"host": process.host(), "pid": agent, "process_ticks": process.start_ticks(agent)}
    return identity | {"id": os.environ.get("TORCHELASTIC_RUN_ID", ""), "ranks": int(os.environ["WORLD_SIZE"])}


def begun_by_this_job(runs: Path) -> Path | None:
    """Return the run that the ranks of this job began before torchrun started them again; None where they are new.

    Raises WorkError where there should be one.
    """
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None
    mine = job()
    for run in list_runs(runs):
        if run.config.get("torchrun") == mine:
            return run.path
    raise WorkError(f"torchrun starts its ranks again, and their run is not in {runs}: 'runs resume' goes on with it")


def resolve_run(group: Group, make: Callable[[], tuple[Path, RunLock]]) -> tuple[Path, RunLock | None]:
    """Let rank 0 make a run, or find one; the others learn which it is and get no lock.

    An error of rank 0 is raised there, to be told once; the others leave with the same exit code and no word.
    """
    made: tuple[Path, RunLock] | None = None
    error: Exception | None = None
    if group.first:
        try:
            made = make()
        except Exception as caught:
            error = caught
    answer = group.broadcast_object((str(made[0]) if made else "", _code(error)))
    if made is not None:
        return made
    if answer[0]:
        return Path(answer[0]), None
    group.destroy()
    if error is not None and not isinstance(error, RunEnded):
        raise error
    sys.exit(answer[1])


def _code(error: Exception | None) -> int:
    if isinstance(error, RunEnded):
        return error.code
    return 2 if isinstance(error, UsageError) else 1


def check_not_ended(path: Path) -> None:
    """Raise Over where the run needs no ranks that are started again."""
    state = read_run(path).state
    if state in OVER:
        raise RunEnded(OVER[state])

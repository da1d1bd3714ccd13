"""Stopping and resuming runs, with every outcome as one line of text. No Textual; called from threads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import UsageError, WorkError
from ..trainer.run import Run


def stop(path: Path) -> tuple[str, str]:
    """Ask a run to stop; what happened, and what went wrong ("" if nothing)."""
    from ..trainer.control import request_stop

    try:
        request_stop(path)
    except (UsageError, WorkError) as error:
        return "", str(error)
    return f"{path.name} ends its step, writes a checkpoint and stops", ""


def resume(path: Path) -> tuple[str, str]:
    """Go on with a run in a process of its own; what happened, and what went wrong."""
    from ..trainer.launch import resume as resume_run

    try:
        resume_run(path, detach=True, say=lambda text: None)
    except (UsageError, WorkError) as error:
        return "", str(error)
    return f"{path.name} goes on from its last checkpoint", ""


def stop_all(runs: Iterable[Run]) -> list[str]:
    """Ask all these runs to stop; the problems."""
    return [problem for run in runs if (problem := stop(run.path)[1])]

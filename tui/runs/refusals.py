"""Why a command does nothing with a run, in a few words that name what would help. No Textual."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...trainer.runs.run import RunSnapshot


def _stop(run: RunSnapshot) -> str:
    return "it waits in a queue; X takes it out" if run.live else f"there is nothing to stop: it is {run.state}"


def _keep_best(run: RunSnapshot) -> str:
    if run.state == "queued":
        return "its training has not begun; X takes it out of its queue"
    return f"there is no training to end: it is {run.state}"


def _skip(run: RunSnapshot) -> str:
    return f"it does not wait in a queue: it is {run.state}" + ("; s stops it" if run.live else "")


def _resume(run: RunSnapshot) -> str:
    if run.live:
        return f"there is nothing to resume: it is {run.state}"
    if run.state == "finished":
        return "it is finished; c trains it again with changes"
    return "it cannot be resumed: its run.json is missing or damaged"


def _delete(run: RunSnapshot) -> str:
    if run.state == "queued":
        return "it waits in a queue; take it out first: X"
    return f"it is {run.state}; stop it first: s"


_REASONS: Mapping[str, Callable[[RunSnapshot], str]] = {
    "stop": _stop,
    "keep_best": _keep_best,
    "skip": _skip,
    "resume": _resume,
    "delete": _delete,
}
COMMANDS = tuple(_REASONS)
"""The commands that are told why they do nothing."""


def reason(command: str, run: RunSnapshot) -> str:
    """Return why ``command``, which does not apply to the run as it is, does nothing."""
    return f"{run.id}: {_REASONS[command](run)}"

"""What can be done with a run, with every outcome as one line of text. No Textual; called from threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ...errors import UsageError, WorkError, counted
from ...trainer.runs import deleted_runs
from ...trainer.runs.annotations import Notes, add_tags, check_tag, read_notes, remove_tags, write_notes
from ...trainer.runs.ids import check_new_tags
from ...trainer.runs.run import RunSnapshot

Outcome = tuple[str, str]
"""What happened, and what went wrong ("" if nothing)."""


def _outcome(action: Callable[[], object], text: str) -> Outcome:
    try:
        action()
    except (UsageError, WorkError) as error:
        return "", str(error)
    return text, ""


def stop(path: Path) -> Outcome:
    """Ask a run to stop."""
    from ...trainer.runs import requests

    return _outcome(lambda: requests.request_stop(path), f"{path.name} ends its step, writes a checkpoint and stops")


def keep_best(path: Path) -> Outcome:
    """Ask a run to end its training here and evaluate its best weights."""
    from ...trainer.runs import requests

    return _outcome(lambda: requests.request_finish(path), f"{path.name} ends here and evaluates its best weights")


def skip(path: Path) -> Outcome:
    """Take a run that waits out of its queue."""
    from ...trainer.runs import requests

    return _outcome(lambda: requests.skip(path), f"{path.name} leaves its queue")


def resume(path: Path) -> Outcome:
    """Go on with a run in a process of its own."""
    from ...trainer.launch.spawn import resume as resume_run

    return _outcome(lambda: resume_run(path, detach=True, log=lambda text: None), f"{path.name} is resumed")


def delete(path: Path) -> Outcome:
    """Move a run with its checkpoints into the bin; refused while it is alive."""
    days = f"{deleted_runs.DAYS} days"
    text = f"{path.name} is deleted; u brings it back, within {days}"
    return _outcome(lambda: deleted_runs.delete(path.parent, path.name), text)


def restore(path: Path) -> Outcome:
    """Bring a run back from the bin."""
    return _outcome(lambda: deleted_runs.restore(path.parent, path.name), f"{path.name} is back")


def annotate(path: Path, notes: Notes) -> Outcome:
    """Give a run tags and a remark."""

    def write() -> None:
        tags = tuple(map(check_tag, notes.tags))
        check_new_tags(path, set(tags) - set(read_notes(path).tags))
        write_notes(path, Notes(tags, notes.remark))

    return _outcome(write, f"noted on {path.name}")


def tag_all(paths: Sequence[Path], tags: Sequence[str]) -> Outcome:
    """Add tags to each of these runs. A tag that cannot be one is refused before any run gets it."""
    try:
        for path in paths:
            check_new_tags(path, {check_tag(tag) for tag in tags} - set(read_notes(path).tags))
        for path in paths:
            add_tags(path, tags)
    except (UsageError, WorkError) as error:
        return "", str(error)
    return f"{counted(len(paths), 'run')} tagged {', '.join(tags)}", ""


def untag_all(paths: Sequence[Path], tags: Sequence[str]) -> Outcome:
    """Take tags from those of these runs that have them."""
    with_one = [path for path in paths if set(tags) & set(read_notes(path).tags)]
    if not with_one:
        return "", f"none of them has the tag {', '.join(tags)}"
    try:
        for path in with_one:
            remove_tags(path, [tag for tag in tags if tag in read_notes(path).tags])
    except (UsageError, WorkError) as error:
        return "", str(error)
    return f"{', '.join(tags)} taken from {counted(len(with_one), 'run')}", ""


def stop_these(runs: Sequence[RunSnapshot]) -> Outcome:
    """Ask all these runs to stop; the first problem is told."""
    problems = stop_all(runs)
    return f"{counted(len(runs), 'run')} asked to stop", problems[0] if problems else ""


def stop_all(runs: Iterable[RunSnapshot]) -> list[str]:
    """Ask all these runs to stop; the problems."""
    return [problem for run in runs if (problem := stop(run.path)[1])]

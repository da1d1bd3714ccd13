"""A run as readers see it, and the figures that can be had of it. Values from files may be of any type."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from .annotations import Notes
from .states import STATES

_PHASE = re.compile(r"epoch (\d{1,9}) of (\d{1,9})")


@dataclass(frozen=True)
class RunSnapshot:
    """A run as it stood when it was read. All strings are cleaned for showing; missing figures are None.

    ``config`` is run.json and ``status`` status.json, each {} where it cannot be read; ``state`` is one of states.STATES;
    ``reason`` says how *crashed* was inferred; ``problems`` name the files that are missing or damaged.
    """

    id: str
    path: Path
    config: dict
    status: dict
    notes: Notes
    state: str
    reason: str = ""
    problems: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether a process runs it or will run it."""
        return STATES[self.state].live

    @property
    def network(self) -> str:
        return _text(part(self.config, "network").get("name"))

    @property
    def dataset(self) -> str:
        return _text(part(self.config, "data").get("name"))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, or nothing where run.json has no proper list of them."""
        classes = part(self.config, "data").get("classes")
        return tuple(map(str, classes)) if isinstance(classes, list) else ()

    @cached_property
    def created(self) -> datetime | None:
        """When the run was created, by run.json."""
        return parse_time(self.config.get("created"))

    @property
    def phase(self) -> str:
        return _text(self.status.get("phase"))

    @property
    def error(self) -> str:
        return _text(self.status.get("error"))

    @property
    def host(self) -> str:
        return _text(self.status.get("host")) or _text(self.config.get("host"))

    @property
    def pid(self) -> int | None:
        return whole(self.status.get("pid"))

    @property
    def progress(self) -> float | None:
        """Part of the training that is done, 0 to 1."""
        value = number(self.status.get("progress"))
        return None if value is None else min(max(value, 0.0), 1.0)

    @property
    def eta_s(self) -> float | None:
        return number(self.status.get("eta_s"))

    @property
    def epochs(self) -> int | None:
        """Number of epochs of the recipe."""
        return whole(part(self.config, "recipe").get("epochs"))

    @property
    def epoch(self) -> int | None:
        """The epoch that runs or ran last: from ``epoch`` of the status, else its phase, else its progress."""
        given = number(self.status.get("epoch"))
        if given is not None:
            return math.floor(given)
        found = _PHASE.search(self.phase)
        if found:
            return int(found[1])
        if self.epochs is None:
            return None
        done = 1.0 if self.state == "finished" else self.progress
        return None if done is None else math.floor(done * self.epochs + 1e-6)

    @property
    def best_accuracy(self) -> float | None:
        """Best accuracy on the validation split, 0 to 1."""
        return number(part(self.status, "best").get("accuracy"))

    @property
    def epoch_reached(self) -> int | None:
        """The epoch that runs; of a run that is over the last whole one, however it ended.

        The phase of a run that was killed still says which epoch ran; a run that was stopped at the same step has none.
        """
        is_known = number(self.status.get("epoch")) is not None or self.state == "finished"
        if self.live or is_known or self.progress is None or self.epochs is None:
            return self.epoch
        return math.floor(self.progress * self.epochs + 1e-6)

    @property
    def best_epoch(self) -> int | None:
        return whole(part(self.status, "best").get("epoch"))

    @property
    def ended_early(self) -> bool:
        """Whether the training was ended before its recipe's end, on request, and the best weights evaluated."""
        return self.state == "finished" and self.status.get("ended_early") is True

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy on the test split, 0 to 1."""
        test = self.status.get("test")
        return number(test.get("accuracy")) if isinstance(test, dict) else number(test)


def number(value: object) -> float | None:
    """Return a finite number from a file as float; None for anything else, True and False included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def whole(value: object) -> int | None:
    """Return a whole number of sensible size from a file; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def parse_time(value: object) -> datetime | None:
    """Return a point in time from ISO 8601 text (UTC where it names no zone) or from seconds since the epoch."""
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        seconds = number(value)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def part(values: dict, key: str) -> dict:
    """Return the table under a key of a file; {} where there is none."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def summary(run: RunSnapshot) -> dict:
    """Return a run as plain JSON-able data; the keys are documented in docs/run-directory.md and stay as they are."""
    created = run.created
    return {
        "id": run.id,
        "path": str(run.path),
        "state": run.state,
        "reason": run.reason,
        "network": run.network,
        "dataset": run.dataset,
        "created": created.isoformat().replace("+00:00", "Z") if created else None,
        "phase": run.phase,
        "epoch": run.epoch,
        "epochs": run.epochs,
        "progress": run.progress,
        "eta_s": run.eta_s,
        "best_accuracy": run.best_accuracy,
        "best_epoch": run.best_epoch,
        "test_accuracy": run.test_accuracy,
        "ended_early": run.ended_early,
        "host": run.host,
        "pid": run.pid,
        "error": run.error,
        "tags": list(run.notes.tags),
        "remark": run.notes.remark,
        "problems": list(run.problems),
    }

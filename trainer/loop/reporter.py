"""Where the loop tells what happens: metrics.jsonl, status.json and the person. Nothing of it may end a training."""

from __future__ import annotations

import contextlib
import time
from collections import deque

from ..common.progress import ProgressReporter
from ..runs import requests
from ..runs.run_writer import RunGone, RunWriteError, RunWriter
from ..runs.tail import NewestMetrics

BACKLOG = 100_000
STATUS_EVERY_S = 0.5


class Report:
    """Writes records and states of one run through ``writer`` and speaks through ``reporter``.

    Records that a full disk refuses wait in memory and are written, in order, as soon as there is room.
    """

    def __init__(self, writer: RunWriter, reporter: ProgressReporter) -> None:
        self._writer = writer
        self.reporter = reporter
        self.log = reporter.log
        self._waiting: deque[dict] = deque(maxlen=BACKLOG)
        self._refused = False
        self._last_status = 0.0
        self.elapsed = 0.0
        """Seconds of training in earlier sessions of this run."""
        self._begun = time.monotonic()
        self._known: set[tuple] = set()

    def already_recorded(self, metrics: NewestMetrics) -> None:
        """Leave out what stands in metrics.jsonl: a killed run may have written it after its last checkpoint."""
        self._known = {_once(record) for record in (metrics.validation, metrics.test, *metrics.events)}

    def forget_after(self, step: int) -> None:
        """Drop the records of later steps that wait for room on the disk: these steps will be made again."""
        kept = [record for record in self._waiting if record.get("step", 0) <= step]
        self._waiting.clear()
        self._waiting.extend(kept)

    def time(self) -> float:
        """Return the seconds that the run has been trained, over all its sessions; a clock that is set does not matter."""
        return self.elapsed + time.monotonic() - self._begun

    def continue_from(self, elapsed: float) -> None:
        """Count the time from what the checkpoint says."""
        self.elapsed = elapsed
        self._begun = time.monotonic()

    def record(self, record: dict) -> None:
        """Append to metrics.jsonl. RunGone where there is no run directory any more."""
        once = _once(record)
        if once and once in self._known:
            return
        self._waiting.append(record)
        self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._writer.record(self._waiting[0])
                self._waiting.popleft()
            self._refused = False
        except RunWriteError as error:
            if not self._refused:
                self.log(f"{error}; training goes on, and the records wait in memory")
            self._refused = True

    def end(self) -> int:
        """Try once more to write what waits; returns the number of records that are lost."""
        with contextlib.suppress(RunGone):
            self._flush()
        return len(self._waiting)

    def is_gone(self) -> bool:
        """Return whether there is no run directory any more."""
        try:
            self.check_place()
        except RunGone:
            return True
        return False

    def check_place(self) -> None:
        """Raise RunGone where there is no run directory any more."""
        self._writer.check_place()

    def event(self, name: str, detail: str, step: int) -> None:
        """Append an event record."""
        self.record({"kind": "event", "time": round(self.time(), 3), "step": step, "name": name, "detail": detail})

    def status(self, **changes: object) -> bool:
        """Change status.json; False where it could not be written."""
        self._last_status = time.monotonic()
        try:
            self._writer.status(**changes)
        except RunWriteError:
            return False
        return True

    def status_due(self) -> bool:
        """Return whether the progress should be written into status.json again."""
        return time.monotonic() - self._last_status >= STATUS_EVERY_S

    def sync(self) -> None:
        """Make the records durable before a checkpoint that counts on them; OSError where that fails."""
        try:
            self._writer.sync()
        except RunWriteError as error:
            raise OSError(str(error)) from error

    def requested(self, what: str) -> bool:
        """Return whether the run's folder holds the request ``what``, control.STOP or control.FINISH."""
        return requests.is_requested(self._writer.path, what)


def _once(record: dict) -> tuple:
    """Return what a record that is made once only is known by; () for the others."""
    if record.get("kind") == "eval":
        return "eval", record.get("split"), record.get("step")
    return ("ended_early", record.get("step")) if record.get("name") == "ended_early" else ()

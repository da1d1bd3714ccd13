"""`cnn-explorer runs watch`: a run in plain text, line by line, until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..trainer.common.json_safe import encode_json
from ..trainer.common.number_text import percent, rough_duration
from ..trainer.runs.reader import MetricsTail, RunSnapshot, number, read_run, summary
from ..trainer.runs.states import STATES
from .runs_text import measured

POLL_S = 0.3
QUIET_S = 10.0
HISTORY = 10
RECENT_BYTES = 1 << 18


def follow(path: Path, log: Callable[[str], None]) -> bool:
    """Print what happens to the run in ``path`` until it ends; return whether it ended well (finished or stopped).

    Begins with its last evaluations. Between evaluations a training record is said when nothing was for ten seconds.
    """
    tail = MetricsTail(path, last_bytes=RECENT_BYTES)
    lines = _Lines()
    said, spoken = "", time.monotonic()
    first = True
    while True:
        run = read_run(path)  # before the records: those that precede the end are then all read
        new_lines = _read_all(tail, lines)
        for line in new_lines[-HISTORY:] if first else new_lines:
            log(line)
        now = standing(run)
        if now != said:
            log(now)
            said = now
            new_lines.append(now)
        if new_lines:
            spoken = time.monotonic()
        elif time.monotonic() - spoken > QUIET_S and lines.train:
            log(lines.of_training(run))
            spoken = time.monotonic()
        if not run.live:
            return STATES[run.state].good
        first = False
        time.sleep(POLL_S)


def follow_records(path: Path, log: Callable[[str], None]) -> bool:
    """Print each record of the run in ``path`` as a line of JSON, and the run when it ends; return what `follow` does."""
    tail = MetricsTail(path)
    while True:
        run = read_run(path)  # before the records: those that precede the end are then all read
        more = True
        while more:
            new = tail.read()
            for record in new.records:
                log(encode_json(record).decode().rstrip())
            more = new.more
        if not run.live:
            log(encode_json({"schema": 1, "run": summary(run)}).decode().rstrip())
            return STATES[run.state].good
        time.sleep(POLL_S)


def _read_all(tail: MetricsTail, lines: _Lines) -> list[str]:
    new_lines: list[str] = []
    while True:
        new = tail.read()
        new_lines += [line for record in new.records if (line := lines.of(record))]
        if not new.more:
            return new_lines


class _Lines:
    """Turns records into lines, each evaluation and event into one only, also when the file is replaced and read again.

    A resumed run drops records, and the file is then read from its start. What it trains again has another time and loss,
    so it counts as new.
    """

    def __init__(self) -> None:
        self.train: dict = {}
        self._logged: set[int] = set()

    def of(self, record: dict) -> str:
        """Return a line for an evaluation or an event that was not said before; nothing for the rest."""
        kind = record.get("kind")
        if kind == "train":
            self.train = record
            return ""
        key = hash(repr(record))
        if kind not in ("eval", "event") or key in self._logged:
            return ""
        self._logged.add(key)
        if kind == "eval":
            trained = f"train {measured(_brief(self.train))}; " if self.train else ""
            return f"epoch {_plain(record.get('epoch'))}: {trained}{record.get('split')} {measured(_brief(record))}"
        if record.get("name") == "checkpoint":
            return ""
        return ": ".join(str(record[key]) for key in ("name", "detail") if record.get(key))

    def of_training(self, run: RunSnapshot) -> str:
        """Return how far the training is, in the middle of an epoch."""
        left = f"; {rough_duration(run.eta_s)} left" if run.eta_s is not None else ""
        return f"epoch {_plain(self.train.get('epoch'))}: train {measured(_brief(self.train, speed=True))}{left}"


def _brief(record: dict, *, speed: bool = False) -> dict:
    keys = ("loss", "accuracy") + (("images_per_s",) if speed else ())
    return {key: record[key] for key in keys if key in record}


def _plain(value: object) -> str:
    finite = number(value)
    return "?" if finite is None else f"{finite:.5g}"


def standing(run: RunSnapshot) -> str:
    """Return the state in words, with what belongs to it at the end."""
    words = run.state
    if run.live:
        return words + (f": {run.phase}" if run.phase and run.state != "training" else "")
    if run.state in ("failed", "diverged", "crashed") and (run.error or run.reason):
        words += f": {run.error or run.reason}"
    figures = [("best", run.best_accuracy), ("test", run.test_accuracy)]
    measured_ones = [f"{name} accuracy {percent(value)}" for name, value in figures if value is not None]
    return f"{words}; {', '.join(measured_ones)}" if measured_ones else words

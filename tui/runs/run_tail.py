"""Follows one run at a time: what its curve says, its figures per class, and its log. No Textual.

A thread of its own reads; it tells its owner through a callback, and only when something is new.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...trainer.analysis.curve_findings import Finding, diagnose_curve
from ...trainer.runs.run import Run
from ...trainer.runs.tail import LogBatch, LogTail
from ..charts.followers import ALL_READ, OUTLINED, UNREAD, Follower, Followers

EVERY_S = 0.5
BREATH_S = 0.005
LOG_BYTES = 1 << 18


@dataclass(frozen=True)
class RunNews:
    """What is known of the run in ``path``. ``per_class`` are (epoch, accuracy of each class), ``test`` the test's record.

    ``log`` are the lines since the last news; ``restarted``: forget the lines before them.
    """

    path: Path
    findings: tuple[Finding, ...] = ()
    per_class: tuple[tuple[float, tuple[float, ...]], ...] = ()
    test: dict = field(default_factory=dict)
    log: tuple[str, ...] = ()
    unfinished: str = ""
    restarted: bool = False


class RunTail:
    """``on_news`` is called from the thread. Without ``with_log`` the log is not read."""

    def __init__(
        self, on_news: Callable[[RunNews], None], followers: Followers, *, with_log: bool, every_s: float = EVERY_S
    ) -> None:
        self._on_news = on_news
        self._followers = followers
        self._with_log = with_log
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._run: Run | None = None
        self._stopped = False

    def follow(self, run: Run | None) -> None:
        """Follow this run from now on, as it stands; None: nothing. Another run is answered at once."""
        with self._guard:
            other = (self._run and self._run.path) != (run and run.path)
            self._run = run
        if other:
            self._wake.set()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        while not self._stopped:
            with self._guard:
                run = self._run
            if run is None:
                self._wake.wait(self._every_s)
                self._wake.clear()
                continue
            follower = self._followers.watch(run.path, whole=True)
            try:
                self._follow(follower, run)
            finally:
                self._followers.leave(run.path, whole=True)

    def _follow(self, follower: Follower, run: Run) -> None:
        """Read and tell of one run until another one is wanted."""
        log = LogTail(run.path, LOG_BYTES)
        told: Run | None = None
        known = UNREAD, -1
        more = False
        while not self._stopped:
            more = follower.read(whole=True, recent_s=0.0 if more else self._every_s / 2)
            batch = log.read() if self._with_log else LogBatch([])
            stage, version = follower.stage, follower.version
            # While a long history is read its sketch speaks: what a curve says by its first half could be wrong.
            changed = stage > known[0] or (stage == ALL_READ and version != known[1])
            restarted = told is None or batch.reset
            if restarted or batch.lines or changed or _differs(told, run, batch, stage):
                self._on_news(self._news(run, follower, batch, restarted))
            told, known = run, (stage, version)
            self._wake.wait(BREATH_S if more else self._every_s)
            self._wake.clear()
            with self._guard:
                wanted = self._run
            if wanted is None or wanted.path != run.path:
                return
            run = wanted

    def _news(self, run: Run, follower: Follower, batch: LogBatch, restarted: bool) -> RunNews:
        with follower.guard:
            evaluations, history, stage = follower.evaluations, follower.history, follower.stage
            summary = history.curve_summary(run, evaluations) if history is not None and stage >= OUTLINED else None
            per_class, test = tuple(evaluations.per_class), evaluations.test
        findings = diagnose_curve(summary) if summary is not None else ()
        return RunNews(run.path, findings, per_class, test, tuple(batch.lines), batch.unfinished, restarted)


def _differs(told: Run | None, run: Run, batch: LogBatch, stage: int) -> bool:
    """Return whether there is something to say although nothing was written: a bar that moved, or a run that ended."""
    return stage >= OUTLINED and (bool(batch.unfinished) or (told is not None and told.state != run.state))

"""Follows one run at a time: what its curve says, its figures per class, and its log. No Textual.

A thread of its own reads; it tells its owner through a callback, and only when something is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...trainer.analysis.curve_findings import Finding, diagnose_curve
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.tail import LogTail, NewLines
from ..background_loop import BREATH_S, BackgroundLoop
from ..charts.followers import ALL_READ, OUTLINED, UNREAD, Follower, Followers

EVERY_S = 0.5
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


@dataclass
class _Followed:
    """The run that is being followed, and what its owner was told of it."""

    follower: Follower
    log: LogTail
    told: RunSnapshot | None = None
    known: tuple[int, int] = (UNREAD, -1)
    """Stage and version of the follower at the last look."""
    more: bool = False


class RunTail:
    """``on_news`` is called from the thread. Without ``with_log`` the log is not read."""

    def __init__(
        self, on_news: Callable[[RunNews], None], followers: Followers, *, with_log: bool, every_s: float = EVERY_S
    ) -> None:
        self._on_news = on_news
        self._followers = followers
        self._with_log = with_log
        self._every_s = every_s
        self._loop: BackgroundLoop[RunSnapshot | None] = BackgroundLoop(self._step, None)
        self._followed: _Followed | None = None

    def follow(self, run: RunSnapshot | None) -> None:
        """Follow this run from now on, as it stands; None: nothing. Another run is answered at once."""
        before = self._loop.wanted
        self._loop.want(run, at_once=(before and before.path) != (run and run.path))

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        try:
            self._loop.run()
        finally:
            self._turn_to(None)

    def _step(self, run: RunSnapshot | None) -> float:
        """Read on in the run and tell what is new; returns when to come again."""
        followed = self._turn_to(run.path if run else None)
        if run is None or followed is None:
            return self._every_s
        follower = followed.follower
        followed.more = follower.read(whole=True, recent_s=0.0 if followed.more else self._every_s / 2)
        new = followed.log.read() if self._with_log else NewLines([])
        stage, version = follower.stage, follower.version
        # While a long history is read its sketch speaks: what a curve says by its first half could be wrong.
        changed = stage > followed.known[0] or (stage == ALL_READ and version != followed.known[1])
        restarted = followed.told is None or new.reset
        if restarted or new.lines or changed or _differs(followed.told, run, new, stage):
            self._on_news(self._news(run, follower, new, restarted))
        followed.told, followed.known = run, (stage, version)
        return BREATH_S if followed.more else self._every_s

    def _turn_to(self, path: Path | None) -> _Followed | None:
        """Return what is known of the run that is wanted; another one is left."""
        if self._followed is not None and self._followed.follower.path != path:
            self._followers.leave(self._followed.follower.path, whole=True)
            self._followed = None
        if self._followed is None and path is not None:
            self._followed = _Followed(self._followers.watch(path, whole=True), LogTail(path, LOG_BYTES))
        return self._followed

    def _news(self, run: RunSnapshot, follower: Follower, new: NewLines, restarted: bool) -> RunNews:
        with follower.guard:
            evaluations, history, stage = follower.evaluations, follower.history, follower.stage
            summary = history.curve_summary(run, evaluations) if history is not None and stage >= OUTLINED else None
            per_class, test = tuple(evaluations.per_class), evaluations.test
        findings = diagnose_curve(summary) if summary is not None else ()
        return RunNews(run.path, findings, per_class, test, tuple(new.lines), new.unfinished, restarted)


def _differs(told: RunSnapshot | None, run: RunSnapshot, new: NewLines, stage: int) -> bool:
    """Return whether there is something to say although nothing was written: a bar that moved, or a run that ended."""
    return stage >= OUTLINED and (bool(new.unfinished) or (told is not None and told.state != run.state))

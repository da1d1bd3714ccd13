"""Follows one run at a time: what its curve says, its figures per class, and its log. No Textual.

A thread of its own reads; it tells its owner through a callback, and only when something is new.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...trainer.analysis.curve_findings import Finding, read_curve
from ...trainer.analysis.curve_summary import StoryTail
from ...trainer.runs.run import Run
from ...trainer.runs.tail import LogBatch, LogTail

EVERY_S = 0.5
KEPT = 8
"""The stories of so many runs are kept: who goes back to one of them need not wait until it is read again."""
LOG_BYTES = 1 << 18


@dataclass(frozen=True)
class RunNews:
    """What is known of the run in ``path``. ``per_class`` are (epoch, accuracy of each class), ``test`` the test's record.

    ``log`` are the lines since the last news; ``fresh``: forget the lines before them.
    """

    path: Path
    findings: tuple[Finding, ...] = ()
    per_class: tuple[tuple[float, tuple[float, ...]], ...] = ()
    test: dict = field(default_factory=dict)
    log: tuple[str, ...] = ()
    unfinished: str = ""
    fresh: bool = False


class RunTail:
    """``on_news`` is called from the thread. Without ``with_log`` the log is not read."""

    def __init__(self, on_news: Callable[[RunNews], None], *, with_log: bool, every_s: float = EVERY_S) -> None:
        self._on_news = on_news
        self._with_log = with_log
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._run: Run | None = None
        self._stories: OrderedDict[Path, StoryTail] = OrderedDict()
        self._stopped = False

    def follow(self, run: Run | None) -> None:
        """From now on this run, as it stands; None: nothing. Another run is answered at once."""
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
        """The loop; returns after :meth:`stop`. Runs in a thread of its own."""
        log = LogTail(Path())
        told: Run | None = None
        more = False
        while not self._stopped:
            self._wake.wait(0.0 if more else self._every_s)
            self._wake.clear()
            with self._guard:
                run = self._run
            if run is None or self._stopped:
                told, more = None, False
                continue
            fresh = told is None or told.path != run.path
            if fresh:
                log = LogTail(run.path, LOG_BYTES)
            story = self._story_of(run.path)
            unfinished = more
            changed, more = story.read()
            # A read that ran out of time may have met the end of the file without knowing.
            changed = changed or unfinished
            batch = log.read() if self._with_log else LogBatch([])
            fresh = fresh or batch.reset
            # While a long history is read only the log is told: what a curve says by its first half could be wrong.
            if not self._stopped and (
                fresh or batch.lines or (changed and not more) or _differs(told, run, batch, more)
            ):
                self._on_news(self._news(run, story, batch, fresh, done=not more))
            told = run

    def _story_of(self, path: Path) -> StoryTail:
        """The story of a run, begun before or now."""
        if path not in self._stories:
            self._stories[path] = StoryTail(path)
        self._stories.move_to_end(path)
        while len(self._stories) > KEPT:
            self._stories.popitem(last=False)
        return self._stories[path]

    def _news(self, run: Run, story: StoryTail, batch: LogBatch, fresh: bool, *, done: bool) -> RunNews:
        teller = story.teller
        findings = read_curve(teller.story(run)) if done else ()
        return RunNews(
            run.path, findings, tuple(teller.per_class), teller.test, tuple(batch.lines), batch.unfinished, fresh
        )


def _differs(told: Run | None, run: Run, batch: LogBatch, more: bool) -> bool:
    """Whether there is something to say although nothing was written: a bar that moved, or a run that ended."""
    return not more and (bool(batch.unfinished) or (told is not None and told.state != run.state))

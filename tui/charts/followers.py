"""Follows the files of runs for all who show them: charts, sentences and lists share one reader and one history of a run.

A follower reads in the thread of whoever asks, a moment at a time, and never in that of the screen. A list needs only the
evaluations and the newest training record, so the other lines of a long file are not decoded for it. A long file that is to
be drawn is sketched first from records spread over it, then its evaluations are read, then all of it.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from ...trainer.analysis.curve_summary import Evaluations
from ...trainer.runs.run import number
from ...trainer.runs.tail import MetricsTail, skim

if TYPE_CHECKING:
    from .history import History

FILE = "metrics.jsonl"
READ_S = 0.05
SHORT_FILE = 1 << 18
"""A file of at most so many bytes is read whole for a list too: whoever opens the run finds it read."""
SKETCHED_ABOVE = 2 << 20
"""Files of more bytes than this are sketched before they are read."""
SKETCH_RECORDS = 1500
SAMPLES = 24
MOST_BYTES = 160 << 20
"""So much of what nobody draws any more is kept: eight of the longest histories."""
UNREAD, OUTLINED, ALL_READ = range(3)
"""How far a follower is: at OUTLINED all evaluations are read, and of the training a sketch."""
_EVALUATIONS = (b'"eval"',)


class Follower:
    """One run. Whoever looks at ``history`` or ``evaluations`` holds ``guard``; ``version`` tells when they have changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.guard = threading.RLock()
        self.version = 0
        self.stage = UNREAD
        self.progress = 0.0
        self.drawn = False
        """Whether anybody ever wanted its history; a list alone does not keep one."""
        self.history: History | None = None
        """All that was read; None as long as only lists ask."""
        self._evaluations = Evaluations()
        self._tail: MetricsTail | None = None
        self._scan: MetricsTail | None = None
        """Reads the evaluations alone: for a list, or ahead of the rest of a long file."""
        self._last: dict = {}
        self._stamp: tuple[int, ...] = ()
        self._read_at = -math.inf

    @property
    def evaluations(self) -> Evaluations:
        """All evaluations that are known."""
        return self._evaluations if self.history is None or self._scan is not None else self.history.evaluations

    def read(self, *, whole: bool, recent_s: float = 0.0) -> bool:
        """Read on for a moment; whether the caller should go on at once, because there is more.

        ``whole``: every record and not the evaluations alone. Where another thread has read within ``recent_s`` seconds,
        that one goes on, and this call does nothing.
        """
        if self._is_recent(whole, recent_s):
            return False
        with self.guard:
            if self._is_recent(whole, recent_s):
                return False
            more = self._read(whole)
            self._read_at = time.monotonic()
            return more

    def _is_recent(self, whole: bool, recent_s: float) -> bool:
        enough = self.history is not None or not whole
        return enough and time.monotonic() - self._read_at < recent_s

    def _read(self, whole: bool) -> bool:
        if self.history is None and (whole or (self._scan is None and self._size() <= SHORT_FILE)):
            return self._begin_history()
        if self._scan is not None and (self.history is None or self.stage == UNREAD):
            return self._read_evaluations(self._scan)
        if self._tail is not None and self.history is not None:
            return self._read_records(self._tail, self.history)
        self._scan = MetricsTail(self.path, containing=_EVALUATIONS)
        return True

    def _begin_history(self) -> bool:
        # numpy is loaded when there is something to draw, and not at the start of the app.
        from .history import History

        self.history, self._tail = History(), MetricsTail(self.path)
        self.stage, self.progress = UNREAD, 0.0
        if self._size() >= SKETCHED_ABOVE:
            self._scan = self._scan or MetricsTail(self.path, containing=_EVALUATIONS)
            self.history.sketch_from(skim(self.path, SKETCH_RECORDS))
            self.version += 1
            return True
        self._scan = None
        return self._read_records(self._tail, self.history)

    def _read_evaluations(self, scan: MetricsTail) -> bool:
        stamp = self._file_stamp()
        if self.stage == OUTLINED and stamp == self._stamp:
            return False
        new = scan.read(budget_s=READ_S)
        if new.reset:
            self._evaluations = Evaluations()
        for record in new.records:
            self._evaluations.add(record)
        self._last = scan.newest_train or self._last
        if not new.more:
            self.stage, self._stamp = OUTLINED, stamp
            self.version += 1
        return new.more or self.history is not None

    def _read_records(self, tail: MetricsTail, history: History) -> bool:
        from .history import History

        new = tail.read(budget_s=READ_S)
        if new.reset:
            history = self.history = History()
            self._scan = None
        history.add(new.records)
        self.progress = min(tail.position / max(self._size(), 1), 1.0) if new.more else 1.0
        if not new.more:
            history.without_sketch()
            self._scan = None
        if new.records or new.reset or (not new.more and self.stage != ALL_READ):
            self.version += 1
        if not new.more:
            self.stage = ALL_READ
        elif new.reset:
            self.stage = UNREAD
        return new.more

    def preview(self) -> tuple[tuple[float, ...], float | None]:
        """Return the accuracies of the validation, before the first one some of the training; and the newest images per
        second.
        """
        with self.guard:
            accuracies = [point.accuracy for point in self.evaluations.points if math.isfinite(point.accuracy)]
            last = self.history.last if self.history is not None and self.history.last else self._last
            if not accuracies and self.history is not None:
                accuracies = self.history.accuracies(SAMPLES)
            elif not accuracies:
                values = (number(record.get("accuracy")) for record in skim(self.path, SAMPLES))
                accuracies = [value for value in values if value is not None]
            return tuple(accuracies), number(last.get("images_per_s"))

    def out_of_sight(self) -> None:
        """Forget the history that was read for a list alone, whose row is no longer visible."""
        if not self.drawn:
            self.forget_history()

    def forget_history(self) -> None:
        """Keep the evaluations alone; from here on only they are read."""
        with self.guard:
            if self.history is None:
                return
            if self.stage == ALL_READ and self._tail is not None:
                self._evaluations, self._last, self._scan = self.history.evaluations, self.history.last, self._tail
                self._scan.containing, self.stage = _EVALUATIONS, OUTLINED
                self._stamp = ()
            elif self._scan is None:
                self._evaluations, self.stage = Evaluations(), UNREAD
            self.history = self._tail = None

    @property
    def nbytes(self) -> int:
        """Memory that its history takes."""
        history = self.history
        return history.nbytes if history is not None else 0

    def _size(self) -> int:
        try:
            return os.stat(self.path / FILE).st_size
        except OSError:
            return 0

    def _file_stamp(self) -> tuple[int, ...]:
        try:
            state = os.stat(self.path / FILE)
        except OSError:
            return (0,)
        return state.st_ino, state.st_size, state.st_mtime_ns


class Followers:
    """The followers of an app, one for each run that is shown. For all threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: OrderedDict[Path, Follower] = OrderedDict()
        self._watchers: Counter[tuple[Path, bool]] = Counter()

    def watch(self, path: Path, *, whole: bool) -> Follower:
        """Return the follower of a run, until :meth:`leave`; ``whole``: its history and not the evaluations alone."""
        with self._guard:
            follower = self._known.setdefault(path, Follower(path))
            self._watchers[path, whole] += 1
            if whole:
                follower.drawn = True
                self._known.move_to_end(path)
            return follower

    def leave(self, path: Path, *, whole: bool) -> None:
        """Release a run that one of its watchers does not show any more. What was read is kept as far as memory allows."""
        with self._guard:
            self._watchers[path, whole] -= 1
            if not self._watchers[path, whole]:
                del self._watchers[path, whole]
            self._let_go()

    def _let_go(self) -> None:
        """Forget followers without users, and of the histories that are not drawn the oldest beyond MOST_BYTES."""
        kept = 0
        for path, follower in reversed(list(self._known.items())):
            if self._watchers[path, True]:
                continue
            kept += follower.nbytes
            watched = self._watchers[path, False] > 0
            if kept > MOST_BYTES:
                kept -= follower.nbytes
                follower.forget_history()
            if not watched and follower.history is None:
                del self._known[path]

    @property
    def watched(self) -> frozenset[Path]:
        """The runs that somebody watches."""
        with self._guard:
            return frozenset(path for path, _ in self._watchers)

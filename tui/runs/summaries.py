"""A glance at each run that the list shows: how its accuracy went, and how fast it is. No Textual.

Only what is on the screen is read, only where the file changed, and a slow disk is asked less often.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...trainer.runs.run import number
from ...trainer.runs.tail import MetricsTail, newest_records, skim

EVERY_S = 1.0
LONGEST_S = 5.0
SHARE = 0.1
SAMPLES = 24
NEAR_END = 1 << 16


@dataclass(frozen=True)
class Glance:
    """``accuracies`` of the validation, one an evaluation; before the first, some of the training. ``pace`` in images/s."""

    accuracies: tuple[float, ...] = ()
    pace: float | None = None


class _Look:
    """Keeps its place in the file of one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tail = MetricsTail(path, containing=(b'"validation"',))
        self._found: list[float] = []
        self._stamp: tuple[int, ...] = ()

    def again(self) -> Glance | None:
        """What is new; None where the file is as before."""
        try:
            state = os.stat(self._path / "metrics.jsonl")
            stamp: tuple[int, ...] = (state.st_ino, state.st_size, state.st_mtime_ns)
        except OSError:
            stamp = (0,)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        more = True
        while more:
            batch = self._tail.read(budget_s=1.0)
            self._found = [] if batch.reset else self._found
            self._found += [value for record in batch.records if (value := number(record.get("accuracy"))) is not None]
            more = batch.more
        newest = next(newest_records(self._path, (b'"train"',), NEAR_END), {})
        return Glance(tuple(self._found or self._training()), number(newest.get("images_per_s")))

    def _training(self) -> list[float]:
        """Training accuracy, as long as nothing was evaluated."""
        values = (number(record.get("accuracy")) for record in skim(self._path, SAMPLES))
        return [value for value in values if value is not None]


class Glances:
    """Looks at the runs that are wanted, again and again; ``on_glances`` gets those that changed, by id."""

    def __init__(self, on_glances: Callable[[dict[str, Glance]], None], every_s: float = EVERY_S) -> None:
        self._on_glances = on_glances
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._wanted: tuple[Path, ...] = ()
        self._looks: dict[Path, _Look] = {}
        self._stopped = False

    def want(self, paths: Sequence[Path]) -> None:
        """These runs are on the screen now."""
        with self._guard:
            new, self._wanted = set(paths) - set(self._wanted), tuple(paths)
        if new:
            self._wake.set()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """The loop; returns after :meth:`stop`. Runs in a thread of its own."""
        while not self._stopped:
            self._wake.clear()
            begun = time.monotonic()
            changed = self._look()
            if changed and not self._stopped:
                self._on_glances(changed)
            took = time.monotonic() - begun
            self._wake.wait(min(max(self._every_s, took / SHARE), LONGEST_S))

    def _look(self) -> dict[str, Glance]:
        with self._guard:
            wanted = self._wanted
        changed = {}
        for path in wanted:
            if self._stopped:
                break
            glance = self._looks.setdefault(path, _Look(path)).again()
            if glance is not None:
                changed[path.name] = glance
        return changed

"""Keeps an eye on the runs folder: whatever starts, changes or vanishes there is told within a second or two.

No Textual here; the thread tells its owner through a callback, and only when something changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ...errors import UsageError
from ...trainer.runs.reader import RunCache
from ...trainer.runs.run import RunSnapshot
from ..background_loop import BackgroundLoop

EVERY_S = 1.0
LONGEST_S = 2.0
SHARE = 0.1
"""At most this part of the time is spent reading: a slow network disk is asked less often."""


class RunWatch:
    """Reads the folder again and again. ``on_runs`` gets the runs, newest first, and a problem or ""."""

    def __init__(
        self, folder: Path, on_runs: Callable[[tuple[RunSnapshot, ...], str], None], every_s: float = EVERY_S
    ) -> None:
        self._cache = RunCache(folder)
        self._on_runs = on_runs
        self._every_s = every_s
        self._told: tuple[tuple[RunSnapshot, ...], str] | None = None
        self._loop = BackgroundLoop(self._step, None)

    def nudge(self) -> None:
        """Read the runs at once: something was started or stopped."""
        self._loop.wake()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        self._loop.run()

    def _step(self, _: None) -> float:
        """Read the folder and tell what changed; returns when to come again."""
        begun = time.monotonic()
        found = self._look(self._told[0] if self._told else ())
        if found != self._told and not self._loop.stopped:
            self._told = found
            self._on_runs(*found)
        took = time.monotonic() - begun
        return max(self._every_s, min(took / SHARE, LONGEST_S))

    def _look(self, before: tuple[RunSnapshot, ...]) -> tuple[tuple[RunSnapshot, ...], str]:
        """Return the runs as they are; the ones known before and the reason where the folder cannot be read."""
        try:
            return tuple(self._cache.read()), ""
        except UsageError as error:
            return before, str(error)

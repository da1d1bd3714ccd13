"""The runs that one process trains one after the other, and how one of them leaves the line before its turn.

While the first is trained, a thread looks for ``control/stop`` in the folders of those that wait: such a run is written down
as stopped at once, instead of being called *queued* until its turn would come.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from pathlib import Path

from ...errors import WorkError
from ..runs import requests
from ..runs.lock import RunLock
from ..runs.log_file import open_log
from ..runs.run_writer import RunWriter
from .signals import INTERRUPTED

LOOK_S = 1.0


class Queue:
    """Runs with their locks, given out in order by :meth:`take`; ``codes`` holds the exit codes by place in the line."""

    def __init__(self, paths: Sequence[Path], locks: Sequence[RunLock]) -> None:
        self.codes: dict[int, int] = {}
        self._waiting = list(enumerate(zip(paths, locks, strict=True)))
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Queue:
        if len(self._waiting) > 1:
            self._thread = threading.Thread(target=self._look, name="queue", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def take(self) -> tuple[int, Path, RunLock] | None:
        """Return the place, folder and lock of the next run; None after the last. The others are told their place in
        the line.
        """
        with self._guard:
            if not self._waiting:
                return None
            position, (path, lock) = self._waiting.pop(0)
            self._log_positions()
            return position, path, lock

    def _log_positions(self) -> None:
        for ahead, (_, (path, lock)) in enumerate(self._waiting, start=1):
            with contextlib.suppress(WorkError), RunWriter.open(path, lock) as writer:
                writer.status(phase=f"after {ahead} other {'run' if ahead == 1 else 'runs'}")

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            with self._guard:
                left = [entry for entry in self._waiting if not self._leaves(*entry)]
                if len(left) < len(self._waiting):
                    self._waiting = left
                    self._log_positions()

    def _leaves(self, position: int, entry: tuple[Path, RunLock]) -> bool:
        """Take a run out of the line if that is what was asked; a disk that is full leaves it where it is."""
        path, lock = entry
        if not requests.is_requested(path, requests.STOP):
            return False
        try:
            with RunWriter.open(path, lock) as writer:
                writer.status(state="stopped", phase="", eta_s=None, exit=INTERRUPTED, error=None)
        except WorkError:
            return False
        _note(path)
        lock.release()
        self.codes[position] = INTERRUPTED
        return True


def _note(path: Path) -> None:
    with contextlib.suppress(OSError), open(open_log(path), "ab", buffering=0) as log:
        log.write(f"taken out of the queue, as asked; 'cnn-explorer runs resume {path.name}' trains it\n".encode())

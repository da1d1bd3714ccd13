"""The loop of a thread that does one piece of work again and again, for whatever its owner wants at the moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

BREATH_S = 0.005
"""The shortest pause between two turns: it lets the screen's thread have the interpreter."""
AFTER_ERROR_S = 1.0

Request = TypeVar("Request")


class BackgroundLoop(Generic[Request]):
    """Calls ``turn`` with the newest request. It returns the seconds to the next turn, or None: wait for a request.

    A new request ends the pause. :meth:`run` belongs to the thread; the other methods are for any thread. An error in a
    turn is logged, and the next turn tries again: a dead thread shows only as a screen that stands still.
    """

    def __init__(self, turn: Callable[[Request], float | None], wanted: Request) -> None:
        self._turn = turn
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._wanted = wanted
        self._stopped = False

    @property
    def wanted(self) -> Request:
        """The newest request."""
        with self._guard:
            return self._wanted

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called; a long turn looks at it."""
        return self._stopped

    def want(self, wanted: Request, *, at_once: bool = True) -> None:
        """Work for this from now on; without ``at_once`` only when the pause is over."""
        with self._guard:
            self._wanted = wanted
        if at_once:
            self.wake()

    def wake(self) -> None:
        """End the pause."""
        self._wake.set()

    def stop(self) -> None:
        """End :meth:`run` after the turn in which it is."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Take turn after turn until :meth:`stop`."""
        while not self._stopped:
            # Cleared before the request is read, so a request that comes during the turn is met right after it.
            self._wake.clear()
            try:
                pause = self._turn(self.wanted)
            except Exception:
                logging.getLogger(__name__).exception("work in the background failed")
                pause = AFTER_ERROR_S
            if not self._stopped:
                self._wake.wait(None if pause is None else max(pause, BREATH_S))

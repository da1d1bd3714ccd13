"""A signal asks for a stop; the loop looks at it after each step."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

INTERRUPTED = 130
GRACE_S = 0.5
"""A second signal this soon is the same request: wrappers pass on to us what the terminal has sent us already."""


class StopSignals:
    """While it is entered, SIGINT, SIGTERM and SIGHUP set ``wanted``; a further one, half a second later, ends the process.

    ``patient``: it does not. A rank of several hears of a stop from its launcher, from a batch system and from the terminal.
    SIGHUP stays ignored where it is ignored or blocked, as it is in a detached run. Outside the main thread, where Python
    allows no handlers, nothing is changed.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self.wanted: signal.Signals | None = None
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}  # what signal.signal gave and takes back

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.wanted is None:
            self.wanted, self._since = signal.Signals(number), time.monotonic()
        elif not self._patient and time.monotonic() - self._since > GRACE_S:
            if os.isatty(2):
                os.write(2, b"\x1b[?25h\n")  # the progress bar has hidden the cursor
            os._exit(INTERRUPTED)

"""One line on stderr where the code of another network runs for long, which may be for ever: what runs, and where."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

SECONDS = 10.0
"""How long a network is built or run until the line is written."""
LOOK_EVERY_S = 1.0
"""How often it is looked up, while a training is planned, where the program is."""


@contextlib.contextmanager
def noted_when_long(name: str) -> Iterator[None]:
    """Say on stderr that the network runs, and at which line of its code, once it has run for ``SECONDS``.

    Networks of the catalogue are left out: they end.
    """
    if ":" not in name:
        yield
        return
    ours, stream = threading.get_ident(), sys.stderr  # the stream is another one while a network is silenced
    timer = threading.Timer(SECONDS, lambda: _write_line(name, _place(ours), stream))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def noted_while_planning(name: str) -> Iterator[None]:
    """Say the same while a training is planned, which reads and decodes data too: only those seconds count in which code
    of the person's own runs without a break.
    """
    ours, stream, over = threading.get_ident(), sys.stderr, threading.Event()

    def watch() -> None:
        seconds = 0.0
        while not over.wait(LOOK_EVERY_S):
            where = _place(ours)
            seconds = seconds + LOOK_EVERY_S if where else 0.0
            if seconds >= SECONDS:
                _write_line(name, where, stream)
                return

    threading.Thread(target=watch, name="long runs", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _place(thread: int) -> str:
    from ..models.catalogue.user_code import place_running

    return place_running(sys._current_frames().get(thread))


def _write_line(name: str, where: str, stream: TextIO) -> None:
    line = f"{name} has been running for {SECONDS:.0f} s{f', now at {where}' if where else ''}; Ctrl-C stops it"
    with contextlib.suppress(OSError, ValueError):
        print(line, file=stream, flush=True)

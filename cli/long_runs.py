"""One line on stderr where the code of another network runs for long, which may be for ever: what runs, and where."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

SECONDS = 10.0
"""How long a network is built or run until the line is written."""


@contextlib.contextmanager
def noted_when_long(name: str) -> Iterator[None]:
    """Say on stderr that the network runs, and at which line of its code, once it has run for ``SECONDS``.

    Networks of the catalogue are left out: they end.
    """
    if ":" not in name:
        yield
        return
    ours, stream = threading.get_ident(), sys.stderr  # the stream is another one while a network is silenced

    def write_line() -> None:
        from ..models.catalogue.user_code import place_running

        where = place_running(sys._current_frames().get(ours))
        line = f"{name} has been running for {SECONDS:.0f} s{f', now at {where}' if where else ''}; Ctrl-C stops it"
        with contextlib.suppress(OSError, ValueError):
            print(line, file=stream, flush=True)

    timer = threading.Timer(SECONDS, write_line)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

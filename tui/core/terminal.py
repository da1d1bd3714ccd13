"""The terminal under the app: whether there is one, what colours it has, and noticing when it is gone."""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...errors import UsageError
from .messages import TerminalGone

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver

LOOK_EVERY_S = 1.0
PATIENCE_S = 2.0
"""An app whose terminal is gone gets this long to end by itself."""
EXIT_HANGUP = 128 + signal.SIGHUP


def check() -> None:
    """Raise UsageError where there is no terminal to draw on: a pipe, a cron job."""
    if not (sys.__stdin__ and sys.__stdin__.isatty() and sys.__stderr__ and sys.__stderr__.isatty()):
        raise UsageError(
            "terminal", None, "the app needs one; in a pipe use `cnn-explorer list`, `show`, `train` or `runs`"
        )


def take_any_byte(driver: type[Driver]) -> None:
    """Have the thread that reads keys take a byte that is no UTF-8 as �: it would end, and no key would act any more."""
    module = sys.modules[driver.__module__]
    if hasattr(module, "getincrementaldecoder"):
        module.__dict__["getincrementaldecoder"] = _lenient


def _lenient(encoding: str) -> Callable[[], codecs.IncrementalDecoder]:
    return functools.partial(codecs.getincrementaldecoder(encoding), errors="replace")


def fitting_theme(app: App) -> str:
    """Return a theme that the terminal can show: where there are sixteen colours, the terminal's own."""
    return "ansi-dark" if app.console.color_system == "standard" else "dark"


@contextlib.contextmanager
def watchdog(app: App) -> Iterator[None]:
    """End the app when its terminal is gone or it is told to (SIGHUP, SIGTERM), at the latest by force.

    The event loop may hang in a write to a dead terminal, or spin on reading from it, so this is a thread of its own.
    """
    over = threading.Event()
    gone = threading.Event()
    before = {number: signal.signal(number, lambda *_: gone.set()) for number in (signal.SIGHUP, signal.SIGTERM)}
    thread = threading.Thread(target=_watch, args=(app, over, gone), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(app: App, over: threading.Event, gone: threading.Event) -> None:
    while not gone.wait(LOOK_EVERY_S) and has_terminal():
        if over.is_set():
            return
    app.post_message(TerminalGone())
    if over.wait(PATIENCE_S):
        time.sleep(PATIENCE_S)  # for what the interpreter does at its end
    os._exit(EXIT_HANGUP)


def has_terminal() -> bool:
    """Return whether the terminal on stdin is still there."""
    return os.isatty(sys.__stdin__.fileno()) if sys.__stdin__ else False

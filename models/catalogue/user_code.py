"""Errors in a person's own code, told in one line with the file and line where they came up. No torch.

A network of one's own may raise anything while it is imported, built or run, and may even leave (`sys.exit()`). Only
Ctrl-C is not a fault of it: that passes through.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
import sysconfig
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

from ...errors import UsageError, WorkError, visible

PACKAGE = __name__.partition(".")[0]
LIBRARIES = ("site-packages", "dist-packages")
STORED_CODE = "network/code/"
"""Where a run keeps the copy of a person's files (models/own/stored.py)."""
LONGEST = 300
"""Characters of an error that are told."""


def is_library(path: str | None) -> bool:
    """Return whether a file belongs to Python or to an installed package, not to the person's own project."""
    if not path or path.startswith("<frozen"):
        return True
    parts = Path(path).parts
    if any(name in parts for name in LIBRARIES):
        return True
    return any(Path(path).is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def check_fault(error: BaseException) -> None:
    """Raise ``error`` again where it is no fault of the person's code: Ctrl-C, or an error that is told already."""
    if isinstance(error, KeyboardInterrupt | UsageError | WorkError):
        raise error


@contextlib.contextmanager
def one_line(name: str, what: str, owner: object = None, field: str = "network") -> Iterator[None]:
    """Turn whatever the person's code raises meanwhile into a UsageError: "network: 'net:Net' cannot be built: …".

    ``owner`` is the class or function at fault, whose place is told where the error has none.
    """
    try:
        yield
    except BaseException as error:
        check_fault(error)
        raise UsageError(field, name, f"{what}: {describe(error, owner)}") from error


def place(error: BaseException) -> str:
    """Return ``net.py, line 12``: where in the person's code ``error`` was raised or passed through; "" if nowhere."""
    if isinstance(error, SyntaxError) and error.filename and not is_library(error.filename):
        return f"{_name(error.filename)}, line {error.lineno}"
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _is_theirs(frame):
            found = f"{_name(frame.f_code.co_filename)}, line {line}"
    return found


def place_running(frame: FrameType | None) -> str:
    """Return ``net.py, line 12``: where in the person's code a thread is at this moment; "" where in none.

    The script that started the program is none of it.
    """
    while frame is not None:
        if _is_theirs(frame) and frame.f_globals.get("__name__") != "__main__":
            return f"{_name(frame.f_code.co_filename)}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def place_of(owner: object) -> str:
    """Return ``net.py, line 3``: where a class or function of the person is defined; "" for all others."""
    if str(getattr(owner, "__module__", PACKAGE)).partition(".")[0] == PACKAGE:
        return ""
    try:
        code = getattr(owner, "__code__", None)
        if isinstance(code, CodeType):
            path, line = code.co_filename, code.co_firstlineno
        else:
            kind = owner if isinstance(owner, type) else type(owner)
            path, line = inspect.getsourcefile(kind), inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return ""
    return f"{_name(path)}, line {line}" if path is not None and not is_library(path) else ""


def describe(error: BaseException, owner: object = None) -> str:
    """Return an error in one line: its class, its first line, and the place in the person's code where there is one.

    ``owner`` as for :func:`one_line`.
    """
    words = first_line(error)
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    where = place(error) or place_of(owner)
    return f"{text} ({where})" if where else text


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, without the full stop at its end; control characters spelled out."""
    try:
        lines = str(error.msg if isinstance(error, SyntaxError) else error).strip().splitlines()
    except Exception:  # an exception class of the person's may fail to say what it is about
        return ""
    return shortened(visible(lines[0])).rstrip(" .;") if lines else ""


def shortened(text: str) -> str:
    """Return a text of at most LONGEST characters: whole sentences where they are half of it, else words and "…"."""
    if len(text) <= LONGEST:
        return text
    cut = text[: LONGEST - 1]
    sentences = cut.rpartition(". ")[0]
    return sentences if len(sentences) > LONGEST // 2 else (cut.rpartition(" ")[0] or cut) + "…"


def _is_theirs(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] != PACKAGE and not is_library(frame.f_code.co_filename)


def _name(path: str) -> str:
    """Return a short name: the path below the stored copy, the file's name, or "notebook cell"."""
    if "ipykernel" in path or path.startswith("<ipython"):
        return "notebook cell"
    before, copied, inside = path.replace("\\", "/").partition(STORED_CODE)
    return inside if copied and before else Path(path).name


@contextlib.contextmanager
def away_from_stdout() -> Iterator[None]:
    """Send what the person's code prints to stderr, because stdout carries data; `input()` meets the end of a file."""
    narrated = _Narration()
    with contextlib.redirect_stdout(narrated), _without_stdin(), _threads_in_a_line():
        try:
            yield
        finally:
            narrated.end_line()


class _Narration(io.TextIOBase):
    """Hands on to stderr, and ends the line that was begun: the question of `input()` has no end of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._is_open = False

    def write(self, text: str) -> int:
        if text:
            self._is_open = not text.endswith("\n")
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def end_line(self) -> None:
        if self._is_open:
            self.write("\n")


def prints_dropped() -> contextlib.AbstractContextManager[object]:
    """Drop what is printed on stdout meanwhile: what a network says in runs that are only timed. stderr is left."""
    return contextlib.redirect_stdout(io.StringIO())


@contextlib.contextmanager
def _threads_in_a_line() -> Iterator[None]:
    """Tell an error that ends a thread of the person's code in one line on stderr."""

    def write_line(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            sys.stderr.write(f"in a thread: {describe(ended.exc_value)}\n")

    before, threading.excepthook = threading.excepthook, write_line
    try:
        yield
    finally:
        threading.excepthook = before


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Drop what the person's code prints, in runs of its network that nobody asked for."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere), _without_stdin():
        yield


@contextlib.contextmanager
def _without_stdin() -> Iterator[None]:
    before, sys.stdin = sys.stdin, io.StringIO()
    try:
        yield
    finally:
        sys.stdin = before

"""Say where in a person's own code an error came up: the file and line of the last frame that is theirs. No torch."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import FrameType

PACKAGE = __name__.partition(".")[0]
LIBRARIES = ("site-packages", "dist-packages")
STORED_CODE = "network/code/"
"""Where a run keeps the copy of a person's files (stored.py)."""


def is_library(path: str | None) -> bool:
    """Return whether a file belongs to Python or to an installed package, not to the person's own project."""
    if not path or path.startswith("<frozen"):
        return True
    parts = Path(path).parts
    if any(name in parts for name in LIBRARIES):
        return True
    return any(Path(path).is_relative_to(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def place(error: BaseException) -> str:
    """Return ``net.py, line 12``: where in the person's code ``error`` was raised or passed through; "" if nowhere."""
    found = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _is_theirs(frame):
            found = f"{_name(frame.f_code.co_filename)}, line {line}"
    return found


def describe(error: BaseException) -> str:
    """Return an error in one line: its class, its first line, and the place in the person's code where there is one."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
    where = place(error)
    return f"{text} ({where})" if where else text


def _is_theirs(frame: FrameType) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] != PACKAGE and not is_library(frame.f_code.co_filename)


def _name(path: str) -> str:
    """Return a short name: the path below the stored copy, the file's name, or "notebook cell"."""
    if "ipykernel" in path or path.startswith("<ipython"):
        return "notebook cell"
    before, copied, inside = path.replace("\\", "/").partition(STORED_CODE)
    return inside if copied and before else Path(path).name

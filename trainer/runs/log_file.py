"""train.log, the file of a run that takes what its process prints."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...errors import WorkError
from ..common.files import open_regular

LOG = "train.log"


def open_log(path: Path) -> int:
    """Return the descriptor of the log of the run ``path``, for appending. Raises OSError."""
    return open_regular(path / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def is_log(path: Path) -> bool:
    """Return whether this process's stderr already goes to the log of the run ``path``."""
    try:
        return os.path.samestat(os.fstat(2), os.stat(path / LOG))
    except OSError:
        return False


def redirect_output(path: Path) -> None:
    """Send this process's stdout and stderr to the log of the run ``path``: the next run of a queue has its own log.

    Raises WorkError when the log cannot be opened.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        log = open_log(path)
    except OSError as error:
        raise WorkError(f"run {path.name}: {LOG} cannot be opened: {error.strerror}") from None
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)

"""Narration of the commands: lines on stderr, which a terminal that is gone does not take and nobody misses."""

from __future__ import annotations

import contextlib
import sys


def log(line: str) -> None:
    """Tell one line, without what would move the cursor or change colours."""
    from ..trainer.common.text_safe import clean

    with contextlib.suppress(OSError):
        print(clean(line), file=sys.stderr, flush=True)

"""Log lines of the commands on stderr; they are dropped where the terminal is gone."""

from __future__ import annotations

import contextlib
import sys


def log(line: str) -> None:
    """Tell one line, without what would move the cursor or change colours."""
    from ..trainer.common.text_safe import clean

    with contextlib.suppress(OSError):
        print(clean(line), file=sys.stderr, flush=True)

"""How long a test waits for what must happen, before it fails.

It costs nothing where the thing happens. On a machine with twenty other busy processes the first screen of the app, or a
training in a process of its own, may take minutes.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 300.0


async def eventually(condition: Callable[[], bool]) -> None:
    """Let other tasks and threads work until ``condition()`` is true, where no app runs any more."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        await asyncio.sleep(0.01)

"""Memory that does not suffice: how it shows, and that it is given back before another attempt.

A step that ran out of memory may have moved half of the weights, or the statistics of half of the batch norms. So it is
never mended where it broke off: the run goes back to its newest checkpoint, or to its beginning, with the batch in twice as
many parts (session.py).
"""

from __future__ import annotations

import gc

from ...errors import WorkError

_PHRASES = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory was lacking, on whatever device: torch has no type of its own for the
    CPU's.
    """
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError) or isinstance(error, WorkError):
        return False
    text = str(error).lower()
    return any(phrase in text for phrase in _PHRASES)


def release() -> None:
    """Give back what nothing refers to any more: cycles of objects, and the blocks that torch keeps for later."""
    import torch  # late: whatever keeps torch from being imported must still be told as what it is

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()

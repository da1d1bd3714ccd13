"""Python's search for garbage, put off while a network is taken apart.

A run makes many objects that live as long as it. Each search goes through all of them, and now and then through all that
torch has loaded, and finds nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def search_put_off() -> Iterator[None]:
    """Search for no garbage meanwhile; afterwards everything is as it was."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

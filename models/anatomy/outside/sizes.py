"""The image sizes with which a network runs, found by trying: all of them, or as many as there is time for."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

LARGEST = 512
SECONDS = 2.0
"""Longest search. Edges are looked for a little longer, by halving."""
COMMON = (28, 32, 64, 96, 128, 160, 192, 224, 256, 299, 384, 512)
MOST_HALVINGS = 9
SMALLEST_IMAGE = 8


def working_sizes(runs: Callable[[int], bool], around: int) -> list[tuple[int, int]]:
    """Return the sides of squares that run, as ranges in order; () where none is found.

    Common sizes are tried first, then the others, those next to ``around`` first. Where time does not suffice for all
    of them, what lies between two neighbours that were tried is taken to be like the one or the other.
    """
    known: dict[int, bool] = {}

    def tried(size: int) -> bool:
        if size not in known:
            known[size] = runs(size)
        return known[size]

    end = time.monotonic() + SECONDS
    for size in sorted(range(1, LARGEST + 1), key=lambda size: (size not in COMMON, abs(size - around))):
        if time.monotonic() > end:
            break
        tried(size)
    tried(LARGEST)
    for low, high in list(pairwise([0, *sorted(known)])):
        if known.get(low, False) != known[high]:
            _halve(tried, low, high, known[high])
    return _ranges(known)


def _halve(tried: Callable[[int], bool], low: int, high: int, answer_above: bool) -> None:
    """Try sizes between two that differ until they are neighbours."""
    for _ in range(MOST_HALVINGS):
        if high - low <= 1:
            return
        middle = (low + high) // 2
        low, high = (low, middle) if tried(middle) == answer_above else (middle, high)


def _ranges(known: dict[int, bool]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    open_range = False
    for size in sorted(known):
        if known[size] and open_range:
            found[-1] = (found[-1][0], size)
        elif known[size]:
            found.append((size, size))
        open_range = known[size]
    return found


def words(ranges: list[tuple[int, int]], around: int) -> str:
    """Return which squares work: "the smallest square that works is 32", "squares of 40 to 43 pixels work"."""
    if not ranges or ranges[-1][1] < SMALLEST_IMAGE:
        return ""  # maps of one pixel fit together whatever they are
    if len(ranges) == 1 and ranges[0][1] == LARGEST:
        return f"the smallest square that works is {ranges[0][0]}"
    step = ranges[0][0]
    if len(ranges) > 2 and all(low == high == step * number for number, (low, high) in enumerate(ranges, 1)):
        below, above = around // step * step, (around // step + 1) * step
        return f"squares whose side is a multiple of {step} work: {f'{below} or ' if below else ''}{above}"
    low, high = min(ranges, key=lambda pair: max(pair[0] - around, around - pair[1]))
    if high == LARGEST:
        return f"squares from {low} pixels work"
    return f"squares of {low} pixels work" if low == high else f"squares of {low} to {high} pixels work"

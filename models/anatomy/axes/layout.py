"""What the axes of a tensor mean, in words and numbers: batch, channels, rows, columns, frames, tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from .factors import PLACES, Axes, labels, size_of

T = TypeVar("T")
WORDS = {
    "b": "batch",
    "c": "channels",
    "h": "rows",
    "w": "columns",
    "t": "frames",
    "n": "tokens",
    "k": "keys",
    "?": "?",
}


@dataclass(frozen=True)
class AxisLayout:
    """What a tensor's axes mean. ``axes`` has a word for each: batch, channels, rows, columns, frames, tokens, windows
    (joined with the batch), keys (places that attention compares with), values (channels and places in one, or all places
    of one channel), one (a single place), "?".

    ``rows`` and ``columns`` are those of the whole map, wherever its places stand, None where there is none or it is
    unknown. ``extra``: tokens beside the grid (a class token). ``windows``: parts of the map that stand in the batch axis.
    ``apart``: how many places lie from one place of a window to the next, 1 for neighbours.
    """

    axes: tuple[str, ...]
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    channels: int | None = None
    extra: int = 0
    windows: int = 1
    apart: int = 1

    def mixes_places(self, axis: int) -> bool:
        """Return whether weights along an axis mix the places of each channel."""
        others = [word for place, word in enumerate(self.axes) if place != axis % len(self.axes)]
        return self.axes[axis] in ("tokens", "rows", "columns", "frames") and bool({"channels", "?"} & set(others))


def batch_axis(shape: tuple[int, ...], layout: AxisLayout | None) -> int | None:
    """Return which axis of a tensor counts images, None where none does.

    What is made of weights alone (no layout) has none, but for a first axis of one. Windows in front of their places
    have none of their own: they are parts of one image. An axis of one behind others (queries, keys and values in front,
    or a sequence) is that of the batch.
    """
    if layout is None or len(layout.axes) != len(shape):
        return 0 if shape[:1] == (1,) else None
    return next((layout.axes.index(word) for word in ("batch", "one") if word in layout.axes), None)


def without_axis(values: tuple[T, ...], axis: int | None) -> tuple[T, ...]:
    """Return a shape, or what stands for each of its axes, without one of them."""
    return values if axis is None else (*values[:axis], *values[axis + 1 :])


@lru_cache(maxsize=4096)
def summary(axes: Axes) -> AxisLayout:
    """Return what axes mean, in words and numbers."""
    words: list[str] = []
    counts = dict.fromkeys("hwtc", 1)
    seen: set[str] = set()
    extra, windows = 0, 1
    for place, axis in enumerate(axes):
        found = labels(axis)
        seen |= found
        for label, size, _, grid in axis:
            for inner, length in [part[:2] for part in grid[1]] if grid else [(label, size)]:
                seen.add(inner)
                if inner in counts:
                    counts[inner] *= length
            extra += grid[0] if grid else 0
        if place == 0 and found & PLACES and len(axes) > 2 and _are_windows(found, axes[1:]):
            windows = math.prod(factor[1] for factor in axis if factor[0] in PLACES)
            words.append("windows")
        else:
            words.append(_word(found, place))
    alone = words[:1] == ["batch"] and set(words[1:-1]) <= {"one"}
    if len(words) > 1 and alone and words[-1] in ("tokens", "rows", "columns"):
        words[-1] = "values"  # nothing else is there to be the channels
    is_map = bool({"h", "w"} & seen) and "?" not in seen
    bare = any(factor[0] == "n" and not factor[3] for axis in axes for factor in axis)
    return AxisLayout(
        tuple(words),
        counts["h"] if is_map and not bare and "h" in seen else None,
        counts["w"] if is_map and not bare and "w" in seen else None,
        counts["t"] if "t" in seen and "?" not in seen else None,
        counts["c"] if "c" in seen and "?" not in seen else None,
        extra,
        windows,
        _apart(axes) if windows > 1 else 1,
    )


def _are_windows(found: set[str], others: Axes) -> bool:
    """Return whether the places in the batch axis are parts of a map: not the rows of an image as the steps of a sequence,
    each with its columns as values, and not all places in front of the axis of the batch.
    """
    if any("b" in labels(axis) for axis in others) or (len(others) == 2 and not others[0]):
        return False
    inside = set().union(*map(labels, others))
    return bool("b" in found or inside & (found | {"c", "?"}))


def _apart(axes: Axes) -> int:
    """Return how many places of the map lie from one place inside a window to the next.

    After a merging of patches neighbours of the map are already two apart, wherever they stand.
    """
    inside: dict[str, int] = {}
    nearest: dict[str, int] = {}
    for place, axis in enumerate(axes):
        for label, size, apart, _ in axis:
            if label in PLACES and size > 1:
                nearest[label] = min(apart, nearest.get(label, apart))
                if place:
                    inside[label] = min(apart, inside.get(label, apart))
    return min((apart // nearest[label] for label, apart in inside.items()), default=1)


def _word(found: set[str], place: int) -> str:
    if not found:
        return "batch" if place == 0 else "one"
    if len(found) == 1:
        return WORDS[next(iter(found))]
    if "?" in found:
        return "?"
    if found <= PLACES:
        return "tokens"
    return "values" if found <= PLACES | {"c"} else "?"


def shuffles(before: Axes | None, after: Axes | None) -> bool:
    """Return whether the channels stand in another order afterwards, and everything else as it was."""
    if before is None or after is None or len(before) != len(after):
        return False
    before, after = (tuple(tuple(f for f in axis if f[1] != 1) for axis in axes) for axes in (before, after))
    moved = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    return len(moved) == 1 and all(
        labels(axes[moved[0]]) == {"c"} and size_of(axes[moved[0]]) == size_of(before[moved[0]])
        for axes in (before, after)
    )

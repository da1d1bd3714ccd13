"""Which images are held out: stratified, the same on every machine, decided by keys that the caller chooses.

Only the standard library is used. `random.Random(seed).random()` is the one stream of Python that is promised to stay
as it is from version to version, so a split is the same for everybody.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Any

from ...errors import UsageError

TEST_SHARE = 0.2

BIG = 50_000
BIG_VALIDATION = 5_000
"""What is held out of a training set of at least ``BIG`` images where nothing else is asked; of others a tenth."""


def counts_of(labels: Sequence[int], classes: int) -> list[int]:
    """Return how many of ``labels`` are of class 0, 1, … ``classes`` - 1."""
    counts = [0] * classes
    for label in labels:
        counts[label] += 1
    return counts


def shares(counts: Sequence[int], held: int) -> list[int]:
    """Return how many of each class are held out when ``held`` images are: in proportion, rounded by largest remainder.

    Every class keeps at least one image, so the sum may be smaller than ``held``. One of three or more images gives one,
    as long as others give several: accuracy on a part without a class says nothing of it.
    """
    total = sum(counts)
    if total == 0:
        return [0] * len(counts)
    room = [max(0, count - 1) for count in counts]
    wanted = [held * count / total for count in counts]
    given = [min(limit, int(want)) for limit, want in zip(room, wanted, strict=True)]
    by_remainder = sorted(range(len(counts)), key=lambda label: (int(wanted[label]) - wanted[label], label))
    while sum(given) < held and given != room:
        for label in by_remainder:
            if sum(given) < held and given[label] < room[label]:
                given[label] += 1
    for label, limit in enumerate(room):
        largest = max(range(len(given)), key=given.__getitem__)
        if given[label] == 0 and limit >= 2 and given[largest] >= 2:
            given[largest] -= 1
            given[label] = 1
    return given


def shares_for_test(counts: Sequence[int]) -> list[int]:
    """Return how many of each class are the test split of a set that has none: a fifth, at least one, and never all."""
    return [min(max(1, round(TEST_SHARE * count)), max(0, count - 1)) for count in counts]


def seeded_keys(number: int, seed: int) -> list[float]:
    """Return ``number`` random keys, the same for the same seed on every machine and Python version."""
    generator = random.Random(seed)
    return [generator.random() for _ in range(number)]


def name_keys(names: Sequence[str]) -> list[bytes]:
    """Return a key for every name that depends on the name alone, so that an image that is added moves hardly any other."""
    return [hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names]


def hold_out(labels: Sequence[int], held: Sequence[int], keys: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Split the rows 0 … N - 1 into (kept, held out), both ascending: of class c the ``held[c]`` rows of smallest key."""
    rows_of: list[list[int]] = [[] for _ in held]
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    out: set[int] = set()
    for rows, number in zip(rows_of, held, strict=True):
        out.update(sorted(rows, key=keys.__getitem__)[:number])
    return [row for row in range(len(labels)) if row not in out], sorted(out)


def validation_size(validation: float | None, training: int) -> int:
    """Return how many of ``training`` images are held out: see ``validation`` of `load`. UsageError when it is nonsense."""
    if validation is None:
        return BIG_VALIDATION if training >= BIG else max(1, round(training / 10))
    if not math.isfinite(validation) or validation < 0 or (validation >= 1 and validation != int(validation)):
        raise UsageError("validation", validation, "must be a share below 1, a number of images, or 0 for none")
    if validation >= 1:
        return int(validation)
    return max(1, round(validation * training)) if validation else 0

"""How often a run writes checkpoints and how many it keeps, as run.json has it. Plain values, no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest

MOST_KEPT = 10_000


@dataclass(frozen=True)
class Keeping:
    """Within an epoch a checkpoint is due after ``minutes``; ``keep`` of those made after an epoch stay, the newest ones."""

    minutes: float = 5.0
    keep: int = 0

    def to_dict(self) -> dict[str, object]:
        """JSON-able values in the order of the fields."""
        return dataclasses.asdict(self)


KEYS = tuple(field.name for field in dataclasses.fields(Keeping))


def from_dict(values: Mapping[str, object], origin: str = "checkpoints") -> Keeping:
    """The values that ``values`` holds, the usual ones for the rest. UsageError that names ``origin`` and the key."""
    return Keeping(**{key: check(key, value, origin) for key, value in values.items()})


def check(key: str, value: Any, origin: str = "") -> Any:
    """``value`` when the field ``key`` takes it; UsageError otherwise, naming the option where there is no ``origin``."""
    if key not in KEYS:
        raise UsageError(origin, key, f"is no value of [checkpoints]; {nearest(key, KEYS)}")
    name = f"{origin}: {key}" if origin else {"minutes": "checkpoint-minutes"}.get(key, key)
    proper = isinstance(value, int | float) and not isinstance(value, bool)
    if key == "minutes" and not (proper and math.isfinite(value) and value >= 0):
        raise UsageError(name, value, "must be a number of minutes, at least 0")
    if key == "keep" and not (proper and isinstance(value, int) and 0 <= value <= MOST_KEPT):
        raise UsageError(name, value, f"must be a whole number from 0 to {MOST_KEPT:,}")
    return value

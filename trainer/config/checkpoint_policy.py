"""How often a run writes checkpoints and how many it keeps, as run.json has it. Plain values, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest
from ..common.value_checks import Rule
from .setting import RUN, setting, settings_of

MOST_KEPT = 10_000


@dataclass(frozen=True)
class CheckpointPolicy:
    """The checkpoint policy of a run."""

    minutes: float = setting(
        5.0,
        "Minutes between two checkpoints within an epoch.",
        RUN,
        Rule(low=0, usual=(0.01, 1440)),
        unit="minutes",
        flag="checkpoint-minutes",
        title="checkpoint minutes",
        rare=True,
    )
    keep: int = setting(
        0,
        "How many checkpoints from the ends of epochs are kept, the newest ones.",
        RUN,
        Rule(low=0, high=MOST_KEPT),
        title="checkpoints kept",
        rare=True,
    )

    def to_dict(self) -> dict[str, object]:
        """Return JSON-able values in the order of the fields."""
        return dataclasses.asdict(self)


SETTINGS = settings_of(CheckpointPolicy)
KEYS = tuple(SETTINGS)


def from_dict(values: Mapping[str, object], origin: str = "checkpoints") -> CheckpointPolicy:
    """Return the values that ``values`` holds, the usual ones for the rest. UsageError that names ``origin`` and the
    key.
    """
    return CheckpointPolicy(**{key: check(key, value, origin) for key, value in values.items()})


def check(key: str, value: Any, origin: str = "") -> Any:
    """Return ``value`` when the field ``key`` takes it; else UsageError, naming the option without an ``origin``."""
    if key not in SETTINGS:
        raise UsageError(origin, key, f"is not a value of [checkpoints]; {nearest(key, KEYS)}")
    return SETTINGS[key].check(value, origin)

"""One setting of a training as text: reading what was typed, what is wrong with it, the values beside it. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import UsageError
from ...trainer.config import checkpoint_policy, recipe
from ...trainer.config.checkpoint_policy import CheckpointPolicy
from ...trainer.config.request import place_of
from ...trainer.config.setting import Setting
from ...trainer.data import dataset_info

AUTO = "auto"
USUAL = {"seed": "0"} | {key: f"{getattr(CheckpointPolicy, key):g}" for key in checkpoint_policy.KEYS}
"""What stands in the form where nothing is said, if it is not "auto"."""


def definition(key: str) -> Setting:
    """Return the definition of a setting."""
    return place_of(key)[1]


def usual(key: str) -> str:
    """Return the text of a setting outside the recipe of which nothing is said."""
    return USUAL.get(key, AUTO)


def wrong(key: str, text: str) -> str:
    """Return what is wrong with a setting outside the recipe; "" where nothing is."""
    if text == AUTO and usual(key) == AUTO:
        return ""
    if key == "device":
        kind, _, number = text.partition(":")
        right = kind in ("cpu", "cuda", "mps") and (not number or number.isdecimal())
        return "" if right else "there are auto, cpu, cuda, cuda:NUMBER and mps"
    try:
        value = definition(key).check(definition(key).parse(text))
    except UsageError as error:
        return error.hint
    if key == "validation" and value >= 1 and value != int(value):
        return "a share below 1, a number of images, or 0 for none"
    return ""


def value_text(value: object) -> str:
    """Return a value of a recipe as it is shown and typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def choices(key: str, devices: Sequence[str] = ()) -> tuple[str, ...]:
    """Return what a setting can be, where that is a handful of words; else ()."""
    if key == "dataset":
        return dataset_info.names()
    if key == "device":
        return (AUTO, "cpu", *devices)
    if key == "networks" or definition(key).is_list:
        return ()
    defined = definition(key)
    known = ("yes", "no") if defined.kind is bool else defined.rule.choices
    if not known or key in recipe.FIELDS or AUTO in known:
        return known
    return (AUTO, *known)


def stepped(key: str, value: str, way: int, devices: Sequence[str] = ()) -> str | None:
    """Return the value one step up or down: the next choice, or the next round number. None where there is no such step."""
    known = choices(key, devices)
    if known:
        at = known.index(value) if value in known else (-1 if way > 0 else 0)
        return known[(at + way) % len(known)]
    if value == AUTO and key in ("image_size", "threads"):
        return {"image_size": "32", "threads": "1"}[key] if way > 0 else None
    if key in ("networks", "dataset", "validation"):
        return None
    kind = definition(key).kind
    number = definition(key).parse(value)
    if not isinstance(number, int | float) or not abs(number) < 2**63:  # nan as well
        return None
    if kind is int and key in ("batch_size", "image_size"):
        after = max(1, int(number * 2 if way > 0 else number // 2))
    elif kind is int:
        after = int(number) + way
    elif kind is float:
        after = round_number(float(number), way)
    else:
        return None
    try:
        definition(key).check(after)
    except UsageError:
        return None
    return value_text(after)


def round_number(value: float, way: int) -> float:
    """Return the next of … 0.1, 0.2, 0.5, 1, 2, 5 … in a direction; from 0 up it is 0.1, and below 1e-6 down it is 0."""
    if value <= 0:
        return 0.1 if way > 0 else 0.0
    power = math.floor(math.log10(value) + 1e-9)
    places = [float(f"{digit}e{exponent}") for exponent in (power - 1, power, power + 1) for digit in (1, 2, 5)]
    further = [x for x in places if x > value * 1.0001] if way > 0 else [x for x in places if x < value * 0.9999]
    found = min(further) if way > 0 else max(further)
    return found if found >= 1e-6 else 0.0

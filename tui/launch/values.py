"""One setting of a training as text: reading what was typed, what is wrong with it, the values beside it. No torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from ...errors import UsageError
from ...models.catalogue import registry
from ...trainer.common import text_safe
from ...trainer.common.value_checks import is_index, short_number
from ...trainer.config import checkpoint_policy, recipe
from ...trainer.config.checkpoint_policy import CheckpointPolicy
from ...trainer.config.request import all_settings, place_of
from ...trainer.config.setting import Setting
from ...trainer.data import dataset_info, split

AUTO = "auto"
LONGEST_GIVEN = 40
ASSIGNED = re.compile(r"--set ([a-z_]+)=([^\s,;]+)")
OPTION = re.compile(r"--([a-z][a-z-]*[a-z])")
USUAL = {"seed": "0"} | {key: f"{getattr(CheckpointPolicy, key):g}" for key in checkpoint_policy.KEYS}
"""What stands in the form where nothing is said, if it is not "auto"."""


def definition(key: str) -> Setting:
    """Return the definition of a setting."""
    return place_of(key)[1]


def usual(key: str) -> str:
    """Return the text of a setting outside the recipe of which nothing is said."""
    return USUAL.get(key, AUTO)


def key_of(name: str) -> str:
    """Return the key of the setting that an error names: an option, or a key of a file."""
    name = name.rpartition(": ")[2]
    if name == "network":
        return "networks"
    return next((key for key, (_, defined) in all_settings().items() if name in (defined.name, key)), name)


def told(key: str, error: UsageError) -> str:
    """Return what is wrong with a setting in the words of the form: with what was given, and yes and no for a switch."""
    if error.given is None:
        return error.hint
    kind = all_settings()[key][1].kind if key in all_settings() else str
    hint = "must be yes or no" if kind is bool and not isinstance(error.given, bool) else error.hint
    given = value_text(error.given) if isinstance(error.given, list | tuple | int | float) else repr(error.given)
    return f"{text_safe.shorten(given, LONGEST_GIVEN)} {hint}"


def in_app(words: str) -> str:
    """Return what the command says in the words of the app: it has a list of all networks, and settings for options."""
    words = words.replace(registry.NAMES_THEM_ALL, "the list of architectures has them all")
    words = ASSIGNED.sub(lambda found: f"{_words_of(found[1], found[1])} {found[2]}", words)
    return OPTION.sub(lambda found: _words_of(found[1], found[0]), words)


def _words_of(name: str, otherwise: str) -> str:
    """Return what the form calls a setting."""
    defined = all_settings().get(key_of(name))
    return defined[1].words if defined is not None else otherwise


def wrong(key: str, text: str) -> str:
    """Return what is wrong with a setting outside the recipe; "" where nothing is."""
    if text == AUTO and usual(key) == AUTO:
        return ""
    if key == "device":
        kind, _, number = text.partition(":")
        right = kind in ("cpu", "cuda", "mps") and (not number or is_index(number))
        return "" if right else f"{text!r} is not a device; there are auto, cpu, cuda, cuda:NUMBER and mps"
    try:
        value = definition(key).check(definition(key).parse(text))
        if key == "validation":
            split.validation_size(value, 1)
    except UsageError as error:
        return told(key, error)
    return ""


def value_text(value: object) -> str:
    """Return a value of a recipe as it is shown and typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(value_text, value)) or "none"
    return short_number(value) if isinstance(value, float) else str(value)


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

"""One setting of a training as text: reading what was typed, what is wrong with it, the values beside it. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import UsageError, nearest
from ...trainer.config import engine_config, presets, recipe
from ...trainer.config.recipe import Recipe
from ...trainer.data import dataset_info

AUTO = "auto"
STEMS = (AUTO, "small", "imagenet")
SWITCHES = ("pretrained", "channels_last", "compile")


def parse(key: str, text: str) -> object:
    """What is typed for a field of the recipe in the type of that field, as far as it can be read so."""
    default = getattr(Recipe, key)
    if isinstance(default, bool):
        return {"yes": True, "true": True, "no": False, "false": False}.get(text.lower(), text)
    if isinstance(default, tuple) or (recipe.RULES[key].or_numbers and "," in text):
        if text.lower() == "none":
            return []
        return [_number_or_text(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    return _number_or_text(text)


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def wrong(key: str, text: str) -> str:
    """What is wrong with a setting outside the recipe; "" where nothing is."""
    if key != "device" and (known := choices(key)):
        return "" if text in known else nearest(text, known)
    if key == "device":
        kind, _, number = text.partition(":")
        right = kind in (AUTO, "cpu", "cuda", "mps") and (not number or number.isdecimal())
        return "" if right else "there are auto, cpu, cuda, cuda:NUMBER and mps"
    value = _number_or_text(text)
    if key == "validation":
        number = value if isinstance(value, int | float) and math.isfinite(value) else -1
        right = 0 <= number < 1 or (number >= 1 and number == int(number))
        return "" if right or text == AUTO else "a share below 1, a number of pictures, or 0 for none"
    least = 0 if key == "seed" else 1
    right = isinstance(value, int) and least <= value < 2**63
    return "" if right or (text == AUTO and key != "seed") else f"a whole number, at least {least}"


def value_text(value: object) -> str:
    """A value of a recipe as it is shown and typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(map(value_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def toml(value: object) -> str:
    """A value as TOML has it, for ``--set``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def choices(key: str, devices: Sequence[str] = ()) -> tuple[str, ...]:
    """What a setting can be, where that is a handful of words; else ()."""
    if key == "dataset":
        return dataset_info.names()
    if key == "stem":
        return STEMS
    if key == "device":
        return (AUTO, "cpu", *devices)
    if key == "precision":
        return (AUTO, *engine_config.PRECISIONS)
    if key == "preset":
        return (AUTO, *presets.PRESETS)
    if key in SWITCHES:
        return (AUTO, "yes", "no")
    if key in recipe.FIELDS:
        default = getattr(Recipe, key)
        if isinstance(default, bool):
            return ("yes", "no")
        if isinstance(default, str):
            return recipe.RULES[key].choices
    return ()


def stepped(key: str, value: str, way: int, devices: Sequence[str] = ()) -> str | None:
    """The value one step up or down: the next choice, or the next round number. None where there is no such step."""
    known = choices(key, devices)
    if known:
        at = known.index(value) if value in known else (-1 if way > 0 else 0)
        return known[(at + way) % len(known)]
    if value == AUTO and key in ("image_size", "threads"):
        return {"image_size": "32", "threads": "1"}[key] if way > 0 else None
    number = _number_or_text(value)
    if isinstance(number, str) or key in ("networks", "validation"):
        return None
    kind = type(getattr(Recipe, key, 0))
    if kind is int and key in ("batch_size", "image_size"):
        after = max(1, int(number * 2 if way > 0 else number // 2))
    elif kind is int:
        after = int(number) + way
    elif kind is float:
        after = round_number(float(number), way)
    else:
        return None
    try:
        if key in recipe.FIELDS:
            recipe.check(key, after)
    except UsageError:
        return None
    return value_text(after) if key in recipe.FIELDS or after >= (0 if key == "seed" else 1) else None


def round_number(value: float, way: int) -> float:
    """The next of … 0.1, 0.2, 0.5, 1, 2, 5 … in a direction; from 0 up it is 0.1, and below 1e-6 down it is 0."""
    if value <= 0:
        return 0.1 if way > 0 else 0.0
    power = math.floor(math.log10(value) + 1e-9)
    places = [float(f"{digit}e{exponent}") for exponent in (power - 1, power, power + 1) for digit in (1, 2, 5)]
    further = [x for x in places if x > value * 1.0001] if way > 0 else [x for x in places if x < value * 0.9999]
    found = min(further) if way > 0 else max(further)
    return found if found >= 1e-6 else 0.0

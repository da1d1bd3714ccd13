"""``--config FILE``: a recipe written by hand as TOML, or the run.json of an earlier run, which repeats it.

By hand:

    network = "resnet18"
    dataset = "cifar10"
    seed = 1
    stem = "small"            # and image_size, validation
    pretrained = true         # or weights, init_from, grow_from

    [recipe]
    lr = 0.1
    epochs = 20

    [engine]
    threads = 2               # and the other keys of engine.CHOICES

    [checkpoints]
    minutes = 5.0             # and keep
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import UsageError, nearest, nearest_or_all
from . import checkpoint_policy, engine_config, weights_source
from .recipe import FIELDS, OF_BACKBONE
from .run_config import OWN_FOLDER
from .weights_source import Wish

TOP = ("network", "dataset", "seed", "stem", "image_size", "validation", "recipe", "engine", "checkpoints")
TOP += tuple(weights_source.BY_FLAG)


@dataclass(frozen=True)
class Wishes:
    """What a file asks for; None where it says nothing. ``complete``: it is a run.json, whose recipe lacks nothing.

    ``stored`` is the folder in which that run keeps a network of a person's own.
    """

    origin: str = ""
    network: str | None = None
    dataset: str | None = None
    seed: int | None = None
    stem: str | None = None
    image_size: int | None = None
    validation: float | None = None
    recipe: Mapping[str, object] = field(default_factory=dict)
    engine: Mapping[str, object] = field(default_factory=dict)
    checkpoints: Mapping[str, object] = field(default_factory=dict)
    start: Wish | None = None
    complete: bool = False
    stored: Path | None = None

    def without_start(self) -> Wishes:
        """The same with weights drawn by chance, and nothing that speaks of weights taken over."""
        recipe = {key: value for key, value in self.recipe.items() if key not in OF_BACKBONE}
        return dataclasses.replace(self, start=None, recipe=recipe)


def read(path: Path | None) -> Wishes:
    """What the file asks for; nothing where there is none. UsageError that names the file and the key."""
    if path is None:
        return Wishes()
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise UsageError("config", str(path), f"cannot be read: {reason}") from None
    if text.lstrip().startswith("{"):
        return _from_run(_json(text, path), path.expanduser())
    try:
        return _by_hand(tomllib.loads(text), path.name)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("config", str(path), f"is not TOML: {error}") from None


def _json(text: str, path: Path) -> dict:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("config", str(path), f"is not JSON: {error}") from None
    if not isinstance(values, dict) or "recipe" not in values:
        raise UsageError("config", str(path), "is no run.json: it has no recipe")
    return values


def _from_run(values: dict, path: Path) -> Wishes:
    origin = path.name
    network, data = _table(values, "network", origin), _table(values, "data", origin)
    return Wishes(
        origin,
        _text(network, "name", origin),
        _text(data, "name", origin),
        _whole(values, "seed", origin),
        _text(network, "stem", origin),
        _whole(network, "image_size", origin),
        _number(data, "held_out", origin),
        _known(_table(values, "recipe", origin), FIELDS),
        _known(_table(values, "engine", origin), engine_config.KEYS),
        _known(_table(values, "checkpoints", origin), checkpoint_policy.KEYS),
        weights_source.wish_of_run(network.get("pretrained")),
        complete=True,
        stored=path.parent / OWN_FOLDER if network.get("own") is not None else None,
    )


def _by_hand(values: dict, origin: str) -> Wishes:
    for key in values:
        if key in FIELDS:
            raise UsageError(origin, key, "belongs into the table [recipe]")
        if key not in TOP:
            raise UsageError(origin, key, f"is no key of a configuration; {nearest_or_all(key, TOP)}")
    chosen = _table(values, "engine", origin)
    for key, value in chosen.items():
        if key not in engine_config.CHOICES:
            raise UsageError(f"{origin}: engine", key, f"cannot be chosen; {nearest(key, engine_config.CHOICES)}")
        engine_config.check(key, value, f"{origin}: engine")
    kept = _table(values, "checkpoints", origin)
    for key, value in kept.items():
        checkpoint_policy.check(key, value, f"{origin}: checkpoints")
    return Wishes(
        origin,
        _text(values, "network", origin),
        _text(values, "dataset", origin),
        _whole(values, "seed", origin),
        _text(values, "stem", origin),
        _whole(values, "image_size", origin),
        _number(values, "validation", origin),
        _table(values, "recipe", origin),
        chosen,
        kept,
        weights_source.wish(values, origin),
    )


def _known(values: dict, keys: tuple[str, ...]) -> dict:
    """A later program may have written further keys: readers leave out what they do not know."""
    return {key: value for key, value in values.items() if key in keys}


def _table(values: dict, key: str, origin: str) -> dict:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{origin}: {key}", value, "must be a table")
    return value


def _text(values: dict, key: str, origin: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{origin}: {key}", value, "must be a text")
    return value


def _whole(values: dict, key: str, origin: str) -> int | None:
    value = values.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise UsageError(f"{origin}: {key}", value, "must be a whole number")
    return value


def _number(values: dict, key: str, origin: str) -> float | None:
    value = values.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise UsageError(f"{origin}: {key}", value, "must be a number")
    return value

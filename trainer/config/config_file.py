"""``--config FILE``: a recipe written by hand as TOML, or the run.json of an earlier run, which repeats it.

By hand:

    network = "resnet18"
    dataset = "cifar10"
    seed = 1
    stem = "small"            # and image_size, validation
    pretrained = true         # or weights, init_from, grow_from; keep_head

    [recipe]
    lr = 0.1
    epochs = 20

    [engine]
    threads = 2               # and the other keys of engine.CHOICES

    [checkpoints]
    minutes = 5.0             # and keep
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import UsageError, nearest, nearest_or_all
from ...settings import read_text, typed_path
from . import checkpoint_policy, engine_config, recipe, weights_source
from .request import (
    CheckpointRequest,
    DataRequest,
    EngineRequest,
    RecipeRequest,
    RunOptions,
    TrainRequest,
    WeightsRequest,
    all_settings,
    place_of,
)
from .run_config import OWN_FOLDER
from .setting import Setting

Log = Callable[[str], None]

TOP = ("network", "dataset", "seed", "stem", "image_size", "validation", "recipe", "engine", "checkpoints")
TOP += tuple(weights_source.SETTINGS)


def read(path: Path | None, log: Log = lambda line: None) -> TrainRequest:
    """Return what the file asks for; nothing where there is none. UsageError that names the file and the key.

    An earlier name of a key is told to ``log``.
    """
    if path is None:
        return TrainRequest()
    file = typed_path(path, "config")
    try:
        text = read_text(file, "config")
    except FileNotFoundError as error:
        raise UsageError("config", str(path), f"cannot be read: {error.strerror}") from None
    if text.lstrip().startswith("{"):
        return _from_run(_json(text, path), file)
    return _by_hand(_toml(text, path), file.name, log)


def _toml(text: str, path: Path) -> dict:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOMLDecodeError
        raise UsageError("config", str(path), f"is not TOML: {error}") from None


def _json(text: str, path: Path) -> dict:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("config", str(path), f"is not JSON: {error}") from None
    if not isinstance(values, dict) or "recipe" not in values:
        raise UsageError("config", str(path), "is not a run.json: it has no recipe")
    return values


def _from_run(values: dict, path: Path) -> TrainRequest:
    """Return the request that repeats a run. Keys that only a later version knows are left out."""
    origin = path.name
    network, data = _table(values, "network", origin), _table(values, "data", origin)
    found = {
        "network": network.get("name"),
        "dataset": data.get("name"),
        "seed": values.get("seed"),
        "stem": network.get("stem"),
        "image_size": network.get("image_size"),
        "validation": data.get("held_out"),
    }
    return _request(
        found,
        origin,
        {key: value for key, value in recipe.renamed(_table(values, "recipe", origin)).items() if key in recipe.FIELDS},
        _checked(
            engine_config.check,
            {key: value for key, value in _table(values, "engine", origin).items() if key in engine_config.KEYS},
            f"{origin}: engine",
        ),
        {key: value for key, value in _table(values, "checkpoints", origin).items() if key in checkpoint_policy.KEYS},
        weights_source.of_run(network.get("pretrained")),
        complete=True,
        stored=path.parent / OWN_FOLDER if network.get("own") is not None else None,
    )


def _by_hand(values: dict, origin: str, log: Log) -> TrainRequest:
    values = _renamed(values, {key: place_of(key)[1] for key in TOP if key in all_settings()}, origin, log)
    for key in values:
        if key in recipe.FIELDS:
            raise UsageError(origin, key, "belongs into the table [recipe]")
        if key not in TOP:
            raise UsageError(origin, key, f"is not a key of a configuration; {nearest_or_all(key, TOP)}")
    chosen = _renamed(_table(values, "engine", origin), engine_config.SETTINGS, origin, log)
    kept = _renamed(_table(values, "checkpoints", origin), checkpoint_policy.SETTINGS, origin, log)
    for key in chosen:
        if key not in engine_config.CHOICES:
            raise UsageError(f"{origin}: engine", key, f"cannot be chosen; {nearest(key, engine_config.CHOICES)}")
    return _request(
        values,
        origin,
        _renamed(_table(values, "recipe", origin), recipe.SETTINGS, origin, log),
        _checked(engine_config.check, chosen, f"{origin}: engine"),
        _checked(checkpoint_policy.check, kept, f"{origin}: checkpoints"),
        weights_source.asked(values, origin),
    )


def _renamed(values: dict, settings: Mapping[str, Setting], origin: str, log: Log) -> dict:
    """Return a table under the present names of its keys; an earlier name is told, and gives way where both are given."""
    found = dict(values)
    for key, defined in settings.items():
        for old in (alias.replace("-", "_") for alias in defined.aliases):
            if old in found:
                log(f"{origin}: {old} is now called {key}")
                found.setdefault(key, found.pop(old))
    return found


def _request(
    values: Mapping[str, object],
    origin: str,
    recipe_values: Mapping[str, object],
    engine_values: Mapping[str, object],
    checkpoints: Mapping[str, object],
    weights: WeightsRequest,
    *,
    complete: bool = False,
    stored: Path | None = None,
) -> TrainRequest:
    name = values.get("network")
    if name is not None and not isinstance(name, str):
        raise UsageError(f"{origin}: network", name, "must be a text")
    keys = ("dataset", "validation", "stem", "image_size", "seed")
    known = {key: place_of(key)[1].check(values[key], origin) for key in keys if values.get(key) is not None}
    seed = known.pop("seed", None)
    return TrainRequest(
        () if name is None else (name,),
        DataRequest(**known),
        RecipeRequest(values=recipe_values),
        weights,
        EngineRequest(values=engine_values),
        CheckpointRequest(checkpoints),
        RunOptions(seed=seed),
        origin,
        complete,
        stored,
    )


def _checked(check: Callable[[str, object, str], object], values: dict, origin: str) -> dict[str, object]:
    return {key: check(key, value, origin) for key, value in values.items()}


def _table(values: dict, key: str, origin: str) -> dict:
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{origin}: {key}", value, "must be a table")
    return value

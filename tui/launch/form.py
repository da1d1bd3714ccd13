"""Everything that can be set before a training starts, as settings with a value, its origin, and what is wrong with it.

Plain data and functions, without Textual and without torch: recipes are resolved by the same code that `train` uses, so
what is shown is what will be trained. Only what was changed is handed to the command.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...models.catalogue import registry
from ...trainer.config import lr_schedule, presets, recipe
from ...trainer.config.recipe import Recipe
from ...trainer.config.weights_source import FINE_TUNING
from ...trainer.data import dataset_info, split
from ...trainer.data.dataset_info import DataInfo
from .values import AUTO, SWITCHES, parse, toml, value_text, wrong

CURVE_POINTS = 120
MOST_NETWORKS = 20
TITLES = {
    "networks": "networks",
    "dataset": "data set",
    "preset": "recipe",
    "pretrained": "pretrained",
    "stem": "layout",
    "image_size": "picture size",
    "validation": "held out",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
    "channels_last": "channels last",
    "compile": "compile",
    "threads": "threads",
}
DEFAULTS = {
    "preset": AUTO,
    "pretrained": AUTO,
    "stem": AUTO,
    "image_size": AUTO,
    "validation": AUTO,
    "seed": "0",
    "device": AUTO,
    "precision": AUTO,
    "channels_last": AUTO,
    "compile": AUTO,
    "threads": AUTO,
}
TOP = ("networks", "dataset", "preset")
"""What stands above the fields of the recipe."""
FIRST = ("epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "augment")
"""Fields of the recipe that most people look at; the others follow in their own order."""

# What a field is good for only together with another one.
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "momentum": ("optimizer", ("sgd", "rmsprop", "muon")),
    "nesterov": ("optimizer", ("sgd", "muon")),
    "betas": ("optimizer", ("adam", "adamw", "lamb", "muon")),
    "eps": ("optimizer", ("adam", "adamw", "lamb", "muon", "rmsprop")),
    "rest_lr": ("optimizer", ("muon",)),
    "rho": ("sam", ("sam", "asam")),
    "milestones": ("schedule", ("step",)),
    "gamma": ("schedule", ("step",)),
    "crop_padding": ("augment", ("crop",)),
    "translate_pixels": ("augment", ("translate",)),
    "cutout_size": ("augment", ("cutout",)),
    "jitter_strength": ("augment", ("jitter",)),
    "randaugment_strength": ("augment", ("randaugment",)),
}


@dataclass(frozen=True)
class Wish:
    """What a training is asked for with: networks, and the run.json of a run that is to be repeated with changes."""

    networks: tuple[str, ...]
    dataset: str = "digits"
    config: Path | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    """The contents of ``config``."""


@dataclass(frozen=True)
class Form:
    """A wish, and the settings that were changed, as text by key."""

    wish: Wish
    changed: Mapping[str, str] = field(default_factory=dict)

    def with_value(self, key: str, text: str) -> Form:
        """The form with another value; an empty text takes the change back."""
        rest = {name: value for name, value in self.changed.items() if name != key}
        return dataclasses.replace(self, changed=rest | {key: text.strip()} if text.strip() else rest)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names as they are written."""
        return tuple(self.changed["networks"].split()) if "networks" in self.changed else self.wish.networks

    @property
    def dataset(self) -> str:
        """The data set as `train` takes it."""
        return self.changed.get("dataset", self.wish.dataset)


@dataclass(frozen=True)
class Setting:
    """One line: ``origin`` says where the value comes from ("you", a note, "default"), ``problem`` what is wrong with it."""

    key: str
    title: str
    value: str
    origin: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Filled:
    """A form as far as it makes sense: recipes by network, the data set, and what is wrong by key."""

    recipes: Mapping[str, Recipe]
    origins: Mapping[str, Mapping[str, str]]
    data: DataInfo | None
    problems: Mapping[str, str]
    training_pictures: int = 0
    """Pictures to train on, as many as are left after a part is held out; 0 where that is not known."""


Folders = Mapping[str, DataInfo | UsageError]
"""What was found in folders of pictures, by the name of the data set."""


def look(dataset: str, stop: Callable[[], bool]) -> DataInfo | UsageError:
    """What a folder of pictures holds, or what is wrong with it. Takes seconds where it is large: not for the screen."""
    try:
        return dataset_info.describe(dataset, Path(), stop=stop)
    except UsageError as error:
        return error


def fill(
    form: Form, data_folder: Path, cache_folder: Path | None = None, folders: Folders = types.MappingProxyType({})
) -> Filled:
    """Check a form and resolve the recipe of each network. Raises nothing: what is wrong stands in the result.

    A folder of pictures that is not in ``folders`` is not known yet: nothing is wrong with it, and ``data`` is None.
    """
    problems: dict[str, str] = {}
    data = _data(form, data_folder, cache_folder, folders, problems)
    variants = _variants(form, problems)
    for key in DEFAULTS:
        if key in form.changed and (problem := wrong(key, form.changed[key])):
            problems[key] = problem
    values = _recipe_values(form, problems)
    pictures = _left_to_train(form, data, problems) if data else 0
    recipes: dict[str, Recipe] = {}
    origins: dict[str, Mapping[str, str]] = {}
    for variant in variants:
        try:
            found = recipe.resolve(form.dataset if data else "digits", _layers(form, variant, values))
            recipes[variant.name] = recipe.fit_to(found, pictures)[0] if pictures else found.recipe
            origins[variant.name] = found.origins
        except UsageError as error:
            problems.setdefault(error.field.rpartition(": ")[2].replace("-", "_"), _hint(error))
    return Filled(recipes, origins, data, problems, pictures)


def _left_to_train(form: Form, data: DataInfo, problems: dict[str, str]) -> int:
    """What is left of the training part after the form's share, or the usual one, is held out; 0 where nothing is."""
    if data.validation:
        return data.train
    text = form.changed.get("validation") or _of_run(form, "validation") or AUTO
    usual = text == AUTO or wrong("validation", text)
    left = data.train - split.validation_size(None if usual else float(text), data.train)
    if left < 1:
        problems["validation"] = f"leaves nothing of {data.train:,} pictures to train on"
    return max(left, 0)


def _layers(form: Form, variant: registry.Variant, values: Mapping[str, object]) -> list[recipe.Layer]:
    repeated = form.wish.run.get("recipe")
    if isinstance(repeated, dict):
        known = {key: value for key, value in repeated.items() if key in recipe.FIELDS}
        layers = [recipe.Layer("the run", known)]
    else:
        layers = [recipe.Layer(f"{variant.family}.md", variant.recipe, general=True)]
        if form.changed.get("pretrained") == "yes":
            layers.append(recipe.Layer("fine-tuning", FINE_TUNING, general=True))
    preset = form.changed.get("preset", AUTO)
    if preset in presets.PRESETS:
        layers.append(presets.layer(preset))
    return [*layers, recipe.Layer("", values)]


def _data(form: Form, folder: Path, cache: Path | None, folders: Folders, problems: dict[str, str]) -> DataInfo | None:
    try:
        if form.dataset == dataset_info.FOLDER:
            raise UsageError("dataset", None, "which folder?")
        if not form.dataset.startswith(dataset_info.FOLDER):
            return dataset_info.describe(form.dataset, folder, cache_folder=cache)
        found = folders.get(form.dataset)
        if isinstance(found, UsageError):
            raise found
        return found
    except UsageError as error:
        problems["dataset"] = _hint(error)
        return None


def _variants(form: Form, problems: dict[str, str]) -> list[registry.Variant]:
    found = []
    for name in form.networks:
        try:
            found.append(registry.find(name))
        except UsageError as error:
            problems["networks"] = f"{name!r} {error.hint}"
    if len(form.networks) > MOST_NETWORKS:
        problems["networks"] = f"at most {MOST_NETWORKS} at once"
    return found


def _recipe_values(form: Form, problems: dict[str, str]) -> dict[str, object]:
    """The changed values of the recipe that are right."""
    values: dict[str, object] = {}
    for key in recipe.FIELDS:
        if key in form.changed:
            try:
                values[key] = recipe.check(key, parse(key, form.changed[key]))
            except UsageError as error:
                problems[key] = error.hint
    return values


def _hint(error: UsageError) -> str:
    return f"{error.given!r} {error.hint}" if error.given is not None else error.hint


def settings(form: Form, filled: Filled, everything: bool = False) -> list[Setting]:
    """The lines of the form; ``everything`` shows fields of the recipe too that have no effect as things stand."""
    top = [key for key in TOP if key != "preset" or not form.wish.run]
    lines = [_plain(form, filled, key) for key in top]
    keys = [*FIRST, *(key for key in recipe.FIELDS if key not in FIRST)]
    lines += [
        _of_recipe(form, filled, key)
        for key in keys
        if everything or key in form.changed or _matters(form, filled, key)
    ]
    return lines + [_plain(form, filled, key) for key in TITLES if key not in TOP]


def _plain(form: Form, filled: Filled, key: str) -> Setting:
    value = {"networks": " ".join(form.networks), "dataset": form.dataset}.get(key) or form.changed.get(key)
    if value is None:
        value = _of_run(form, key) or DEFAULTS[key]
    origin = "you" if key in form.changed else "the run" if form.wish.run else ""
    return Setting(key, TITLES[key], value, origin, filled.problems.get(key, ""))


def _of_run(form: Form, key: str) -> str:
    """The value of a setting in the run that is repeated; "" where there is none."""
    if key in ("preset", "pretrained"):
        return ""
    place = {"seed": None, "stem": "network", "image_size": "network", "validation": "data"}.get(key, "engine")
    part = form.wish.run if place is None else form.wish.run.get(place)
    name = "held_out" if key == "validation" else key
    value = part.get(name) if isinstance(part, Mapping) else None
    return "" if value is None else value_text(value)


def _of_recipe(form: Form, filled: Filled, key: str) -> Setting:
    title = key.replace("_", " ")
    if filled.problems.get(key) and key in form.changed:
        return Setting(key, title, form.changed[key], "you", filled.problems[key])
    values = [value_text(getattr(found, key)) for found in filled.recipes.values()]
    origins = {found.get(key, "default") or "you" for found in filled.origins.values()}
    shown = values[0] if len(set(values)) == 1 else " · ".join(values)
    origin = origins.pop() if len(origins) == 1 else "each its own"
    return Setting(key, title, shown, "" if origin == "default" else origin, filled.problems.get(key, ""))


def _matters(form: Form, filled: Filled, key: str) -> bool:
    """Whether a field has an effect in any of the recipes."""
    if key in recipe.OF_BACKBONE:
        repeated = form.wish.run.get("network")
        begun = isinstance(repeated, Mapping) and bool(repeated.get("pretrained"))
        return begun or form.changed.get("pretrained") == "yes"
    if key not in NEEDS:
        return True
    other, wanted = NEEDS[key]
    for found in filled.recipes.values():
        value = getattr(found, other, None)
        if (set(value) & set(wanted)) if isinstance(value, tuple) else value in wanted:
            return True
    return False


def typed_value(form: Form, setting: Setting) -> str:
    """What stands in the line in which a setting is typed, to begin with: its value, unless networks differ in it."""
    return form.changed.get(setting.key, "" if " · " in setting.value or setting.value == AUTO else setting.value)


def curve(filled: Filled) -> tuple[list[float], int]:
    """The learning rate of the first network's run at evenly spread steps, and the number of steps in all."""
    found = next(iter(filled.recipes.values()), None)
    if found is None or filled.data is None:
        return [], 0
    steps = max(1, filled.training_pictures // found.batch_size)
    return lr_schedule.curve(found, steps, CURVE_POINTS), steps * found.epochs


FLAGS = {
    "dataset": "--dataset",
    "preset": "--recipe",
    "stem": "--stem",
    "image_size": "--image-size",
    "validation": "--validation",
    "seed": "--seed",
    "device": "--device",
    "precision": "--precision",
    "threads": "--threads",
}


def words(form: Form) -> list[str]:
    """The words after `cnn-explorer` that train what the form says."""
    given = ["train", *form.networks]
    if form.wish.config is not None:
        given += ["--config", str(form.wish.config)]
    for key, flag in FLAGS.items():
        value = form.dataset if key == "dataset" and form.wish.config is None else form.changed.get(key)
        if value is not None and value != AUTO:
            given += [flag, value]
    for key in SWITCHES:
        if form.changed.get(key, AUTO) != AUTO:
            given.append(("--" if form.changed[key] == "yes" else "--no-") + key.replace("_", "-"))
    for key in recipe.FIELDS:
        if key in form.changed:
            given += ["--set", f"{key}={toml(parse(key, form.changed[key]))}"]
    return given

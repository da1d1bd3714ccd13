"""Everything that can be set before a training starts, as settings with a value, its origin, and what is wrong with it.

Plain data and functions, without Textual and without torch: recipes are resolved by the same code that `train` uses, so
what is shown is what will be trained. Only what was changed is handed to the command.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from pathlib import Path

from ...errors import UsageError
from ...models.catalogue import registry
from ...trainer.config import (
    checkpoint_policy,
    engine_config,
    lr_schedule,
    presets,
    recipe,
    recipe_layers,
    weights_source,
)
from ...trainer.config.recipe import Recipe
from ...trainer.config.request import TrainRequest, of_groups
from ...trainer.config.setting import GROUPS
from ...trainer.config.weights_source import FINE_TUNING
from ...trainer.data import dataset_info, split
from ...trainer.data.dataset_info import DataInfo
from .form_values import Filled, FormField, LaunchForm
from .form_values import LaunchRequest as LaunchRequest
from .values import AUTO, definition, in_app, key_of, told, usual, value_text, wrong

CURVE_POINTS = 120
MOST_NETWORKS = 20
TOP = ("networks", "dataset", "preset")
"""What stands above the fields of the recipe."""
FIRST = ("epochs", "batch_size", "lr", "optimizer", "schedule", "weight_decay", "augment")
"""Fields of the recipe that most people look at; the others follow in their own order."""
PLAIN = tuple(
    defined.key for defined in of_groups(GROUPS) if defined.in_form and defined.key not in (*recipe.FIELDS, *TOP)
)
"""Settings outside the recipe, below it."""
TITLES = ("networks", *(definition(key).words for key in (*TOP[1:], *recipe.FIELDS, *PLAIN)))
"""What the lines of the form are called, rare ones included."""


Folders = Mapping[str, DataInfo | UsageError]
"""What was found in folders of images, by the name of the data set."""


def look(dataset: str, stop: Callable[[], bool]) -> DataInfo | UsageError:
    """Return what a folder of images holds, or what is wrong with it. Takes seconds where it is large: not for the
    screen.
    """
    try:
        return dataset_info.describe(dataset, Path(), stop=stop)
    except UsageError as error:
        return error


def fill(
    form: LaunchForm, data_folder: Path, cache_folder: Path | None = None, folders: Folders = types.MappingProxyType({})
) -> Filled:
    """Check a form and resolve the recipe of each network. Raises nothing: what is wrong stands in the result.

    A folder of images that is not in ``folders`` is not known yet: nothing is wrong with it, and ``data`` is None.
    """
    problems: dict[str, str] = {}
    data = _data(form, data_folder, cache_folder, folders, problems)
    variants = _variants(form, problems)
    for key in ("preset", *PLAIN):
        if key in form.changed and (problem := wrong(key, form.changed[key])):
            problems[key] = problem
    try:
        _weights(form)
    except UsageError as error:
        key = key_of(error.field)
        problems.setdefault(key, told(key, error))
    values = _recipe_values(form, problems)
    images = _left_to_train(form, data, problems) if data else 0
    recipes: dict[str, Recipe] = {}
    origins: dict[str, Mapping[str, str]] = {}
    for variant in variants:
        try:
            found = recipe_layers.resolve(data.name if data else "digits", _layers(form, variant, values))
            recipes[variant.name] = recipe_layers.fit_to(found, images)[0] if images else found.recipe
            origins[variant.name] = found.origins
            if data is not None:
                recipe_layers.check_classes(found, data.classes)
            if not begins_with_weights(form):
                recipe_layers.check_backbone(found.recipe)
        except UsageError as error:
            key = key_of(error.field)
            problems.setdefault(key, told(key, error))
    return Filled(recipes, origins, data, problems, images, _remarks(form, problems))


def _remarks(form: LaunchForm, problems: Mapping[str, str]) -> dict[str, str]:
    """Return what is unusual about the changed values that are taken."""
    plain = [key for key in form.changed if key not in ("networks", "dataset") and key not in problems]
    found = {key: definition(key).unusual(definition(key).parse(form.changed[key])) for key in plain}
    return {key: words for key, words in found.items() if words}


def _left_to_train(form: LaunchForm, data: DataInfo, problems: dict[str, str]) -> int:
    """Return what is left of the training split after the form's share, or the usual one, is held out; 0 where nothing
    is.
    """
    if data.validation:
        return data.train
    text = form.changed.get("validation") or _of_run(form, "validation") or AUTO
    usual = text == AUTO or wrong("validation", text)
    left = data.train - split.validation_size(None if usual else float(text), data.train)
    if left < 1:
        problems["validation"] = f"leaves nothing of {data.train:,} images to train on"
    return max(left, 0)


def _layers(
    form: LaunchForm, variant: registry.Variant, values: Mapping[str, object]
) -> list[recipe_layers.RecipeLayer]:
    repeated = form.request.run.get("recipe")
    if isinstance(repeated, dict):
        known = {key: value for key, value in recipe.renamed(repeated).items() if key in recipe.FIELDS}
        layers = [recipe_layers.RecipeLayer("the run", known)]
    else:
        layers = [recipe_layers.RecipeLayer(f"{variant.family}.md", variant.recipe, general=True)]
        if weights_of(form).kind not in ("", weights_source.GROWN):
            layers.append(recipe_layers.RecipeLayer("fine-tuning", FINE_TUNING, general=True))
    preset = form.changed.get("preset", AUTO)
    if preset in presets.PRESETS:
        layers.append(presets.layer(preset))
    return [*layers, recipe_layers.RecipeLayer("", values)]


def _data(
    form: LaunchForm, folder: Path, cache: Path | None, folders: Folders, problems: dict[str, str]
) -> DataInfo | None:
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
        problems["dataset"] = told("dataset", error)
        return None


def _variants(form: LaunchForm, problems: dict[str, str]) -> list[registry.Variant]:
    found = []
    for name in form.networks:
        try:
            found.append(registry.find(name))
        except UsageError as error:
            problems["networks"] = f"{name!r} {in_app(error.hint)}"
    if len(form.networks) > MOST_NETWORKS:
        problems["networks"] = f"at most {MOST_NETWORKS} at once"
    return found


def _recipe_values(form: LaunchForm, problems: dict[str, str]) -> dict[str, object]:
    """Return the changed values of the recipe that are right."""
    values: dict[str, object] = {}
    for key in recipe.FIELDS:
        if key in form.changed:
            try:
                values[key] = recipe.check(key, definition(key).parse(form.changed[key]))
            except UsageError as error:
                problems[key] = told(key, error)
    return values


def settings(form: LaunchForm, filled: Filled, everything: bool = False) -> list[FormField]:
    """Return the lines of the form; ``everything`` shows rare settings too, and those that have no effect as things
    stand.
    """
    top = [key for key in TOP if key != "preset" or not form.request.run]
    lines = [_plain(form, filled, key) for key in top]
    keys = [*FIRST, *(key for key in recipe.FIELDS if key not in FIRST)]
    lines += [
        _of_recipe(form, filled, key)
        for key in keys
        if everything or key in form.changed or _matters(form, filled, key)
    ]
    shown = [key for key in PLAIN if everything or key in form.changed or not definition(key).rare]
    return lines + [_plain(form, filled, key) for key in shown]


def _plain(form: LaunchForm, filled: Filled, key: str) -> FormField:
    value = {"networks": " ".join(form.networks), "dataset": form.dataset}.get(key) or form.changed.get(key)
    if value is None:
        value = _of_run(form, key) or usual(key)
    origin = "you" if key in form.changed else "the run" if form.request.run else ""
    title = key if key == "networks" else definition(key).words
    return FormField(key, title, value, origin, filled.problems.get(key, ""), filled.remarks.get(key, ""))


IN_RUN = {
    "seed": (None, "seed"),
    "stem": ("network", "stem"),
    "image_size": ("network", "image_size"),
    "validation": ("data", "held_out"),
    **{key: ("engine", key) for key in engine_config.CHOICES},
    **{key: ("checkpoints", key) for key in checkpoint_policy.KEYS},
}
"""Where run.json has the value of a setting outside the recipe."""


def _of_run(form: LaunchForm, key: str) -> str:
    """Return the value of a setting in the run that is repeated; "" where there is none."""
    if key not in IN_RUN:
        return ""
    place, name = IN_RUN[key]
    part = form.request.run if place is None else form.request.run.get(place)
    value = part.get(name) if isinstance(part, Mapping) else None
    return "" if value is None else value_text(value)


def _of_recipe(form: LaunchForm, filled: Filled, key: str) -> FormField:
    title = definition(key).words
    if filled.problems.get(key) and key in form.changed:
        return FormField(key, title, form.changed[key], "you", filled.problems[key])
    values = [value_text(getattr(found, key)) for found in filled.recipes.values()]
    origins = {found.get(key, "default") or "you" for found in filled.origins.values()}
    shown = values[0] if len(set(values)) == 1 else " · ".join(values)
    origin = origins.pop() if len(origins) == 1 else "each its own"
    problem, remark = filled.problems.get(key, ""), filled.remarks.get(key, "")
    if not _matters(form, filled, key):
        origin = "no effect here"
    return FormField(key, title, shown, "" if origin == "default" else origin, problem, remark)


def _matters(form: LaunchForm, filled: Filled, key: str) -> bool:
    """Return whether a field has an effect in any of the recipes."""
    if key in recipe.OF_BACKBONE:
        return begins_with_weights(form)
    needs = definition(key).needs
    return needs is None or any(needs.met_by(getattr(found, needs.key)) for found in filled.recipes.values())


def typed_value(form: LaunchForm, setting: FormField) -> str:
    """Return what stands in the line in which a setting is typed, to begin with: its value, unless networks differ in
    it.
    """
    return form.changed.get(setting.key, "" if " · " in setting.value or setting.value == AUTO else setting.value)


def curve(filled: Filled) -> tuple[list[float], int]:
    """Return the learning rate of the first network's run at evenly spread steps, and the number of steps in all."""
    found = next(iter(filled.recipes.values()), None)
    if found is None or filled.data is None:
        return [], 0
    steps = max(1, filled.training_images // found.batch_size)
    return lr_schedule.curve(found, steps, CURVE_POINTS), steps * found.epochs


def weights_of(form: LaunchForm) -> weights_source.WeightsRequest:
    """Return the weights that the form asks for; none where something is wrong with them."""
    try:
        return _weights(form)
    except UsageError:
        return weights_source.WeightsRequest()


def begins_with_weights(form: LaunchForm) -> bool:
    """Return whether the run would load its first weights."""
    repeated = form.request.run.get("network")
    begun = isinstance(repeated, Mapping) and bool(repeated.get("pretrained"))
    return bool(weights_of(form).kind) or (begun and form.changed.get("pretrained") != "no")


def _weights(form: LaunchForm) -> weights_source.WeightsRequest:
    given = {key: form.changed[key] for key in weights_source.SETTINGS if form.changed.get(key, AUTO) != AUTO}
    found = weights_source.asked({key: definition(key).parse(text) for key, text in given.items()})
    if not form.request.run:  # one that is repeated may have weights of its own
        weights_source.check_head(found)
    return found


def request(form: LaunchForm) -> TrainRequest:
    """Return what the form asks for: the changes alone. What is wrong, and `problems` tells, is left out."""
    given: dict[str, object] = {"config": form.request.config}
    if form.request.config is None or "dataset" in form.changed:
        given["dataset"] = form.dataset
    for key in ("preset", *PLAIN, *recipe.FIELDS):
        text = form.changed.get(key)
        if text is None or (key not in recipe.FIELDS and (text == AUTO or wrong(key, text))):
            continue
        given[key] = definition(key).parse(text)
    try:
        return TrainRequest.of(*form.networks, **given)
    except UsageError:
        return TrainRequest(form.networks)


def words(form: LaunchForm) -> list[str]:
    """Return the words after `cnn-explorer` that train what the form says."""
    return request(form).to_argv()

"""A recipe put together from layers, each of which overrides the ones before.

The layers are what suits the data set, what the architecture's note asks for (table ``[recipe]``, with subtables such
as ``[recipe.mnist]`` for one data set), a file given with ``--config``, and the command line. A value is checked where
it comes in, and the error names that place.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest
from ..data import dataset_info
from .recipe import FIELDS, FLIPS, OF_BACKBONE, Recipe, check, check_together, field_name, renamed
from .setting import without_effect

MIRRORED_MEANS_SOMETHING_ELSE = ("digits", "mnist")
"""Data sets whose images must not be flipped: a mirrored 3 is no 3."""

LONGEST_WARMUP = 0.3
"""Part of a run that a warm-up takes at most, where nobody asks for its length."""

FEWEST_STEPS = 20
SMALLEST_BATCH = 16
"""Where nobody asks for a size, batches are made smaller for small data sets, down to this many images."""

# What suits the general case of each data set; networks of any family start from here.
BY_DATASET: dict[str, dict[str, object]] = {
    "digits": {"epochs": 30, "batch_size": 32, "lr": 0.05, "augment": ("translate",)},
    "mnist": {"epochs": 10, "batch_size": 128, "lr": 0.05, "augment": ("translate",)},
    "fashion-mnist": {"epochs": 20, "batch_size": 128, "lr": 0.05, "augment": ("translate", "flip")},
    "cifar10": {"epochs": 30, "batch_size": 128, "lr": 0.05, "augment": ("crop", "flip")},
    "cifar100": {"epochs": 30, "batch_size": 128, "lr": 0.05, "augment": ("crop", "flip")},
    "folder": {"epochs": 30, "batch_size": 64, "lr": 0.02, "augment": ("crop", "flip")},
}

# The usual starting points of each optimiser: SGD's rate of 0.05 would ruin a run with Adam.
_ADAM: dict[str, object] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
BY_OPTIMIZER: dict[str, dict[str, object]] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    "adam": _ADAM | {"weight_decay": 0.0},
    "adamw": _ADAM | {"weight_decay": 0.05},
    "rmsprop": {"lr": 1e-3, "weight_decay": 0.0, "momentum": 0.0, "eps": 1e-8},
    "lamb": {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-6, "weight_decay": 0.02},
    "muon": _ADAM | {"lr": 0.02, "adamw_lr": 1e-3, "momentum": 0.95, "nesterov": True, "weight_decay": 0.01},
}

# The neighbourhoods that the papers found best for CIFAR-10: arXiv:2010.01412 and arXiv:2102.11600.
BY_SHARPNESS: dict[str, dict[str, object]] = {"none": {}, "sam": {"rho": 0.05}, "asam": {"rho": 0.5}}


@dataclass(frozen=True)
class RecipeLayer:
    """Values from one place. ``origin`` names it in error messages; "" stands for the flags of the command line.

    ``general``: it speaks of a network on images in general, as a note does, not of the run at hand. Such values give
    way to what the data set needs.
    """

    origin: str
    values: Mapping[str, object]
    general: bool = False


@dataclass(frozen=True)
class Resolved:
    """A recipe, the origin of each value ("" for a flag, "default" for what nobody set), and what was asked for.

    ``asked`` are the fields set for this very run, by a flag or a file.
    """

    recipe: Recipe
    origins: Mapping[str, str]
    asked: frozenset[str] = frozenset()


def resolve(dataset: str, layers: Sequence[RecipeLayer]) -> Resolved:
    """Put a recipe together for the data set ``dataset`` from the general values and ``layers``, the strongest last.

    When a layer changes the optimiser, its rate, decay and moments become the usual ones of that optimiser unless this
    layer or a later one sets them; likewise ``rho`` when a layer changes ``sam``. Raises UsageError that names the
    field, the value and what would work.
    """
    kind = data_kind(dataset)
    values: dict[str, Any] = dict(BY_DATASET[kind])
    origins = dict.fromkeys(FIELDS, "default")
    asked: set[str] = set()
    for layer in layers:
        given = {key: check(key, value, layer.origin) for key, value in _own_values(layer, kind).items()}
        if not layer.general:
            asked |= given.keys()
        for key, usual in (("optimizer", BY_OPTIMIZER), ("sam", BY_SHARPNESS)):
            if given.get(key, values.get(key, getattr(Recipe, key))) != values.get(key, getattr(Recipe, key)):
                values |= usual[str(given[key])]
                origins |= dict.fromkeys(usual[str(given[key])], f"usual with {given[key]}")
        values |= given
        origins |= dict.fromkeys(given, layer.origin)
    if kind in MIRRORED_MEANS_SOMETHING_ELSE:
        _without_mirrors(values, asked, origins)
    recipe = Recipe(**values)
    if "warmup" not in asked:
        # A note's warm-up is meant for a run of usual length, not to be all of a short one.
        recipe = dataclasses.replace(recipe, warmup=min(recipe.warmup, LONGEST_WARMUP * recipe.epochs))
    check_together(recipe, origins)
    return Resolved(recipe, origins, frozenset(asked))


def _without_mirrors(values: dict[str, Any], asked: set[str], origins: Mapping[str, str]) -> None:
    """Leave flips out of training and test where a mirrored image means something else and nobody asks for them."""
    if "augment" not in asked:
        values["augment"] = tuple(name for name in values["augment"] if name not in FLIPS)
    if values.get("tta", "none") == "flip" and not set(FLIPS) & set(values["augment"]):
        if "tta" in asked:
            hint = "mirrors digits, and a mirrored 3 is no 3; choose 'none', or train with --augment flip as well"
            raise UsageError(field_name("tta", origins["tta"]), "flip", hint)
        values["tta"] = "none"


def data_kind(dataset: str) -> str:
    """Return the key under which recipes know a data set: its name, or "folder" for one's own images."""
    return "folder" if dataset.startswith(dataset_info.FOLDER) else dataset


def _own_values(layer: RecipeLayer, kind: str) -> dict[str, object]:
    """Return the values of a layer for one kind of data set: its plain keys, and over them the subtable of that data
    set.
    """
    plain = {key: value for key, value in layer.values.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in layer.values.items() if isinstance(value, Mapping)}
    for key in tables:
        if key not in BY_DATASET:
            hint = f"is not a data set with a recipe of its own; {nearest(key, BY_DATASET)}"
            raise UsageError(f"{layer.origin}: recipe" if layer.origin else "recipe", key, hint)
    return renamed(plain) | renamed(tables.get(kind, {}))


def refused(resolved: Resolved, key: str, hint: str) -> UsageError:
    """Return the error for a value that cannot be used, named as it was given: a flag, or a key of a file."""
    value = getattr(resolved.recipe, key)
    name = field_name(key, resolved.origins[key])
    return UsageError(name, list(value) if isinstance(value, tuple) else value, hint)


def check_backbone(recipe: Recipe) -> None:
    """Raise UsageError where a recipe without weights to begin with freezes or slows down loaded ones."""
    for key in OF_BACKBONE:
        if getattr(recipe, key) != getattr(Recipe, key):
            hint = "needs weights to begin with: pretrained, init-from or grow-from"
            raise UsageError(field_name(key, ""), getattr(recipe, key), hint)


def check_classes(resolved: Resolved, classes: Sequence[str]) -> None:
    """Raise UsageError where the class weights are not as many as the classes."""
    weights = resolved.recipe.class_weights
    if not isinstance(weights, str) and len(weights) != len(classes):
        raise refused(resolved, "class_weights", f"must be {len(classes)} numbers, one for each class of the data set")


def fit_to(resolved: Resolved, images: int) -> tuple[Recipe, str]:
    """Return the recipe for a training split of ``images``, and a remark where something had to be changed, else "".

    A batch larger than the training split is an error where somebody asked for it. Where nobody did, it is made so small
    that an epoch has twenty steps, or that it holds sixteen images, and the rate goes with it unless it was asked
    for: in proportion for SGD (Goyal et al., arXiv:1706.02677, section 2.1), by the root for the others (Malladi et
    al., arXiv:2205.10287, for Adam; You et al., arXiv:1904.00962, for LAMB).
    """
    recipe = resolved.recipe
    if images < 1:
        raise UsageError("dataset", None, "has no images to train on")
    if "batch_size" in resolved.asked:
        if recipe.batch_size > images:
            hint = f"is more than the training split has; the largest that works is {images}"
            raise refused(resolved, "batch_size", hint)
        return recipe, ""
    largest = max(images // FEWEST_STEPS, min(SMALLEST_BATCH, max(1, images // 2)))
    if recipe.batch_size <= largest:
        return recipe, ""
    ratio = largest / recipe.batch_size
    factor = ratio if recipe.optimizer == "sgd" else math.sqrt(ratio)
    smaller = dataclasses.replace(
        recipe,
        batch_size=largest,
        accumulate=min(recipe.accumulate, largest),
        lr=recipe.lr if "lr" in resolved.asked else float(f"{recipe.lr * factor:.3g}"),
    )
    if recipe.optimizer == "muon" and "adamw_lr" not in resolved.asked:
        smaller = dataclasses.replace(smaller, adamw_lr=float(f"{recipe.adamw_lr * factor:.3g}"))
    remark = f"batches of {largest} instead of {recipe.batch_size}, because there are {images:,} images to train on"
    return smaller, remark if smaller.lr == recipe.lr else f"{remark}; lr {smaller.lr:g} to go with that"


TOO_LARGE = {
    "crop_padding": ("crop", "shows some images from beyond their mirrored border"),
    "translate_pixels": ("translate", "shifts some images out of sight"),
    "cutout_size": ("cutout", "blanks some images wholly"),
}
"""The augmentation that takes a length, and what a length as large as the image does."""


def too_large(recipe: Recipe, side: int) -> list[str]:
    """Return a line for each length of an augmentation that is as large as the images, ``side`` pixels, or larger."""
    found = []
    for key, (augmentation, consequence) in TOO_LARGE.items():
        length = getattr(recipe, key)
        if augmentation in recipe.augment and length >= side:
            every = key == "cutout_size" and length >= 2 * side
            told = "blanks every image" if every else consequence
            found.append(f"{key.replace('_', '-')} {length} {told}: the images have {side} pixels a side")
    return found


def remarks(resolved: Resolved, *, flags_only: bool = False) -> list[str]:
    """Return a line for each value without effect that a flag or a file sets; ``flags_only``: the file is a whole
    recipe.
    """
    return [
        line
        for key, line in without_effect(resolved.recipe).items()
        if key in resolved.asked and not (flags_only and resolved.origins[key])
    ]

"""How a network is trained, as plain values: optimiser, learning rate and its schedule, epochs, batches, augmentation.

A recipe is put together from layers, each of which overrides the ones before: what suits the data set, what the
architecture's note asks for (table ``[recipe]``, with subtables such as ``[recipe.mnist]`` for one data set), a file
given with ``--config``, the flags of the command line. A value is checked where it comes in, and the error names it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest, nearest_or_all
from ..common.value_checks import Rule, checked
from ..data import dataset_info

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "lamb", "muon")
SHARPNESS = ("none", "sam", "asam")
SCHEDULES = ("constant", "step", "linear", "cosine", "one-cycle")
BALANCE = ("none", "balanced")
SAMPLING = ("uniform", "balanced")
TEST_TIME = ("none", "flip")
FLIPS = ("flip", "flip-alternating")
AUGMENTATIONS = ("crop", "translate", *FLIPS, "jitter", "randaugment", "cutout", "mixup", "cutmix")
FREEZE = ("none", "backbone")
OF_BACKBONE = ("freeze", "backbone_lr", "layer_decay")
MIRRORED_MEANS_SOMETHING_ELSE = ("digits", "mnist")
"""Data sets whose pictures must not be flipped: a mirrored 3 is no 3."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how the weights come about, apart from network, data, seed and hardware.

    Times are in epochs. ``batch_size`` is the number of pictures per weight update; it is worked off in at
    most ``accumulate`` parts, of equal size but for the last. ``momentum`` and ``nesterov`` are SGD's and Muon's,
    ``momentum`` also RMSprop's; ``betas`` and ``eps`` are the Adams', LAMB's and those of Muon's remainder, whose peak
    rate is ``rest_lr``; ``eps`` is also RMSprop's. ``sam`` says
    whether each update looks for flat minima, within ``rho``. ``augment`` names what is done to the training pictures
    (augment.py). ``milestones`` are the parts of the run after which the schedule "step" multiplies the rate by ``gamma``.
    ``class_weights`` are "none", "balanced" or a number per class. ``clip_norm`` 0 means no clipping, ``ema`` 0 no averaging
    of weights; otherwise it is the decay per update. ``tta`` is what is done to the pictures of the test.
    ``freeze``, ``backbone_lr`` and ``layer_decay`` speak of weights that were taken over (fine_tuning.py).
    """

    optimizer: str = "sgd"
    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 5e-4
    rest_lr: float = 1e-3
    sam: str = "none"
    rho: float = 0.05
    schedule: str = "one-cycle"
    warmup: float = 0.0
    milestones: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1
    epochs: int = 20
    batch_size: int = 128
    accumulate: int = 1
    label_smoothing: float = 0.0
    class_weights: str | tuple[float, ...] = "none"
    sampling: str = "uniform"
    clip_norm: float = 0.0
    ema: float = 0.0
    augment: tuple[str, ...] = ()
    crop_padding: int = 4
    translate_pixels: int = 2
    cutout_size: int = 8
    jitter_strength: float = 0.4
    randaugment_strength: float = 0.5
    tta: str = "none"
    freeze: str = "none"
    backbone_lr: float = 1.0
    layer_decay: float = 1.0

    def to_dict(self) -> dict[str, object]:
        """The recipe as JSON-able values, in the order of the fields."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


RULES = {
    "optimizer": Rule(choices=OPTIMIZERS),
    "lr": Rule(above=0),
    "momentum": Rule(low=0, below=1),
    "nesterov": Rule(),
    "betas": Rule(low=0, below=1, length=2),
    "eps": Rule(above=0),
    "weight_decay": Rule(low=0),
    "rest_lr": Rule(above=0),
    "sam": Rule(choices=SHARPNESS),
    "rho": Rule(above=0),
    "schedule": Rule(choices=SCHEDULES),
    "warmup": Rule(low=0),
    "milestones": Rule(above=0, below=1),
    "gamma": Rule(above=0, high=1),
    "epochs": Rule(low=1, high=10**6),
    "batch_size": Rule(low=1),
    "accumulate": Rule(low=1),
    "label_smoothing": Rule(low=0, below=1),
    "class_weights": Rule(choices=BALANCE, above=0, or_numbers=True),
    "sampling": Rule(choices=SAMPLING),
    "clip_norm": Rule(low=0),
    "ema": Rule(low=0, below=1),
    "augment": Rule(choices=AUGMENTATIONS),
    "crop_padding": Rule(low=1, high=64),
    "translate_pixels": Rule(low=1, high=64),
    "cutout_size": Rule(low=1),
    "jitter_strength": Rule(above=0, high=1),
    "randaugment_strength": Rule(above=0, high=1),
    "tta": Rule(choices=TEST_TIME),
    "freeze": Rule(choices=FREEZE),
    "backbone_lr": Rule(above=0, high=1),
    "layer_decay": Rule(above=0, high=1),
}
FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))

LONGEST_WARMUP = 0.3
"""Part of a run that a warm-up takes at most, where nobody asks for its length."""

UPDATES_PER_EPOCH = 20
SMALLEST_BATCH = 16
"""Where nobody asks for a size, batches are made smaller for small data sets, down to this many pictures."""

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
    "muon": _ADAM | {"lr": 0.02, "rest_lr": 1e-3, "momentum": 0.95, "nesterov": True, "weight_decay": 0.01},
}

# The neighbourhoods that the papers found best for CIFAR-10: arXiv:2010.01412 and arXiv:2102.11600.
BY_SHARPNESS: dict[str, dict[str, object]] = {"none": {}, "sam": {"rho": 0.05}, "asam": {"rho": 0.5}}


@dataclass(frozen=True)
class Layer:
    """Values from one place. ``origin`` names it in error messages; "" stands for the flags of the command line.

    ``general``: it speaks of a network on pictures in general, as a note does, not of the run at hand. Such values give way
    to what the data set needs.
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


def resolve(dataset: str, layers: Sequence[Layer]) -> Resolved:
    """Put a recipe together for the data set ``dataset`` from the general values and ``layers``, the strongest last.

    When a layer changes the optimiser, its rate, decay and moments become the usual ones of that optimiser unless this layer
    or a later one sets them; likewise ``rho`` when a layer changes ``sam``. Raises UsageError that names the field, the
    value and what would work.
    """
    kind = data_kind(dataset)
    values: dict[str, object] = dict(BY_DATASET[kind])
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
    recipe = Recipe(**values)  # pyright: ignore[reportArgumentType] checked one by one
    if "warmup" not in asked:
        # A note's warm-up is meant for a run of usual length, not to be all of a short one.
        recipe = dataclasses.replace(recipe, warmup=min(recipe.warmup, LONGEST_WARMUP * recipe.epochs))
    _check_together(recipe, origins)
    return Resolved(recipe, origins, frozenset(asked))


def _without_mirrors(values: dict[str, Any], asked: set[str], origins: Mapping[str, str]) -> None:
    """Leave flips out, of training and test, where a mirrored picture means something else and nobody insists on them."""
    if "augment" not in asked:
        values["augment"] = tuple(name for name in values["augment"] if name not in FLIPS)
    if values.get("tta", "none") == "flip" and not set(FLIPS) & set(values["augment"]):
        if "tta" in asked:
            hint = "mirrors digits, and a mirrored 3 is no 3; choose 'none', or train with --augment flip as well"
            raise UsageError(_field_name("tta", origins["tta"]), "flip", hint)
        values["tta"] = "none"


def data_kind(dataset: str) -> str:
    """The key under which recipes know a data set: its name, or "folder" for one's own pictures."""
    return "folder" if dataset.startswith(dataset_info.FOLDER) else dataset


def from_dict(values: Mapping[str, object], origin: str = "recipe") -> Recipe:
    """The recipe that ``to_dict`` wrote; missing fields take their defaults. UsageError for a wrong key or value."""
    recipe = Recipe(**{key: check(key, value, origin) for key, value in values.items()})
    _check_together(recipe, dict.fromkeys(FIELDS, origin))
    return recipe


def _own_values(layer: Layer, kind: str) -> dict[str, object]:
    """The values of a layer for one kind of data set: its plain keys, and over them the subtable of that data set."""
    plain = {key: value for key, value in layer.values.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in layer.values.items() if isinstance(value, Mapping)}
    for key in tables:
        if key not in BY_DATASET:
            hint = f"is no data set to have a recipe of its own; {nearest(key, BY_DATASET)}"
            raise UsageError(f"{layer.origin}: recipe" if layer.origin else "recipe", key, hint)
    return plain | dict(tables.get(kind, {}))


def check(key: str, value: object, origin: str = "") -> Any:
    """``value`` in the type of the field ``key``; UsageError that names the field, the value and what would work."""
    name = _field_name(key, origin)
    if key not in RULES:
        place = f"{origin}: recipe" if origin else "recipe"
        raise UsageError(place, key, f"is no value of a recipe; {nearest_or_all(key, FIELDS)}")
    return checked(name, value, RULES[key], getattr(Recipe, key))


def _field_name(key: str, origin: str) -> str:
    return f"{origin}: {key}" if origin else key.replace("_", "-")


def _check_together(recipe: Recipe, origins: Mapping[str, str]) -> None:
    """What fields must agree on among themselves."""

    def wrong(key: str, hint: str) -> UsageError:
        origin = origins[key]
        return UsageError(_field_name(key, "" if origin == "default" else origin), getattr(recipe, key), hint)

    if recipe.accumulate > recipe.batch_size:
        raise wrong("accumulate", f"is more parts than a batch of {recipe.batch_size} pictures has")
    if recipe.warmup >= recipe.epochs and recipe.warmup > 0:
        raise wrong("warmup", f"must be shorter than the run of {recipe.epochs} epochs")
    if len(set(recipe.augment)) != len(recipe.augment):
        raise wrong("augment", "names an augmentation twice")
    if {"crop", "translate"} <= set(recipe.augment):
        raise wrong("augment", "shifts twice; choose 'crop' (mirrored border) or 'translate' (black border)")
    if set(FLIPS) <= set(recipe.augment):
        raise wrong("augment", "flips twice; choose 'flip' (at random) or 'flip-alternating' (every other epoch)")
    if recipe.sampling == "balanced" and recipe.class_weights == "balanced":
        raise wrong(
            "class_weights", "with sampling 'balanced' would make up for rare classes twice; choose one of them"
        )


def refused(resolved: Resolved, key: str, hint: str) -> UsageError:
    """The error for a value that cannot be used, named as it was given: a flag, or a key of a file."""
    value = getattr(resolved.recipe, key)
    name = _field_name(key, resolved.origins[key])
    return UsageError(name, list(value) if isinstance(value, tuple) else value, hint)


def check_classes(resolved: Resolved, classes: Sequence[str]) -> None:
    """UsageError where the class weights are not as many as the classes."""
    weights = resolved.recipe.class_weights
    if not isinstance(weights, str) and len(weights) != len(classes):
        raise refused(resolved, "class_weights", f"must be {len(classes)} numbers, one for each class of the data set")


def fit_to(resolved: Resolved, pictures: int) -> tuple[Recipe, str]:
    """The recipe for a training part of ``pictures``, and a remark where something had to be changed, else "".

    A batch larger than the training part is an error where somebody asked for it. Where nobody did, it is made so small
    that an epoch has twenty updates, or that it holds sixteen pictures, and the rate goes with it unless it was asked
    for: in proportion for SGD (Goyal et al., arXiv:1706.02677, section 2.1), by the root for the others (Malladi et al.,
    arXiv:2205.10287, for Adam; You et al., arXiv:1904.00962, for LAMB).
    """
    recipe = resolved.recipe
    if pictures < 1:
        raise UsageError("dataset", None, "has no pictures to train on")
    if "batch_size" in resolved.asked:
        if recipe.batch_size > pictures:
            hint = f"is more than the training part has; the largest that works is {pictures}"
            raise refused(resolved, "batch_size", hint)
        return recipe, ""
    largest = max(pictures // UPDATES_PER_EPOCH, min(SMALLEST_BATCH, max(1, pictures // 2)))
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
    if recipe.optimizer == "muon" and "rest_lr" not in resolved.asked:
        smaller = dataclasses.replace(smaller, rest_lr=float(f"{recipe.rest_lr * factor:.3g}"))
    remark = f"batches of {largest} instead of {recipe.batch_size}, because there are {pictures:,} pictures to train on"
    return smaller, remark if smaller.lr == recipe.lr else f"{remark}; lr {smaller.lr:g} to go with that"

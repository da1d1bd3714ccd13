"""How a network is trained, as plain values: optimiser, learning rate and its schedule, epochs, batches, augmentation.

Each value is a field of :class:`Recipe`, defined there once: meaning, bounds, and the optimisers, schedules or
augmentations that use it. How a recipe is put together from a note, a file and the command line: recipe_layers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import UsageError, counted, nearest_or_all
from ..common.value_checks import Rule
from .setting import RECIPE, WEIGHTS, Needs, setting, settings_of

T = TypeVar("T")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "lamb", "muon")
SHARPNESS = ("none", "sam", "asam")
SCHEDULES = ("constant", "step", "linear", "cosine", "one-cycle")
BALANCE = ("none", "balanced")
SAMPLING = ("uniform", "balanced")
TEST_TIME = ("none", "flip")
FLIPS = ("flip", "flip-alternating")
AUGMENTATIONS = ("crop", "translate", *FLIPS, "jitter", "randaugment", "cutout", "mixup", "cutmix")
FREEZE = ("none", "backbone")


def _optimizer(*names: str) -> Needs:
    return Needs("optimizer", names)


def _augment(name: str) -> Needs:
    return Needs("augment", (name,))


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how the weights come about, apart from network, data, seed and hardware."""

    optimizer: str = setting(
        "sgd", "Algorithm that updates the weights.", RECIPE, Rule(choices=OPTIMIZERS), page="optimisers"
    )
    lr: float = setting(
        0.05, "Learning rate at its peak.", RECIPE, Rule(above=0, usual=(1e-6, 10)), page="learning-rate"
    )
    momentum: float = setting(
        0.9,
        "Part of the previous step that is kept.",
        RECIPE,
        Rule(low=0, below=1, usual=(0, 0.999)),
        needs=_optimizer("sgd", "rmsprop", "muon"),
        page="optimisers",
    )
    nesterov: bool = setting(
        True,
        "Look ahead along the momentum before each step.",
        RECIPE,
        needs=_optimizer("sgd", "muon"),
        page="optimisers",
    )
    betas: tuple[float, ...] = setting(
        (0.9, 0.999),
        "Decay of the averages of the gradient and of its square; with Muon those of the part that AdamW trains.",
        RECIPE,
        Rule(low=0, below=1, length=2, usual=(0, 0.99999)),
        needs=_optimizer("adam", "adamw", "lamb", "muon"),
        page="optimisers",
    )
    eps: float = setting(
        1e-8,
        "Number added to the denominator of a step.",
        RECIPE,
        Rule(above=0, usual=(1e-12, 1)),
        needs=_optimizer("adam", "adamw", "rmsprop", "lamb", "muon"),
        page="optimisers",
    )
    weight_decay: float = setting(
        5e-4,
        "How strongly the weights are pulled towards 0; norms, biases, tokens and scales are left alone.",
        RECIPE,
        Rule(low=0, usual=(0, 1)),
        page="overfitting",
    )
    adamw_lr: float = setting(
        1e-3,
        "Peak learning rate of the parameters that Muon leaves to AdamW.",
        RECIPE,
        Rule(above=0, usual=(1e-6, 1)),
        needs=_optimizer("muon"),
        page="optimisers",
        aliases=("rest-lr",),
        stored="rest_lr",
        title="AdamW lr",
    )
    sam: str = setting(
        "none",
        "Look for flat minima, which takes two passes per step.",
        RECIPE,
        Rule(choices=SHARPNESS),
        page="optimisers",
        title="SAM",
    )
    rho: float = setting(
        0.05,
        "Radius of the neighbourhood that SAM looks at.",
        RECIPE,
        Rule(above=0, usual=(1e-4, 10)),
        needs=Needs("sam", SHARPNESS[1:]),
        page="optimisers",
    )
    schedule: str = setting(
        "one-cycle",
        "How the learning rate changes over the run; it changes at every step and is never 0.",
        RECIPE,
        Rule(choices=SCHEDULES),
        page="learning-rate",
    )
    warmup: float = setting(
        0.0,
        "Epochs in which the learning rate rises from the first step; with one-cycle the length of its rise.",
        RECIPE,
        Rule(low=0),
        unit="epochs",
        page="learning-rate",
    )
    milestones: tuple[float, ...] = setting(
        (0.5, 0.75),
        "Parts of the run after which the schedule step multiplies the learning rate by gamma.",
        RECIPE,
        Rule(above=0, below=1),
        needs=Needs("schedule", ("step",)),
        page="learning-rate",
    )
    gamma: float = setting(
        0.1,
        "Factor by which the schedule step multiplies the learning rate at each milestone.",
        RECIPE,
        Rule(above=0, high=1, usual=(0.001, 1)),
        needs=Needs("schedule", ("step",)),
        page="learning-rate",
    )
    epochs: int = setting(
        20, "Passes over the training images.", RECIPE, Rule(low=1, high=10**6, usual=(0, 5000)), page="overfitting"
    )
    batch_size: int = setting(
        128, "Images per step; images that fill no batch wait for the next epoch.", RECIPE, Rule(low=1), unit="images"
    )
    accumulate: int = setting(
        1, "Parts in which a batch is computed where memory is short; the gradient stays the same.", RECIPE, Rule(low=1)
    )
    label_smoothing: float = setting(
        0.0,
        "Part of the target that is spread over all classes.",
        RECIPE,
        Rule(low=0, below=1, usual=(0, 0.5)),
        page="label-smoothing",
    )
    class_weights: str | tuple[float, ...] = setting(
        "none",
        "Weight of each class in the loss; balanced gives all classes equal shares.",
        RECIPE,
        Rule(choices=BALANCE, above=0, usual=(0.001, 1000), or_numbers=True),
        page="class-imbalance",
    )
    sampling: str = setting(
        "uniform",
        "Which images an epoch shows; balanced shows every class equally often.",
        RECIPE,
        Rule(choices=SAMPLING),
        page="class-imbalance",
    )
    clip_norm: float = setting(
        0.0,
        "Largest norm of the gradient; 0 leaves it as it is.",
        RECIPE,
        Rule(low=0, usual=(0.001, 1000)),
        page="vanishing-gradients",
    )
    ema: float = setting(
        0.0,
        "Decay of a moving average of the weights, which is then evaluated; 0 averages nothing.",
        RECIPE,
        Rule(low=0, below=1, usual=(0.1, 0.99999)),
        title="EMA",
    )
    augment: tuple[str, ...] = setting(
        (),
        "Random changes of the training images.",
        RECIPE,
        Rule(choices=AUGMENTATIONS),
        page="overfitting",
    )
    crop_padding: int = setting(
        4,
        "How far crop shifts an image; the border is mirrored.",
        RECIPE,
        Rule(low=1, high=64),
        unit="pixels",
        needs=_augment("crop"),
        page="overfitting",
    )
    translate_pixels: int = setting(
        2,
        "How far translate shifts an image; the border is black.",
        RECIPE,
        Rule(low=1, high=64),
        unit="pixels",
        needs=_augment("translate"),
        page="overfitting",
    )
    cutout_size: int = setting(
        8,
        "Side of the square that cutout blanks.",
        RECIPE,
        Rule(low=1, high=65_536, usual=(0, 512)),
        unit="pixels",
        needs=_augment("cutout"),
        page="overfitting",
    )
    jitter_strength: float = setting(
        0.4,
        "How strongly jitter changes the colours.",
        RECIPE,
        Rule(above=0, high=1, usual=(0.01, 1)),
        needs=_augment("jitter"),
        page="overfitting",
    )
    randaugment_strength: float = setting(
        0.5,
        "How strongly RandAugment changes an image.",
        RECIPE,
        Rule(above=0, high=1, usual=(0.01, 1)),
        needs=_augment("randaugment"),
        page="overfitting",
        title="RandAugment strength",
    )
    tta: str = setting(
        "none",
        "Test-time augmentation; flip averages the scores of each test image and of its mirror image.",
        RECIPE,
        Rule(choices=TEST_TIME),
        title="test-time augmentation",
    )
    freeze: str = setting(
        "none", "Which loaded weights do not learn.", WEIGHTS, Rule(choices=FREEZE), page="transfer-learning"
    )
    backbone_lr: float = setting(
        1.0,
        "Learning rate of the loaded weights, as a part of that of the new head.",
        WEIGHTS,
        Rule(above=0, high=1, usual=(1e-4, 1)),
        needs=Needs("freeze", ("none",)),
        page="transfer-learning",
        metavar="FACTOR",
    )
    layer_decay: float = setting(
        1.0,
        "Factor of the learning rate from stage to stage, towards the image, for loaded weights.",
        WEIGHTS,
        Rule(above=0, high=1, usual=(0.1, 1)),
        needs=Needs("freeze", ("none",)),
        page="transfer-learning",
        metavar="FACTOR",
    )

    def to_dict(self) -> dict[str, object]:
        """Return the recipe as JSON-able values, in the order of the fields, under the names of run.json."""
        return stored({key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()})


SETTINGS = settings_of(Recipe)
FIELDS = tuple(SETTINGS)
EARLIER = {alias.replace("-", "_"): key for key, defined in SETTINGS.items() for alias in defined.aliases}
"""Earlier names of fields, which notes, files and run.json may have, with the present ones."""
OF_BACKBONE = tuple(key for key, defined in SETTINGS.items() if defined.group == WEIGHTS)
"""What concerns weights that a run loads instead of drawing them."""


def stored(values: Mapping[str, T]) -> dict[str, T]:
    """Return values by field under the names that the JSON of schema 1 has for the fields."""
    return {SETTINGS[key].stored or key: value for key, value in values.items()}


def renamed(values: Mapping[str, T]) -> dict[str, T]:
    """Return values, in their order, under the present names of their fields; an earlier name gives way where both are
    given.
    """
    return {EARLIER.get(key, key): value for key, value in values.items() if EARLIER.get(key) not in values}


def check(key: str, value: object, origin: str = "") -> object:
    """Return ``value`` in the type of the field ``key``; UsageError that names the field, the value and what would work."""
    if key not in SETTINGS:
        place = f"{origin}: recipe" if origin else "recipe"
        raise UsageError(place, key, f"is not a value of a recipe; {nearest_or_all(key, FIELDS)}")
    return SETTINGS[key].check(value, origin)


def field_name(key: str, origin: str) -> str:
    """Return the name of a field in an error message: the option, or the key of the file ``origin``."""
    return f"{origin}: {key}" if origin else SETTINGS[key].name


def from_dict(values: Mapping[str, object], origin: str = "recipe") -> Recipe:
    """Return the recipe that ``to_dict`` wrote; missing fields take their defaults. UsageError for a wrong key or value."""
    checked: dict[str, Any] = {key: check(key, value, origin) for key, value in renamed(values).items()}
    recipe = Recipe(**checked)
    check_together(recipe, dict.fromkeys(FIELDS, origin))
    return recipe


def check_together(recipe: Recipe, origins: Mapping[str, str]) -> None:
    """Check what fields must agree on among themselves. UsageError."""

    def wrong(key: str, hint: str) -> UsageError:
        origin = origins[key]
        return UsageError(field_name(key, "" if origin == "default" else origin), getattr(recipe, key), hint)

    if recipe.accumulate > recipe.batch_size:
        raise wrong("accumulate", f"is more parts than a batch of {counted(recipe.batch_size, 'image')} has")
    if recipe.warmup >= recipe.epochs and recipe.warmup > 0:
        raise wrong("warmup", f"must be shorter than the run of {counted(recipe.epochs, 'epoch')}")
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

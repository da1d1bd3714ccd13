"""Recipes that have a name, for ``--recipe NAME``: over what the note says of its family, under a file and the flags.

Each is meant for images of 32×32. On digits flips are left out, and batches shrink with small data sets, as they do for
every recipe that is not asked for value by value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import UsageError, nearest
from .recipe_layers import RecipeLayer


@dataclass(frozen=True)
class Preset:
    """``purpose``: what it is for, in a line; ``source``: where its values come from."""

    purpose: str
    source: str
    values: Mapping[str, object]


PRESETS = {
    "baseline": Preset(
        "the customary long training on CIFAR, to compare with published figures",
        "github.com/kuangliu/pytorch-cifar, main.py; nesterov as in arXiv:1605.07146",
        {
            "optimizer": "sgd",
            "lr": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "schedule": "cosine",
            "epochs": 200,
            "batch_size": 128,
            "augment": ("crop", "flip"),
            "crop_padding": 4,
        },
    ),
    "speedrun": Preset(
        "94 % on CIFAR-10 as fast as a GPU can, for networks of the size of ResNet-18",
        "github.com/davidcpage/cifar10-fast: batches of 512, lr 0.4, decay 5e-4, a rate that rises for a fifth of the run "
        "and falls in a line, cutout 8, EMA; arXiv:2404.00498: shifts of 2 pixels, alternating flip, label smoothing 0.2",
        {
            "optimizer": "sgd",
            "lr": 0.4,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 5e-4,
            "schedule": "linear",
            "warmup": 3.6,
            "epochs": 18,
            "batch_size": 512,
            "label_smoothing": 0.2,
            "ema": 0.99,
            "augment": ("crop", "flip-alternating", "cutout"),
            "crop_padding": 2,
            "cutout_size": 8,
            "tta": "flip",
        },
    ),
}


def layer(name: str) -> RecipeLayer:
    """Return the recipe ``name`` as a layer of values; UsageError that names the nearest one."""
    if name not in PRESETS:
        raise UsageError("recipe", name, f"is not the name of a recipe; {nearest(name, PRESETS)}")
    return RecipeLayer(f"recipe {name}", PRESETS[name].values, general=True)

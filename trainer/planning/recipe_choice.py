"""The recipe of a run: put together from what is asked for, fitted to the images, checked against the network's loss."""

from __future__ import annotations

from collections.abc import Sequence

from ...models.catalogue.registry import Variant
from ..common.progress import Log
from ..config import recipe_layers
from ..config.recipe import Recipe
from ..config.recipe_layers import RecipeLayer, Resolved
from ..config.run_config import NetworkConfig
from ..config.weights_source import FINE_TUNING, GROWN
from ..data.datasets import DataSet
from ..weights.initialise import Source
from . import engine_choice
from .loss_kind import uses_cross_entropy

IMAGES = "images"
"""The origin of a value that was made to fit the number of images."""


def of_network(variant: Variant) -> RecipeLayer:
    """Return the recipe of the note of a network."""
    return RecipeLayer(f"{variant.family}.md", variant.recipe, general=True)


def of_weights(source: Source | None) -> RecipeLayer | None:
    """Return what suits a network that begins with trained weights.

    A grown network learns as any other: its authors slowed down nothing.
    """
    fine_tuning = source is not None and source.kind != GROWN
    return RecipeLayer("fine-tuning", FINE_TUNING, general=True) if fine_tuning else None


def choose(
    layers: Sequence[RecipeLayer], dataset: str, source: Source | None, *, flags_only: bool, log: Log
) -> Resolved:
    """Resolve the recipe for a data set out of its layers, the strongest last. UsageError names the value at fault.

    What has no effect is told; with ``flags_only`` only where a flag asks for it.
    """
    resolved = recipe_layers.resolve(dataset, layers)
    if source is None:
        recipe_layers.check_backbone(resolved.recipe)
    for line in recipe_layers.remarks(resolved, flags_only=flags_only):
        log(line)
    return resolved


def fit(resolved: Resolved, data: DataSet, log: Log) -> Recipe:
    """Return the recipe that suits the number of images and classes. UsageError; a smaller batch is told."""
    recipe_layers.check_classes(resolved, data.classes)
    fitted, remark = recipe_layers.fit_to(resolved, len(data.train))
    for line in ([remark] if remark else []) + recipe_layers.too_large(fitted, data.image_size):
        log(line)
    return fitted


def check_loss(resolved: Resolved, network: NetworkConfig) -> None:
    """UsageError where something was asked for that acts on cross-entropy, and the network's loss has none."""
    for key, without in (("class_weights", "none"), ("label_smoothing", 0.0)):
        asked = key in resolved.asked and getattr(resolved.recipe, key) != without
        if asked and not uses_cross_entropy(network):
            hint = f"has no effect on {network.name}, whose loss is its own; leave it out"
            raise recipe_layers.refused(resolved, key, hint)


def origins(resolved: Resolved, fitted: Recipe, dataset: str) -> dict[str, str]:
    """Return where each value of the recipe comes from, in words for a person."""
    by_dataset = recipe_layers.BY_DATASET[recipe_layers.data_kind(dataset)]
    words = {"": engine_choice.FLAG}
    found = {key: words.get(origin, origin) for key, origin in resolved.origins.items()}
    for key, origin in found.items():
        if getattr(fitted, key) != getattr(resolved.recipe, key):
            found[key] = IMAGES
        elif origin == engine_choice.DEFAULT and key in by_dataset:
            found[key] = "data set"
    return found

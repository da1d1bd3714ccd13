"""Values that somebody asked for and that change nothing, because another value has no use for them."""

from __future__ import annotations

from collections.abc import Iterator

from .recipe import Recipe, Resolved

OF_OPTIMIZER = {
    "momentum": ("sgd", "muon", "rmsprop"),
    "nesterov": ("sgd", "muon"),
    "betas": ("adam", "adamw", "lamb", "muon"),
    "eps": ("adam", "adamw", "lamb", "muon", "rmsprop"),
    "rest_lr": ("muon",),
}
OF_AUGMENTATION = {
    "crop_padding": "crop",
    "translate_pixels": "translate",
    "cutout_size": "cutout",
    "jitter_strength": "jitter",
    "randaugment_strength": "randaugment",
}


def remarks(resolved: Resolved, *, flags_only: bool = False) -> list[str]:
    """A line for each value without effect that a flag or a file sets; ``flags_only``: the file is a whole recipe."""
    return [
        f"{key.replace('_', '-')} has no effect {why}"
        for key, why in _without_effect(resolved.recipe)
        if key in resolved.asked and not (flags_only and resolved.origins[key])
    ]


def _without_effect(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for key, optimizers in OF_OPTIMIZER.items():
        if recipe.optimizer not in optimizers:
            yield key, f"on {recipe.optimizer}"
    if recipe.sam == "none":
        yield "rho", "without sam"
    if recipe.schedule != "step":
        yield "milestones", f"on the schedule {recipe.schedule}"
        yield "gamma", f"on the schedule {recipe.schedule}"
    for key, augmentation in OF_AUGMENTATION.items():
        if augmentation not in recipe.augment:
            yield key, f"without {augmentation} in augment"
    if recipe.freeze == "backbone":
        yield "backbone_lr", "on a frozen backbone"
        yield "layer_decay", "on a frozen backbone"

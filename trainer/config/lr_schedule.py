"""The learning rate as a pure function of the step, so that a resumed run needs no memory of it.

``progress`` runs from 0 to 1 and is taken in the middle of a step: the first rate is above 0, and so is the last.
One-cycle is Smith and Topin, "Super-Convergence", arXiv:1708.07120, section 4, with one cosine up and one down; cosine is
Loshchilov and Hutter, SGDR, arXiv:1608.03983, equation 5, without restarts.
"""

from __future__ import annotations

import math

from .recipe import Recipe

ONE_CYCLE_RISE = 0.3
"""Part of a one-cycle run in which the rate rises, where the recipe gives no warm-up of its own."""

ONE_CYCLE_START = 1 / 25
"""First rate of a one-cycle run, as a part of the peak."""


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of step number ``step`` (from 0) in a run of ``recipe.epochs`` epochs; never 0."""
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "one-cycle":
        return recipe.lr * _one_cycle(step, total, recipe.warmup * steps_per_epoch)
    warm = min(round(recipe.warmup * steps_per_epoch), total - 1)
    if step < warm:
        return recipe.lr * (step + 1) / (warm + 1)
    if recipe.schedule == "step":
        progress = (step + 0.5) / total
        return recipe.lr * recipe.gamma ** sum(progress >= milestone for milestone in recipe.milestones)
    return recipe.lr * _shape(recipe.schedule, (step - warm + 0.5) / (total - warm))


def _shape(schedule: str, progress: float) -> float:
    if schedule == "linear":
        return 1 - progress
    return _falling(progress) if schedule == "cosine" else 1.0


def _one_cycle(step: int, total: int, rise: float) -> float:
    rise = rise or ONE_CYCLE_RISE * total
    position = step + 0.5
    if position < rise:
        return ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - _falling(position / rise))
    return _falling((position - rise) / (total - rise))


def _falling(progress: float) -> float:
    """Return half a cosine from 1 at 0 to 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def curve(recipe: Recipe, steps_per_epoch: int, points: int = 60) -> list[float]:
    """Return the learning rates at ``points`` evenly spread steps of the run (fewer where it has fewer), for drawing."""
    total = recipe.epochs * steps_per_epoch
    count = min(points, total)
    return [learning_rate(recipe, index * total // count, steps_per_epoch) for index in range(count)]

"""Rare and frequent classes: how much each counts in the loss, and how often its images are shown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..config.recipe import Recipe


def class_weights(recipe: Recipe, counts: Sequence[int]) -> list[float] | None:
    """Return the factor on the loss of each class, where class i has ``counts[i]`` images to train on; None for all
    alike.

    "balanced": classes get equal shares of the loss, n / (classes · n_i) (King and Zeng, "Logistic Regression in Rare Events
    Data", 2001). Numbers are the recipe's own. Either way the mean over the images shown is 1, so that the rate need not
    change. A class without images has 0 with "balanced".
    """
    if recipe.class_weights == "none":
        return None
    shown = [min(1, count) for count in counts] if recipe.sampling == "balanced" else list(counts)
    if isinstance(recipe.class_weights, str):
        weights = [1 / count if count else 0.0 for count in counts]
    else:
        weights = list(recipe.class_weights)
    mean = sum(weight * count for weight, count in zip(weights, shown, strict=True)) / sum(shown)
    return [weight / mean for weight in weights]


def balanced_order(labels: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """Return the indices int64 (N,) in which each class of ``labels`` (N,) comes equally often, ±1, in random order.

    Images of a rare class are repeated, all of them before any comes again; of a frequent one as many are left out.
    An epoch stays as long as without.
    """
    members = [torch.nonzero(labels == number).flatten() for number in range(num_classes)]
    members = [indices for indices in members if len(indices)]
    share, left = divmod(len(labels), len(members))
    lucky = set(torch.randperm(len(members), generator=generator)[:left].tolist())
    chosen = [_repeated(indices, share + (position in lucky), generator) for position, indices in enumerate(members)]
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=generator)]


def _repeated(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` of the indices, shuffled as often as it takes."""
    rounds = -(-count // len(indices))
    shuffled = [indices[torch.randperm(len(indices), generator=generator)] for _ in range(rounds)]
    return torch.cat(shuffled)[:count] if shuffled else indices[:0]

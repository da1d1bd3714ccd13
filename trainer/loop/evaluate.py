"""How good a network is: loss, accuracy, accuracy per class and confusion counts on one part of a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices.process_group import ALONE, Group


@dataclass(frozen=True)
class Evaluation:
    """``loss`` is the mean cross-entropy in nats. ``confusion[i][j]`` counts images of class i taken for class j."""

    loss: float
    accuracy: float
    per_class: list[float | None]
    confusion: list[list[int]]
    count: int


def scores_of(outputs: Tensor | tuple) -> Tensor:
    """Return the class scores (B, classes) in what a network returns: itself, or the first item in training mode."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def evaluate(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    num_classes: int,
    precision: Callable[[], AbstractContextManager] = nullcontext,
    group: Group = ALONE,
    mirrored: bool = False,
) -> Evaluation:
    """Evaluate ``network`` in eval mode, without gradients; its mode is as before afterwards.

    ``batches`` gives images (B, C, H, W) and classes (B,). Nothing is fetched from the device before the last batch.
    A class without images has None as its accuracy; without any image loss and accuracy are NaN. Each rank of ``group``
    gives its part of the images, which may be none, and all get the result for the whole. ``mirrored``: evaluated are
    the mean scores of each image and its mirror image.
    """
    training = network.training
    network.eval()
    losses: list[Tensor] = []
    confusion: Tensor | None = None
    try:
        # no_grad instead of inference_mode: a table that a network makes and keeps here must be fit for training.
        with torch.no_grad():
            for images, targets in batches:
                with precision():
                    scores = scores_of(network(images)).float()
                    if mirrored:
                        scores = (scores + scores_of(network(images.flip(3))).float()) / 2
                losses.append(F.cross_entropy(scores, targets, reduction="sum"))
                counts = _confusion(scores.argmax(1), targets, num_classes)
                confusion = counts if confusion is None else confusion + counts
    finally:
        network.train(training)
    if confusion is None:
        device = next((weight.device for weight in network.parameters()), None)
        confusion = torch.zeros((num_classes, num_classes), dtype=torch.int64, device=device)
        losses.append(torch.zeros((), device=device))
    return _summary(group.sum(torch.stack(losses).sum()).item(), group.sum(confusion).tolist())


def _confusion(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """Return the counts (classes, classes) of one batch, row = true class, on the device."""
    pairs = targets * num_classes + predicted
    # scatter_add_ is deterministic for whole numbers, and bincount on a GPU would wait for the largest value.
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=targets.device)
    return counts.scatter_add_(0, pairs, torch.ones_like(pairs)).view(num_classes, num_classes)


def _summary(loss: float, confusion: list[list[int]]) -> Evaluation:
    right = [row[index] for index, row in enumerate(confusion)]
    count = sum(sum(row) for row in confusion)
    per_class = [hits / sum(row) if sum(row) else None for hits, row in zip(right, confusion, strict=True)]
    if not count:
        return Evaluation(math.nan, math.nan, per_class, confusion, 0)
    return Evaluation(loss / count, sum(right) / count, per_class, confusion, count)

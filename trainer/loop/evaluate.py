"""How good a network is on one part of a data set: loss, accuracy, accuracy per class, confusion counts, kind of outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..common.json_safe import short
from ..devices.process_group import ALONE, Group

PROBABILITIES, BOUNDED = "probabilities", "0 to 1"
"""Outputs that are ≥ 0 and add up to 1 for every image; those that all lie within 0 … 1. Scores are neither."""
ROUNDING = 1e-4
"""How far rows of probabilities may be from 1; autocast computes a softmax in single precision."""
VARIES = 0.05
"""Variance, summed over the classes, from which on outputs within 0 … 1 are no constants that lie there by chance."""


@dataclass(frozen=True)
class Evaluation:
    """``loss`` is the mean cross-entropy in nats. ``confusion[i][j]`` counts images of class i taken for class j.

    ``loss_error`` is the standard error of the loss, NaN where it is not known. ``outputs`` is PROBABILITIES or BOUNDED
    where the network returns such in the place of scores, else "".
    """

    loss: float
    accuracy: float
    per_class: list[float | None]
    confusion: list[list[int]]
    count: int
    loss_error: float = math.nan
    outputs: str = ""

    @property
    def largest_class(self) -> float:
        """The share of the images that are of the most frequent class; NaN without images."""
        return max(map(sum, self.confusion)) / self.count if self.count else math.nan

    @property
    def most_predicted(self) -> tuple[int, float]:
        """The class for which most images are taken, and the share of these images; NaN without images."""
        taken = [sum(column) for column in zip(*self.confusion, strict=True)]
        index = max(range(len(taken)), key=lambda column: taken[column])
        return index, taken[index] / self.count if self.count else math.nan

    def figures(self, *, own_loss: bool) -> dict[str, object]:
        """Return what a record keeps of it beside loss and accuracy, for those who read the curve.

        With a loss of its own a network may return what it likes, so nothing is said of its outputs.
        """
        taken_for, share = self.most_predicted
        found: dict[str, object] = {
            "loss_error": short(self.loss_error),
            "largest_class": short(self.largest_class),
            "most_predicted": short(share),
            "most_predicted_class": taken_for,
        }
        return found | ({"outputs": self.outputs} if self.outputs and not own_loss else {})


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
    facts: list[Tensor] = []
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
                facts.append(_facts(scores, targets))
                counts = _confusion(scores.argmax(1), targets, num_classes)
                confusion = counts if confusion is None else confusion + counts
    finally:
        network.train(training)
    if confusion is None:
        device = next((weight.device for weight in network.parameters()), None)
        confusion = torch.zeros((num_classes, num_classes), dtype=torch.int64, device=device)
        losses.append(torch.zeros((), device=device))
        facts.append(torch.zeros(4 + num_classes, device=device))
    sums = torch.cat([torch.stack(losses).sum()[None], torch.stack(facts).sum(0)])
    return _summary(group.sum(sums).tolist(), group.sum(confusion).tolist())


def _facts(scores: Tensor, targets: Tensor) -> Tensor:
    """Return sums over a batch, on the device: of squared losses, of rows that are no probabilities, of rows that leave
    0 … 1, of squared scores, and of the scores of each class.
    """
    losses = F.cross_entropy(scores, targets, reduction="none")
    outside = ((scores < 0) | (scores > 1) | ~scores.isfinite()).any(1)
    no_probabilities = outside | ((scores.sum(1) - 1).abs() > ROUNDING)
    single = (losses.square().sum(), no_probabilities.sum().float(), outside.sum().float(), scores.square().sum())
    return torch.cat([torch.stack(single), scores.sum(0)])


def _kind_of_outputs(no_probabilities: float, outside: float, squares: float, sums: list[float], count: int) -> str:
    if outside or len(sums) < 2:
        return ""
    if not no_probabilities:
        return PROBABILITIES
    variance = squares / count - sum((total / count) ** 2 for total in sums)
    return BOUNDED if variance >= VARIES else ""


def _confusion(predicted: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """Return the counts (classes, classes) of one batch, row = true class, on the device."""
    pairs = targets * num_classes + predicted
    # scatter_add_ is deterministic for whole numbers, and bincount on a GPU would wait for the largest value.
    counts = torch.zeros(num_classes * num_classes, dtype=torch.int64, device=targets.device)
    return counts.scatter_add_(0, pairs, torch.ones_like(pairs)).view(num_classes, num_classes)


def _summary(sums: list[float], confusion: list[list[int]]) -> Evaluation:
    """Return what the sums over all images say: of the losses, and of what `_facts` adds up."""
    loss, squares, no_probabilities, outside, squared_scores, *scores = sums
    right = [row[index] for index, row in enumerate(confusion)]
    count = sum(sum(row) for row in confusion)
    per_class = [hits / sum(row) if sum(row) else None for hits, row in zip(right, confusion, strict=True)]
    if not count:
        return Evaluation(math.nan, math.nan, per_class, confusion, 0)
    variance = max(squares / count - (loss / count) ** 2, 0.0)
    error = math.sqrt(variance / count) if math.isfinite(variance) else math.nan
    outputs = _kind_of_outputs(no_probabilities, outside, squared_scores, scores, count)
    return Evaluation(loss / count, sum(right) / count, per_class, confusion, count, error, outputs)

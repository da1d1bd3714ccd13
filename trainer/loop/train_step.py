"""One step of a training: forward, loss, backward, clipping, optimiser, moving average.

What changes the way a step is made (mixed precision, accumulation) is here and nowhere else; the loop only asks for
the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from ..config.recipe import Recipe
from ..optim.build import Average, clip_gradients, gradient_norm, set_rate
from ..optim.sam import SAM
from .evaluate import scores_of

Precision = Callable[[], AbstractContextManager]


def autocast(precision: str, device: torch.device, *, cache: bool = True) -> Precision:
    """Return what opens a context in which convolutions and products run in ``precision`` ("fp32", "bf16", "fp16").

    Without ``cache`` weights are converted at each use, as recorded kernels need it.
    """
    if precision == "fp32":
        return nullcontext
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return lambda: torch.autocast(device.type, dtype=dtype, cache_enabled=cache)


class StepMetrics(NamedTuple):
    """Of one step, still on the device: the loss (scalar) and the number of images classified rightly (scalar)."""

    loss: Tensor
    correct: Tensor


class Updater:
    """Updates ``network`` with ``optimizer`` as ``recipe`` says.

    The network may bring its own loss, ``training_loss(outputs, images, targets, criterion)``; otherwise it is the
    cross-entropy, smoothed by the recipe, of its scores. ``forward`` is the network as it is called, where something is
    wrapped around it. One of several ranks weights its loss with ``share`` (batches.py). ``class_weights`` (classes,) are
    factors on the loss of each class.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: Optimizer,
        recipe: Recipe,
        precision: Precision = nullcontext,
        average: Average | None = None,
        scaler: torch.amp.GradScaler | None = None,
        forward: nn.Module | None = None,
        share: float = 1.0,
        class_weights: Tensor | None = None,
    ) -> None:
        self.network = network
        self._forward = network if forward is None else forward  # a module may have a length, and that may be 0
        self._quiet = getattr(self._forward, "no_sync", nullcontext)
        self._share = share
        self.optimizer = optimizer
        self.average = average
        self.scaler = scaler
        self.accumulate = recipe.accumulate
        """Parts in which a batch is worked off: more than the recipe's where memory did not suffice."""
        self._recipe = recipe
        self._precision = precision
        self._own_loss = getattr(network, "training_loss", None)
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._norm: Tensor | None = None
        self._class_weights = class_weights
        device = next(network.parameters()).device
        self._sam = None if recipe.sam == "none" else SAM(network, recipe.rho, recipe.sam == "asam", device)

    def criterion(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of scores (B, classes) with classes (B,) or probabilities (B, classes), in
        fp32.

        With class weights the sum is divided by B, not by the weights of the batch's classes: so every image counts the
        same in whatever batch, or part of one, it is met.
        """
        smoothing = self._recipe.label_smoothing
        if self._class_weights is None:
            return F.cross_entropy(scores.float(), targets, label_smoothing=smoothing)
        weights = self._class_weights
        total = F.cross_entropy(scores.float(), targets, weights, label_smoothing=smoothing, reduction="sum")
        return total / len(targets)

    def __call__(self, images: Tensor, targets: Tensor, rate: float) -> StepMetrics:
        """Make one step at learning rate ``rate`` with images (B, C, H, W) and their targets. Waits for nothing."""
        set_rate(self.optimizer, rate)
        metrics = self._passes(images, targets)
        self._apply()
        return metrics

    def rehearse(self, images: Tensor, targets: Tensor) -> None:
        """Run a step up to the gradients, which are dropped: the weights stay as they are."""
        self._passes(images, targets)
        self._forget_gradients()

    def _passes(self, images: Tensor, targets: Tensor) -> StepMetrics:
        """Return the gradients that the step is made of, and the figures of the weights as they are."""
        self._forget_gradients()
        if self._sam is None:
            return self._gradients(images, targets)
        self._sam.begin()
        metrics = self._gradients(images, targets)
        with self._sam.perturbed_weights():
            self._forget_gradients()
            self._gradients(images, targets)
        return metrics

    def _forget_gradients(self) -> None:
        """Clear the gradients as optimizer.zero_grad() does, without its record for the profiler: 30 µs in every step."""
        for parameter in self._parameters:
            parameter.grad = None

    def _gradients(self, images: Tensor, targets: Tensor) -> StepMetrics:
        """Add the gradients of a batch to what is there."""
        if self.accumulate == 1:
            return self._backward(images, targets, self._share)
        return self._backward_in_parts(images, targets, self.accumulate)

    def _backward_in_parts(self, images: Tensor, targets: Tensor, parts: int) -> StepMetrics:
        """Add up the gradients of parts of the batch, each weighted by its share: the gradient of the whole batch.

        All parts but the last hold ``len(images) / parts`` images, rounded up, so there may be fewer of them than ``parts``.
        """
        pieces = list(zip(images.chunk(parts), targets.chunk(parts), strict=True))
        metrics = []
        for number, (piece, labels) in enumerate(pieces, 1):
            # Ranks average their gradients once, with the last piece.
            with nullcontext() if number == len(pieces) else self._quiet():
                metrics.append(self._backward(piece, labels, self._share * len(piece) / len(images)))
        return StepMetrics(sum(f.loss for f in metrics), sum(f.correct for f in metrics))  # pyright: ignore[reportArgumentType] never 0: there is a part

    def _backward(self, images: Tensor, targets: Tensor, share: float) -> StepMetrics:
        with self._precision():
            outputs = self._forward(images)
            if self._own_loss is not None:
                loss = self._own_loss(outputs, images, targets, self.criterion)
            else:
                loss = self.criterion(scores_of(outputs), targets)
        if share != 1.0:
            loss = loss * share
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        classes = targets if targets.ndim == 1 else targets.argmax(1)
        return StepMetrics(loss.detach(), (scores_of(outputs).argmax(1) == classes).sum())

    def _apply(self) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        self._norm = clip_gradients(self.network, self._recipe.clip_norm) if self._recipe.clip_norm else None
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        if self.average is not None:
            self.average.update()

    def gradient_norm(self) -> float:
        """Return the norm of the last step's gradient, before clipping; waits for the device."""
        norm = self._norm if self._norm is not None else gradient_norm(self.network)
        return norm.item()

    @property
    def eval_model(self) -> nn.Module:
        """The network whose accuracy counts: the moving average where there is one."""
        return self.network if self.average is None else self.average.network

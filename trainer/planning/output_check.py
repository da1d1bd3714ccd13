"""What a network of one's own gives back in training, tried out on two small batches before a run exists.

A run that would fail at its first step, or learn something else than what it was made for, is refused in one line. The
networks of the catalogue and of libraries are known, so that only the size of a batch is held against them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ...errors import UsageError, with_article
from ...models.anatomy.forward.outputs import named_tensors
from ...models.anatomy.forward.untouched import random_state_kept
from ...models.anatomy.outside.traced import place_of_forward
from ...models.catalogue import registry, user_code
from ...models.own.modes import training
from ..common.progress import Log
from ..config.recipe import Recipe
from ..config.run_config import NetworkConfig
from ..loop.evaluate import scores_of
from ..weights import weight_files
from .networks import PlannedNetwork

BATCHES = 2
BATCH = 2
LARGE = 20_000_000
"""Parameters of the largest network that is tried with real numbers, unless it needs them to be tried at all."""
TOO_LARGE = 500_000_000
"""Parameters of a network that is never tried with them."""
MACS_OF_TWO, MACS_OF_ONE = 300_000_000, 2_000_000_000
"""MACs for an image up to which two batches are tried, and up to which one is."""
TOLERANCE = 1e-3
PROBABILITIES = (
    "returns probabilities (rows ≥ 0 that add up to 1), and the loss takes the softmax itself: "
    "leave the softmax out and return the scores before it"
)
OVER_IMAGES = (
    "ends in a softmax over the images of the batch (dim 0), so that each score depends on the other images, and the "
    "loss takes the softmax over the classes itself: leave it out and return the scores before it"
)


def is_unknown(network: PlannedNetwork) -> bool:
    """Return whether a network is a person's own, handed over, of a file, or of the folder of their architectures."""
    if network.in_catalogue:
        return not registry.comes_with_the_program(network.variant.name)
    return network.own is not None


def check(network: PlannedNetwork, config: NetworkConfig, dataset: str, log: Log) -> None:
    """UsageError where the network of a person cannot be trained as it is; a remark is told to ``log``.

    It is tried without values first, which costs nothing and shows the kind of most faults; then, where that takes no
    longer than a moment, on random images.
    """
    if not is_unknown(network) or config.parameters > TOO_LARGE:
        return
    with random_state_kept(), user_code.silent():
        torch.manual_seed(0)
        macs = _try_without_values(config, dataset)
        batches = 1 if macs is None else 0 if config.parameters > LARGE else BATCHES if macs <= MACS_OF_TWO else 1
        if macs is not None and macs > MACS_OF_ONE:
            batches = 0
        remark = _try_values(config, dataset, batches) if batches else ""
    if remark:
        log(remark)


def _try_without_values(config: NetworkConfig, dataset: str) -> int | None:
    """Return the MACs for an image; None where the network cannot run without values. UsageError."""
    try:
        with torch.device("meta"):
            built = training(weight_files.build(config))
            with FlopCounterMode(display=False) as counter:
                outputs = built(torch.empty(BATCH, config.in_channels, config.image_size, config.image_size))
    except BaseException as error:  # told by the run with values, which may as well go through
        if isinstance(error, KeyboardInterrupt):
            raise
        return None
    trial = _Trial(built, config, dataset)
    scores = trial.scores(outputs)
    trial.check_kind(scores)
    if not hasattr(built, "training_loss") and type(scores.grad_fn).__name__.startswith("SoftmaxBackward"):
        raise trial.refused(OVER_IMAGES if _is_over_images(scores.grad_fn) else PROBABILITIES)
    return counter.get_total_flops() // 2 // BATCH


def _is_over_images(softmax: Any) -> bool:
    """Return whether a softmax, as the gradient's graph tells it, was taken along the first of two axes."""
    return softmax._saved_dim in (0, 2**64 - 2)  # -2 is kept without its sign


def _try_values(config: NetworkConfig, dataset: str, batches: int) -> str:
    """Try training steps on random images; return what a person should know, "" for nothing. UsageError."""
    with user_code.one_line(config.name, "cannot be built"):
        built = training(weight_files.build(config))
    trial = _Trial(built, config, dataset)
    try:
        _train_a_little(trial, batches)
    except UsageError as error:
        if not isinstance(error.__cause__, torch.OutOfMemoryError):
            raise
        return ""  # the training has smaller parts of a batch for that, and words of its own
    return trial.remark()


def _train_a_little(trial: _Trial, batches: int) -> None:
    built, config = trial.network, trial.config
    for _ in range(batches):
        with user_code.one_line(config.name, "fails in training", type(built)):
            images = torch.randn(BATCH, config.in_channels, config.image_size, config.image_size)
            outputs = built(images)
        scores = trial.scores(outputs)
        trial.check_kind(scores)
        trial.check_values(scores)
        trial.check_gradient(outputs, images)


@dataclass
class _Trial:
    """A network on trial. ``are_probabilities`` and ``are_logarithms`` hold as long as all rows seen were such."""

    network: nn.Module
    config: NetworkConfig
    dataset: str
    are_probabilities: bool = True
    are_logarithms: bool = True

    def scores(self, outputs: object) -> Tensor:
        """Return the scores in what the network returned. UsageError unless they are a row for each image."""
        return scores_in(outputs, self.network, self.config.name, self.config.num_classes, self.dataset)

    def check_kind(self, scores: Tensor) -> None:
        """UsageError for scores that cannot be learnt from."""
        if scores.is_complex():
            raise self.refused(
                f"returns complex numbers ({_dtype(scores)}); return real scores, their abs() for example"
            )
        if not scores.is_floating_point():
            raise self.refused(f"returns whole numbers ({_dtype(scores)}); return the scores, without argmax")
        if not scores.requires_grad:
            raise self.refused("returns scores without a gradient (detach(), .data or no_grad() in its forward)")

    def check_values(self, scores: Tensor) -> None:
        """UsageError for infinite scores; note whether they are probabilities or logarithms of such."""
        if not bool(torch.isfinite(scores).all()):
            raise self.refused("returns infinite scores or NaN for random images")
        values = scores.detach().double()
        sums_to_one = bool(((values.exp().sum(1) - 1).abs() < TOLERANCE).all())
        self.are_logarithms = self.are_logarithms and sums_to_one and self.config.num_classes > 1
        positive = bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < TOLERANCE).all())
        self.are_probabilities = self.are_probabilities and positive and self.config.num_classes > 1

    def check_gradient(self, outputs: Any, images: Tensor) -> None:
        """UsageError where the loss, which may be the network's own, has no gradient or an infinite one."""
        own_loss = getattr(self.network, "training_loss", None)
        if self.are_probabilities and own_loss is None:
            raise self.refused(PROBABILITIES)
        targets = torch.arange(BATCH) % self.config.num_classes
        with user_code.one_line(self.config.name, "fails in training", type(self.network)):
            if own_loss is None:
                loss = F.cross_entropy(scores_of(outputs).float(), targets)
            else:
                loss = own_loss(outputs, images, targets, F.cross_entropy)
            self.network.zero_grad()
            loss.backward()
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        if not gradients:
            raise self.refused("learns nothing: no gradient of the loss reaches its parameters")
        if not all(bool(torch.isfinite(gradient).all()) for gradient in gradients):
            raise self.refused("has gradients that are infinite or NaN for random images")

    def remark(self) -> str:
        """Return what a person should know, "" for nothing."""
        if not self.are_logarithms or hasattr(self.network, "training_loss"):
            return ""
        return (
            f"{self.config.name} returns log-probabilities (log_softmax), which are taken as scores: cross-entropy "
            "takes the softmax of them once more, which changes nothing"
        )

    def refused(self, hint: str) -> UsageError:
        """Return the error with the line of the forward."""
        return UsageError("network", self.config.name, hint + where(self.network))


def scores_in(outputs: object, network: nn.Module, name: str, classes: int, dataset: str) -> Tensor:
    """Return the scores in what a network returned for two images. UsageError unless there is one for each class."""
    if isinstance(outputs, tuple) and outputs:
        outputs = outputs[0]
    if not isinstance(outputs, Tensor):
        what = "nothing (its forward has no return)" if outputs is None else with_article(type(outputs).__name__)
        keys = [key for key, _ in named_tensors(outputs) if key]
        hint = f"; return one of its values ({', '.join(keys[:4])})" if keys else ""
        needed = "to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, f"returns {what}; {needed}{hint}{where(network)}")
    if outputs.ndim != 2 or len(outputs) != BATCH:
        shape = "×".join(map(str, outputs.shape)) or "one value"
        needed = "to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, f"returns {shape} for {BATCH} images; {needed}{where(network)}")
    if outputs.shape[1] != classes:
        hint = f"returns {outputs.shape[1]} scores for an image, and {dataset} has {classes} classes"
        raise UsageError("network", name, hint + where(network))
    return outputs


def where(network: nn.Module) -> str:
    """Return the line of the forward for the end of a message, "" for a network of a library."""
    place = place_of_forward(network)
    return f" ({place})" if place else ""


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def check_single_image(config: NetworkConfig, recipe: Recipe, ranks: int) -> None:
    """UsageError where some part of a batch is a single image and a norm of the network needs more values than one."""
    batch = recipe.batch_size // max(1, ranks)
    whole = math.ceil(batch / recipe.accumulate)
    if batch - whole * (math.ceil(batch / whole) - 1) != 1:
        return
    shape = (1, config.in_channels, config.image_size, config.image_size)
    try:
        with random_state_kept(), user_code.silent(), torch.no_grad(), torch.device("meta"):
            training(weight_files.build(config))(torch.empty(shape))
    except BaseException as error:  # other faults are told by those who look for them
        if isinstance(error, KeyboardInterrupt):
            raise
        if "more than 1 value per channel" in str(error):
            parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
            hint = (
                f"leaves a single image{parts}, and a norm of {config.name} needs more values than one image has there"
            )
            raise UsageError(
                "batch-size", recipe.batch_size, f"{hint}; take at least {2 * recipe.accumulate}"
            ) from error

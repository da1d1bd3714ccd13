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

from ... import user_code
from ...errors import UsageError
from ...models.anatomy.outputs import named_tensors
from ...models.anatomy.traced import place_of_forward
from ...models.anatomy.untouched import random_state_kept
from ...models.catalogue import registry
from ..common.progress import Log
from ..config.recipe import Recipe
from ..config.run_config import NetworkConfig
from ..loop.evaluate import scores_of
from ..weights import weight_files
from .networks import Network

BATCHES = 2
BATCH = 2
LARGE = 20_000_000
"""Parameters from which on one batch has to do."""
TOO_LARGE = 500_000_000
"""Parameters of a network of which no batch is tried."""
TOLERANCE = 1e-3


def is_unknown(network: Network) -> bool:
    """Return whether a network is a person's own, handed over, of a file, or of the folder of their architectures."""
    if network.in_catalogue:
        return not registry.comes_with_the_program(network.variant.name)
    return network.own is not None


def check(network: Network, config: NetworkConfig, dataset: str, log: Log) -> None:
    """UsageError where the network of a person cannot be trained as it is; a remark is told to ``log``."""
    if not is_unknown(network) or config.parameters > TOO_LARGE:
        return
    remark = ""
    with random_state_kept(), user_code.silent():
        torch.manual_seed(0)
        built = weight_files.build(config).train()
        trial = _Trial(built, config, dataset)
        for _ in range(1 if config.parameters > LARGE else BATCHES):
            with user_code.one_line(config.name, "fails in training", type(built)):
                images = torch.randn(BATCH, config.in_channels, config.image_size, config.image_size)
                outputs = built(images)
            scores = trial.scores(outputs)
            trial.check_values(scores)
            trial.check_gradient(outputs, images)
        remark = trial.remark()
    if remark:
        log(remark)


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

    def check_values(self, scores: Tensor) -> None:
        """UsageError for scores that cannot be learnt from, and for probabilities."""
        if not scores.is_floating_point():
            raise self.refused(f"returns whole numbers ({_dtype(scores)}); return the scores, without argmax")
        if not bool(torch.isfinite(scores).all()):
            raise self.refused("returns infinite scores or NaN for random images")
        if not scores.requires_grad:
            raise self.refused("returns scores without a gradient (detach(), .data or no_grad() in its forward)")
        values = scores.detach().double()
        sums_to_one = bool(((values.exp().sum(1) - 1).abs() < TOLERANCE).all())
        self.are_logarithms = self.are_logarithms and sums_to_one and self.config.num_classes > 1
        positive = bool((values >= 0).all()) and bool(((values.sum(1) - 1).abs() < TOLERANCE).all())
        self.are_probabilities = self.are_probabilities and positive and self.config.num_classes > 1

    def check_gradient(self, outputs: Any, images: Tensor) -> None:
        """UsageError where the loss, which may be the network's own, has no gradient or an infinite one."""
        own_loss = getattr(self.network, "training_loss", None)
        if self.are_probabilities and own_loss is None:
            hint = (
                "returns probabilities (rows ≥ 0 that add up to 1), and the loss takes the softmax itself: "
                "leave the softmax out and return the scores before it"
            )
            raise self.refused(hint)
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
        return UsageError("network", self.config.name, hint + _where(self.network))


def scores_in(outputs: object, network: nn.Module, name: str, classes: int, dataset: str) -> Tensor:
    """Return the scores in what a network returned for two images. UsageError unless there is one for each class."""
    if isinstance(outputs, tuple) and outputs:
        outputs = outputs[0]
    if not isinstance(outputs, Tensor):
        what = "nothing (its forward has no return)" if outputs is None else f"a {type(outputs).__name__}"
        keys = [key for key, _ in named_tensors(outputs) if key]
        hint = f"; return one of its values ({', '.join(keys[:4])})" if keys else ""
        needed = "to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, f"returns {what}; {needed}{hint}{_where(network)}")
    if outputs.ndim != 2 or len(outputs) != BATCH:
        shape = "×".join(map(str, outputs.shape)) or "one value"
        needed = "to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, f"returns {shape} for {BATCH} images; {needed}{_where(network)}")
    if outputs.shape[1] != classes:
        hint = f"returns {outputs.shape[1]} scores for an image, and {dataset} has {classes} classes"
        raise UsageError("network", name, hint + _where(network))
    return outputs


def _where(network: nn.Module) -> str:
    where = place_of_forward(network)
    return f" ({where})" if where else ""


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
            weight_files.build(config).train()(torch.empty(shape))
    except Exception as error:  # other faults are told by those who look for them
        if "more than 1 value per channel" in str(error):
            parts = f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else ""
            hint = (
                f"leaves a single image{parts}, and a norm of {config.name} needs more values than one image has there"
            )
            raise UsageError(
                "batch-size", recipe.batch_size, f"{hint}; take at least {2 * recipe.accumulate}"
            ) from error

"""Memory of a run on one device: the update and the evaluation as they will be, run on tensors without memory.

It is the trainer's own update that runs, so that the moving average, SAM's copy of the weights, parts of a batch, frozen
weights and what an optimiser keeps and computes with are counted as they come (models/anatomy/totals/live_bytes.py).
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...models.anatomy.totals.autocast import Autocast, keep_recurrent_layers
from ...models.anatomy.totals.live_bytes import LiveBytes
from ...models.anatomy.totals.memory import as_on_device
from ..batches.batches import EVALUATION_PIXELS
from ..config.run_config import RunConfig
from ..loop.evaluate import scores_of
from ..loop.train_step import Precision, Updater
from ..optim import fine_tuning
from ..optim.build import Average, build_optimizer
from ..weights import weight_files

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
FUSED = ("sgd", "adam", "adamw")
"""Optimisers whose kernels work on all weights at once and keep nothing beside their states."""


@dataclass(frozen=True)
class RunMemory:
    """The most bytes that are alive in an update, and in a batch of an evaluation, with all that stands beside it.

    ``gradients`` are the bytes of the gradients alone.
    """

    update: int
    evaluation: int
    gradients: int


def memory_of_run(config: RunConfig) -> RunMemory:
    """Return the memory of a run on one device; the images that are kept on a device are not counted.

    Raises whatever a network raises that does not run without values.
    """
    recipe, network = config.recipe, weight_files.build_on_meta(config.network)
    begun = config.network.pretrained.newly_initialised if config.network.pretrained else ()
    if recipe.freeze == "backbone":
        fine_tuning.freeze(network, begun)
    fine_tuning.train_mode(network)
    average = Average(network, copy.deepcopy(network), recipe.ema) if recipe.ema else None
    precision = _precision(config, network)
    optimizer = build_optimizer(network, recipe, fine_tuning.rate_scales(network, recipe, begun))
    _begin(optimizer, config)
    updater = Updater(network, optimizer, recipe, precision, average)
    images, targets = _batch(config, recipe.batch_size)
    counter = LiveBytes()
    kept = [network] if average is None else [network, average.network]
    counter.hold(tensor for each in kept for tensor in (*each.parameters(), *each.buffers()))
    counter.hold(value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor))
    with counter, as_on_device():
        counter.hold((images, targets))
        updater(images, targets, recipe.lr)
    update, counter.peak = counter.peak, 0
    del images, targets
    _evaluate(updater.eval_model, config, precision, counter)
    gradients = sum(weight.untyped_storage().nbytes() for weight in network.parameters() if weight.requires_grad)
    return RunMemory(update, counter.peak, gradients)


def _precision(config: RunConfig, network: nn.Module) -> Precision:
    dtype = DTYPES.get(config.engine.precision)
    if dtype is None:
        return nullcontext
    keep_recurrent_layers(network)
    return lambda: Autocast(dtype)


def _batch(config: RunConfig, count: int) -> tuple[Tensor, Tensor]:
    network = config.network
    images = torch.empty((count, network.in_channels, network.image_size, network.image_size), device="meta")
    return images, torch.empty(count, dtype=torch.int64, device="meta")


def _begin(optimizer: Optimizer, config: RunConfig) -> None:
    """Let the optimiser make its states, and from then on work as its kernels on the device do."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for weight in weights:
        weight.grad = torch.empty_like(weight)
    optimizer.step()
    for weight in weights:
        weight.grad = None
    kernels: Any = optimizer
    if config.recipe.optimizer in FUSED:
        kernels.step = lambda: None
    elif config.recipe.optimizer == "muon":
        kernels._adamw = None  # fused as well
    elif config.engine.device != "cpu":
        for group in optimizer.param_groups:
            group["foreach"] = True


def _evaluate(network: nn.Module, config: RunConfig, precision: Precision, counter: LiveBytes) -> None:
    """Run a batch of an evaluation, with the mirror images where the test takes them too."""
    wanted = max(config.recipe.batch_size, EVALUATION_PIXELS // config.network.image_size**2)
    count = max(1, min(wanted, max(config.data.validation, config.data.test)))
    images, targets = _batch(config, count)
    network.eval()
    with torch.no_grad(), counter, as_on_device():
        counter.hold((images, targets))
        with precision():
            scores = scores_of(network(images)).float()
            if config.recipe.tta == "flip":
                scores = (scores + scores_of(network(images.flip(3))).float()) / 2
        assert len(scores) == len(targets)

"""Exact parameters and multiply-adds of any network, counted on the meta device: no memory, no arithmetic, no RNG.

Multiply-adds are those of convolutions, linear layers and attention's matrix products at batch 1 in eval mode, the
convention of the papers; FlopCounterMode counts two operations for each. Counting on meta matters: on the CPU fused
attention and the LSTM kernel are invisible to the counter (PyTorch 2.x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ..catalogue.declaration import Declaration


@dataclass(frozen=True)
class StageCount:
    """One declared stage with its output shape (batch axis left out), parameters and multiply-adds."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Count:
    """``parameters`` of the whole network (auxiliary heads included) and ``macs`` of one picture in eval mode."""

    parameters: int
    macs: int
    stages: tuple[StageCount, ...]


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory and without touching the random state."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return build()


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values; buffers such as running means are not counted, shared weights once."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def module_macs(network: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Multiply-adds by qualified module name ("" is the whole) for one picture of ``shape`` (C, H, W), on meta."""
    picture = torch.empty((1, *shape), device="meta")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(picture)
    finally:
        network.train(was_training)
    root = type(network).__name__
    totals = {"": counter.get_total_flops() // 2}
    for name, operations in counter.get_flop_counts().items():
        if name.startswith(root + "."):
            totals[name.removeprefix(root + ".")] = sum(operations.values()) // 2
    return totals


def count(network: nn.Module, shape: tuple[int, ...]) -> Count:
    """Parameters and multiply-adds of a network on the meta device for one picture of ``shape`` (C, H, W)."""
    by_module = module_macs(network, shape)
    declaration = getattr(network, "declaration", None)
    return Count(count_parameters(network), by_module[""], tuple(_stage_counts(network, declaration, by_module)))


def _stage_counts(
    network: nn.Module, declaration: Declaration | None, by_module: dict[str, int]
) -> Iterable[StageCount]:
    if declaration is None:
        return
    stages = declaration.stages
    for stage in stages:
        # Work that no submodule owns (an einsum in the network's own forward) cannot be placed and stays in the total.
        macs = sum(_macs_of(layer, by_module) for layer in stage.layers)
        yield StageCount(stage.name, stage.shape, _parameters_under(network, stage.layers), macs)


def _macs_of(layer: str, by_module: dict[str, int]) -> int:
    return by_module.get(layer, 0)


def _parameters_under(network: nn.Module, layers: tuple[str, ...]) -> int:
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if any(name == layer or name.startswith(layer + ".") for layer in layers)
    )

"""Exact parameters and MACs of any network, counted on the meta device: no memory, no arithmetic, no RNG.

MACs are those of convolutions, linear layers and attention's matrix products at batch 1 in eval mode, the
convention of the papers; PyTorch's counter has two operations for each. Counting on meta matters: on the CPU fused
attention and the LSTM kernel are invisible to the counter (PyTorch 2.x).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from ..catalogue.declaration import Stage
from .meta.macs import flop_counter
from .meta.meta_device import Meta


@dataclass(frozen=True)
class StageCount:
    """One declared stage with its output shape (batch axis left out), parameters and MACs."""

    name: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Count:
    """``parameters`` of the whole network (auxiliary heads included) and ``macs`` of one image in eval mode."""

    parameters: int
    macs: int
    stages: tuple[StageCount, ...]


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory and without touching the random state."""
    with torch.random.fork_rng(devices=[]), Meta("meta"):
        network = build()
    if isinstance(network, nn.Module):
        network.built_by = build  # pyright: ignore[reportArgumentType]  for what needs values (known_values.py)
    return network


def count_parameters(network: nn.Module) -> int:
    """Return the number of values in all parameters, frozen ones included.

    Buffers such as running means are not counted, shared weights once, and lazy ones that have no shape yet not at all.
    """
    return sum(parameter.numel() for parameter in network.parameters() if not is_lazy(parameter))


def count_trainable(network: nn.Module) -> int:
    """Return how many of ``count_parameters`` learn: those that are not frozen."""
    return sum(
        parameter.numel() for parameter in network.parameters() if parameter.requires_grad and not is_lazy(parameter)
    )


def module_macs(network: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    """Return the MACs by qualified module name ("" is the whole) for one image of ``shape`` (C, H, W), on meta."""
    image = torch.empty((1, *shape), device="meta")
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), flop_counter() as counter:
            network(image)
    finally:
        network.train(was_training)
    root = type(network).__name__
    totals = {"": counter.get_total_flops() // 2}
    for name, operations in counter.get_flop_counts().items():
        if name.startswith(root + "."):
            totals[name.removeprefix(root + ".")] = sum(operations.values()) // 2
    return totals


def count(network: nn.Module, shape: tuple[int, ...]) -> Count:
    """Count parameters and MACs of a network on the meta device for one image of ``shape`` (C, H, W)."""
    stages = declared_stages(network)
    with _recorded_shapes(network, stages) as recorded:
        by_module = module_macs(network, shape)
    shapes = _complete(network, stages, shape, recorded)
    # Work that no submodule owns (an einsum in the network's own forward) cannot be placed and stays in the total.
    counts = (
        StageCount(
            stage.name,
            shapes[stage.name],
            _parameters_under(network, stage.layers),
            sum(by_module.get(layer, 0) for layer in stage.layers),
        )
        for stage in stages
    )
    return Count(count_parameters(network), by_module[""], tuple(counts))


def declared_stages(network: nn.Module) -> tuple[Stage, ...]:
    """Return the stages that a network declares, none where it declares nothing."""
    declaration = getattr(network, "declaration", None)
    return declaration.stages if declaration else ()


def _complete(
    network: nn.Module, stages: tuple[Stage, ...], shape: tuple[int, ...], recorded: dict[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Add the shapes that are missing in ``recorded``: from a run in evaluation mode, then from one in training mode.

    The batch axis is left out: a map has (channels, height, width) or, where the architecture keeps channels last,
    (height, width, channels); a sequence has (tokens, width), a vector (n,). Auxiliary heads run in training mode alone.
    It takes two images, because batch normalisation refuses a single value.
    """
    shapes = recorded | {stage.name: stage.shape for stage in stages if stage.shape}
    device = next(network.parameters()).device
    for training in (False, True):
        missing = tuple(stage for stage in stages if stage.name not in shapes)
        if missing:
            was_training = network.training
            network.train(training)
            try:
                with torch.no_grad(), _recorded_shapes(network, missing) as found:
                    network(torch.zeros((2, *shape), device=device))
            finally:
                network.train(was_training)
            shapes |= found
    return {stage.name: shapes.get(stage.name, ()) for stage in stages}


@contextmanager
def _recorded_shapes(network: nn.Module, stages: tuple[Stage, ...]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield a dict that every run meanwhile fills: output shapes of the stages whose last module ran."""
    modules = dict(network.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def after(module: nn.Module, inputs: Any, output: Any) -> None:
            shapes[name] = tuple(next(leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)).shape[1:])

        return after

    last = {stage.name: [modules[layer] for layer in stage.layers if layer in modules][-1:] for stage in stages}
    hooks = [module.register_forward_hook(record(name)) for name, found in last.items() for module in found]
    try:
        yield shapes
    finally:
        for hook in hooks:
            hook.remove()


def _parameters_under(network: nn.Module, layers: tuple[str, ...]) -> int:
    return sum(
        parameter.numel()
        for name, parameter in network.named_parameters()
        if any(name == layer or name.startswith(layer + ".") for layer in layers)
    )

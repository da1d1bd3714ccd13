"""The anatomy of a network: a tree of stages, blocks, layers and operations with shapes, MACs and receptive fields.

Plain data, ready for JSON; computed on the meta device from one run (``trace``), never on the network in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...own.modes import evaluating
from ..counting import on_meta
from .idle_parts import with_idle_told
from .layer import Layer
from .layer_tree import tree_of
from .trace import trace


def analyse_on_meta(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of a network that was made on the meta device for this purpose; its mode is changed."""
    return analyse_run(evaluating(network), torch.empty((batch, *shape), device="meta"))


def analyse_run(network: nn.Module, *inputs: torch.Tensor | list[torch.Tensor]) -> Layer:
    """Return the layer tree of one run on the inputs given; a detector takes a list of images and real values."""
    return with_idle_told(tree_of(trace(network, *inputs), network), network, inputs)


def analyse_variant(name: str, stem: str | None = None, batch: int = 1, **arguments: Any) -> Layer:
    """Return the layer tree of a catalogue network; ``arguments`` as for ``registry.build``."""
    from ...catalogue import registry

    variant = registry.find(name)
    channels = arguments.get("in_channels") or variant.counts(stem).input[0]
    size = arguments.get("image_size") or variant.counts(stem).input[1]
    network = on_meta(lambda: registry.build(name, stem=stem, **arguments))
    return analyse_on_meta(network, (channels, size, size), batch)

"""The anatomy of a network: a tree of stages, blocks, layers and operations with shapes, MACs and receptive fields.

Plain data, ready for JSON; computed on the meta device from one run (``trace``), never on the network in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ....errors import UsageError
from ...own.modes import evaluating
from ..counting import on_meta
from ..forward.untouched import copied, random_state_kept
from .idle_parts import with_idle_told
from .layer import Layer
from .layer_tree import tree_of
from .trace import trace


def analyse(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of any network for an image of ``shape`` (C, H, W), or a clip (C, T, H, W).

    The network may be on any device and in any mode. A copy of it on the meta device is run, so it stays as it was, and
    so does everything random. A network that needs real values (``if x.mean() > 0``) is run on seeded random ones, on
    the CPU. Raises whatever the network raises; see ``external.anatomy_of`` for readable errors.
    """
    dtype = next((weight.dtype for weight in network.parameters() if weight.is_floating_point()), torch.float32)
    with random_state_kept():
        try:
            with torch.device("meta"):
                return analyse_run(evaluating(copied(network, "meta")), torch.empty((batch, *shape), dtype=dtype))
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            if any(is_lazy(weight) for weight in network.parameters()):
                raise
            try:
                torch.manual_seed(0)
                return analyse_run(evaluating(copied(network, "cpu")), torch.rand((batch, *shape), dtype=dtype))
            except (Exception, SystemExit):
                raise error from None


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

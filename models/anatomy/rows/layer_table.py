"""The anatomy of a network: a tree of stages, blocks, layers and operations with shapes, MACs and receptive fields.

Plain data, ready for JSON; computed on the meta device from one run (``trace``), never on the network in training.
"""

from __future__ import annotations

import torch
from torch import nn

from .idle_parts import with_idle_told
from .layer import Layer
from .layer_tree import tree_of
from .trace import trace


def analyse_run(network: nn.Module, *inputs: torch.Tensor | list[torch.Tensor]) -> Layer:
    """Return the layer tree of one run on the inputs given; a detector takes a list of images and real values."""
    return with_idle_told(tree_of(trace(network, *inputs), network), network, inputs)

"""Parts of a network that do not run in eval mode: whether they run in training, as auxiliary heads do."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ...own.modes import training
from ..forward.untouched import random_state_kept
from ..meta.known_shapes import KnownShapes
from .layer import Layer


def with_idle_told(tree: Layer, network: nn.Module, inputs: tuple[torch.Tensor | list[torch.Tensor], ...]) -> Layer:
    """Return the tree with the word for each part that did not run: whether it runs in training. What has no parameters
    and never runs is left out.
    """
    idle = {row.name for _, row in tree.walk() if not row.executed}
    if not idle:
        return tree
    ran = _ran_in_training(network, inputs, idle)
    if ran is None:
        return tree

    def told(row: Layer) -> Layer:
        if not row.executed:
            return replace(row, runs="training" if row.name in ran else "never")
        if not row.children:
            return row
        children = tuple(told(child) for child in row.children)
        return replace(row, children=tuple(c for c in children if c.runs != "never" or c.parameters))

    return told(tree)


def _ran_in_training(
    network: nn.Module, inputs: tuple[torch.Tensor | list[torch.Tensor], ...], names: set[str]
) -> set[str] | None:
    """Return which of the modules run in training mode, None where the network cannot be run like that."""
    tensors = [one for one in inputs if isinstance(one, torch.Tensor)]
    if len(tensors) < len(inputs):
        return None
    ran: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, args, name=name: ran.add(name))
        for name, module in network.named_modules()
        if name in names
    ]
    try:
        with random_state_kept(), torch.no_grad(), KnownShapes():
            training(network)(*(torch.cat((one, one)) for one in tensors))
    except Exception:  # it may want targets, or refuse this image in training: nothing is known then
        return None
    finally:
        network.eval()
        for hook in hooks:
            hook.remove()
    return ran

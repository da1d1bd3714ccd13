"""Set the mode of a network whose own ``train`` or ``eval`` may return nothing, as those of torch.nn do not."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def evaluating(network: AnyModule) -> AnyModule:
    """Return a network after setting evaluation mode."""
    network.eval()
    return network


def training(network: AnyModule) -> AnyModule:
    """Return a network after setting training mode."""
    network.train()
    return network

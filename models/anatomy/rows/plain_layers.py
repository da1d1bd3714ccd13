"""Which modules are layers inside which nothing is shown."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
CLOSED = frozenset(
    [
        "DropPath",
        "StochasticDepth",
        "LayerNorm2d",
        "GlobalAveragePool",
        "MapAverage",
        "TokenAverage",
        "Affine",
        "LayerScale",
        "ChannelShuffle",
        "LocalResponseNorm",
        "BatchNorm2d",
        "Lengths",
        "ScaledTanh",
        "Permute",
        "FrozenBatchNorm2d",
        "Rearrange",
        "Reduce",
        "GlobalResponseNorm",
        "Steps",
        "PadTo",
        "PadShortcut",
        "Tokens",
        "ClassToken",
    ]
)
"""Classes without submodules that do one thing, which has a phrase of its own: nothing inside them is a row."""

KNOWN = (__name__.rsplit(".", 3)[0] + ".", "torchvision.", "timm.", "einops.")
"""Whose classes of these names are meant."""


COMPUTED_WEIGHTS = "parametrizations"
"""The submodule in which PyTorch computes a weight: weight_norm, spectral_norm. It is no step of the network."""


def type_of(module: nn.Module) -> str:
    """Return the name of a module's class; of one with computed weights that of the class that was written."""
    kind = type(module)
    return (kind.__mro__[1] if is_parametrized(module) else kind).__name__


def is_plain(module: nn.Module) -> bool:
    """Return whether a module is a layer such as Linear, inside which nothing is shown: one of torch.nn, or one derived
    from it, without submodules.
    """
    if isinstance(module, nn.MultiheadAttention):
        return True
    if any(child is not None for name, child in module._modules.items() if name != COMPUTED_WEIGHTS):
        return False
    kind = type(module)
    if kind.__name__ in CLOSED and kind.__module__.startswith(KNOWN):
        return True
    return not isinstance(module, CONTAINERS) and any(
        base.__module__.startswith("torch.nn.modules") and base is not nn.Module for base in kind.__mro__
    )

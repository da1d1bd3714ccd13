"""Layers that a network keeps where PyTorch does not look for them: in a plain list, tuple or dict.

They run, but their weights are none of ``network.parameters()``: an optimiser does not change them, a checkpoint does not
hold them, ``.to(device)`` leaves them behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

LISTS = (list, tuple, set, frozenset)
DEEPEST = 8
"""How many lists inside each other are looked into; a list may hold itself."""


def remark(network: nn.Module) -> str:
    """Return a line on the layers of a network that PyTorch does not see, "" where there are none."""
    known = {id(weight) for weight in network.parameters()}
    hidden: dict[str, int] = {}
    seen: set[int] = set()
    for name, module in network.named_modules():
        for attribute, value in list(vars(module).items()):
            if isinstance(value, (*LISTS, dict)) and not attribute.startswith("_"):
                weights = {id(weight): weight for weight in _weights(value) if id(weight) not in known | seen}
                seen |= weights.keys()
                if weights:
                    hidden[f"{name}.{attribute}".lstrip(".")] = sum(weight.numel() for weight in weights.values())
    if not hidden:
        return ""
    names, count = list(hidden), sum(hidden.values())
    told = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return (
        f"{told}: {count:,} parameters in a plain list or dict, where PyTorch does not see them: they are not counted, do "
        "not learn and are not saved; use nn.ModuleList, nn.ModuleDict or nn.ParameterList"
    )


def _weights(value: Any, deep: int = 0) -> Iterator[nn.Parameter]:
    """Yield the parameters in a plain list or dict, however deep they lie in it."""
    if isinstance(value, nn.Parameter):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, Mapping) and deep < DEEPEST:
        for part in list(value.values()):
            yield from _weights(part, deep + 1)
    elif isinstance(value, LISTS) and deep < DEEPEST:
        for part in list(value):
            yield from _weights(part, deep + 1)

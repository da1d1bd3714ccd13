"""Layers that a network keeps where PyTorch does not look for them: in a plain list, tuple or dict.

They run, but their weights are none of ``network.parameters()``: an optimiser does not change them, a checkpoint does not
hold them, ``.to(device)`` leaves them behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from ...errors import counted

OF_TORCH = frozenset({*vars(nn.Module()), "_flat_weights"})
"""Attributes of torch's own: registered weights and layers, hooks, and the weights of an LSTM once more."""
LISTS = (list, tuple, set, frozenset)
DEEPEST = 8
"""How many lists inside each other are looked into; a list may hold itself."""


def remark(network: nn.Module) -> str:
    """Return a line on the layers of a network that PyTorch does not see, "" where there are none."""
    known = {id(weight) for weight in network.parameters()}
    hidden: dict[str, int] = {}
    seen: set[int] = set()
    for name, module in network.named_modules():
        for attribute, value in _lists(module).items():
            weights = {id(weight): weight for weight in _weights(value) if id(weight) not in known | seen}
            seen |= weights.keys()
            if weights:
                sizes = (0 if is_lazy(weight) else weight.numel() for weight in weights.values())
                hidden[f"{name}.{attribute}".lstrip(".")] = sum(sizes)
    if not hidden:
        return ""
    names, count = list(hidden), sum(hidden.values())
    told = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    what = counted(count, "parameter") if count else "parameters that have no size yet"
    return (
        f"{told}: {what} in a plain list or dict, where PyTorch does not see them: they are not counted, do "
        "not learn and are not saved; use nn.ModuleList, nn.ModuleDict or nn.ParameterList"
    )


def _weights(value: Any, deep: int = 0, met: set[int] | None = None) -> Iterator[nn.Parameter]:
    """Yield the parameters in a plain list or dict, however deep they lie in it, and in the lists of its layers.

    ``met``: what was looked into already, so that layers that hold each other are gone through once.
    """
    met = set() if met is None else met
    if isinstance(value, nn.Parameter):
        yield value
    elif deep < DEEPEST and id(value) not in met:
        met.add(id(value))
        for part in _inside(value):
            yield from _weights(part, deep + 1, met)


def _inside(value: Any) -> list[Any]:
    """Return what a list, a dict or a layer holds; nothing for anything else."""
    if isinstance(value, nn.Module):
        lists = [part for module in value.modules() for part in _lists(module).values()]
        return [*value.parameters(), *lists]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, LISTS) else []


def _lists(module: nn.Module) -> dict[str, Any]:
    """Return the plain lists and dicts of a layer by their attributes."""
    return {
        attribute: value
        for attribute, value in list(vars(module).items())
        if isinstance(value, (*LISTS, Mapping)) and attribute not in OF_TORCH
    }

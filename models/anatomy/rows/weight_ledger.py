"""Whose weights a row of the layer table has: its own, those of an earlier row, frozen ones."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class RowWeights:
    """The values in all weights of a row, how many of them are frozen, and how many an earlier row has counted.

    ``weights_of`` is the qualified name of that row; where the shared weights belong to several rows, of the first.
    """

    parameters: int = 0
    frozen: int = 0
    shared: int = 0
    weights_of: str = ""


class WeightLedger:
    """Notes, row by row in order of execution, which weights have been counted and where.

    A row is looked up before what is below it, and entered after.
    """

    def __init__(self) -> None:
        self._owners: dict[int, str] = {}
        self._rows: dict[tuple[type, frozenset[int]], str] = {}
        self._weights: dict[int, dict[int, nn.Parameter]] = {}

    def look_up(self, module: nn.Module) -> RowWeights:
        """Return what is known of the weights of ``module``."""
        weights = self.weights(module)
        shared = [number for number in weights if number in self._owners]
        owner = ""
        if shared:
            alike = type(module), frozenset(weights)
            owner = self._rows.get(alike, self._owners[shared[0]])
        sizes = {number: weight.numel() for number, weight in weights.items()}
        return RowWeights(
            parameters=sum(sizes.values()),
            frozen=sum(sizes[number] for number, weight in weights.items() if not weight.requires_grad),
            shared=sum(sizes[number] for number in shared),
            weights_of=owner,
        )

    def enter(self, name: str, module: nn.Module) -> None:
        """Count the weights of ``module`` as those of the row ``name``, unless an earlier one has them."""
        weights = self.weights(module)
        for number in weights:
            self._owners.setdefault(number, name)
        self._rows.setdefault((type(module), frozenset(weights)), name)

    def weights(self, module: nn.Module) -> dict[int, nn.Parameter]:
        """Return the weights of ``module`` by their id, each once, in the order of ``parameters()``; lazy ones left out.

        Those of a module are put together from those of the modules in it, so that nothing is walked twice.
        """
        found = self._weights.get(id(module))
        if found is None:
            kind = type(module)
            if kind.parameters is nn.Module.parameters and kind.named_parameters is nn.Module.named_parameters:
                own = (weight for weight in module._parameters.values() if weight is not None)
                found = {id(weight): weight for weight in own if not is_lazy(weight)}
                self._weights[id(module)] = found
                for child in module._modules.values():
                    if child is not None:
                        found.update(self.weights(child))
            else:
                found = {id(weight): weight for weight in module.parameters() if not is_lazy(weight)}
            self._weights[id(module)] = found
        return found

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

    def look_up(self, module: nn.Module) -> RowWeights:
        """Return what is known of the weights of ``module``."""
        weights = [weight for weight in module.parameters() if not is_lazy(weight)]
        shared = [weight for weight in weights if id(weight) in self._owners]
        owner = ""
        if shared:
            alike = type(module), frozenset(map(id, weights))
            owner = self._rows.get(alike, self._owners[id(shared[0])])
        return RowWeights(
            parameters=sum(weight.numel() for weight in weights),
            frozen=sum(weight.numel() for weight in weights if not weight.requires_grad),
            shared=sum(weight.numel() for weight in shared),
            weights_of=owner,
        )

    def enter(self, name: str, module: nn.Module) -> None:
        """Count the weights of ``module`` as those of the row ``name``, unless an earlier one has them."""
        weights = [weight for weight in module.parameters() if not is_lazy(weight)]
        for weight in weights:
            self._owners.setdefault(id(weight), name)
        self._rows.setdefault((type(module), frozenset(map(id, weights))), name)

"""One row of a run: a module or a bare operation, with the rows that it read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..axes.factors import Axes
from ..fields.receptive_field import ReceptiveField


@dataclass(eq=False)
class Node:
    """One module or one bare operation as it ran. Shapes keep the batch axis; ``macs`` includes what is below.

    ``reads``: for each input the row of the same level that made it, ``parent`` where it came into the module around,
    None where it is made of weights alone. ``returned``: the module around hands on what this row made.
    ``used`` (at the root) are the ids of all parameters that took part, be it through their module or directly.
    """

    name: str
    type: str
    is_module: bool
    number: int = 0
    parent: Node | None = None
    level: int = 0
    inputs: tuple[tuple[int, ...], ...] = ()
    reads: tuple[Node | None, ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()
    output_bytes: int = 0
    macs: int = 0
    returned: bool = False
    receptive_field: ReceptiveField | None = None
    layouts: tuple[Axes | None, Axes | None] = (None, None)
    settings: dict[str, Any] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    is_layout: bool = False
    module: nn.Module | None = None
    entered: set[int] = field(default_factory=set)

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the first output, () where there is none."""
        return self.outputs[0] if self.outputs else ()


def are_shares(node: Node | None) -> bool:
    """Return whether a row makes shares along its last axis: a softmax, with dropout behind it or not."""
    while node is not None and node.type.lower() == "dropout" and node.reads:
        node = node.reads[0]
    if node is None or node.type.lower() != "softmax":
        return False
    axis = node.settings.get("dim") if node.module is None else getattr(node.module, "dim", None)
    return axis in (-1, len(node.output) - 1)


def is_inside(node: Node, module: Node) -> bool:
    while node.parent is not None and node.level > module.level:
        node = node.parent
    return node is module

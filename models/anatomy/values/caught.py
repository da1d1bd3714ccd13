"""A row as it ran, with what went into it and what came out, and what all rules for one value share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ..rows import operations
from ..rows.trace import Node, Recorder

Position = tuple[int, ...]
Found = tuple[str, list[tuple[str, Tensor]], str, float | Tensor]
"""What a rule returns: the family, the numbers with their names, how they make the value, and what they make."""


@dataclass
class Caught:
    """A row as it ran: the module or the name of the call, what went in and what came out."""

    name: str
    module: nn.Module | None
    call: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    output: Any = None


class Catching(Recorder):
    """A recorder that keeps what goes into one row and comes out of it: the row with this number, or the first of a
    module's name.
    """

    def __init__(self, network: nn.Module, number: int, name: str) -> None:
        super().__init__(network)
        self.wanted, self.wanted_name = number, name
        self.caught: Caught | None = None

    def _matches(self, node: Node) -> bool:
        return self.caught is None and (
            node.number == self.wanted or (node.is_module and bool(self.wanted_name) and node.name == self.wanted_name)
        )

    def _handed_on(self, node: Node, output: Any, tensors: list[Tensor]) -> Tensor | None:
        if self._matches(node) and node.module is not None:
            self.caught = Caught(node.name, node.module, "", *self._entering.pop(node.number, ((), {})), output)
        self._entering.pop(node.number, None)
        return super()._handed_on(node, output, tensors)

    _entering: dict[int, tuple[tuple, dict]]

    def _before(self, name: str) -> Callable:
        enter = super()._before(name)

        def also(module: nn.Module, args: tuple, kwargs: dict) -> None:
            enter(module, args, kwargs)
            node = self.stack[-1]
            if name and self._matches(node):
                kept = tuple(value.clone() if isinstance(value, Tensor) else value for value in args)
                self._entering[node.number] = (kept, dict(kwargs))

        return also

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        before = self.count
        result = super().call(name, func, args, kwargs)
        if self.count > before and self.caught is None and self.wanted == self.count:
            self.caught = Caught(self.stack[-1].name, None, operations.word_of(name), args, kwargs, result)
        return result

    def catch(self, image: Tensor) -> Caught | None:
        """Run once and return the row, None where it does not run."""
        self._entering = {}
        self.run(image)
        return self.caught


def argument(caught: Caught, place: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call; of a module the attribute, or for place 0 its input."""
    if caught.module is not None and place:
        return getattr(caught.module, name, default)
    if len(caught.args) > place:
        return caught.args[place]
    return caught.kwargs.get(name, default)


def number(value: float | Tensor) -> str:
    return f"{float(value):.4f}"


def as_tuple(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


def plus(bias: float | None) -> str:
    return "" if bias is None else f" + bias {number(bias)}"

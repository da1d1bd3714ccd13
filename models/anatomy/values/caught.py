"""A row as it ran, with what went into it and what came out, and what all rules for one value share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ..axes.tracked import Layouts
from ..fields.receptive_field import ReceptiveFields
from ..rows import operations
from ..rows.node import Node
from ..rows.trace import Recorder

Position = tuple[int, ...]
Found = tuple[str, list[tuple[str, Tensor]], str, float | Tensor]
"""What a rule returns: the family, the numbers with their names, how they make the value, and what they make."""


@dataclass
class Caught:
    """A row as it ran: the module or the name of the call, what went in and what came out.

    ``inner``: of a layer with a forward of its own, such as a convolution that normalises its weights first, the call
    that made the output.
    """

    name: str
    module: nn.Module | None
    call: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    output: Any = None
    inner: Caught | None = None


def _kept(values: Any) -> Any:
    """Return copies of the tensors in arguments or results, which a later operation may write into."""
    return tree_map_only(Tensor, Tensor.clone, values)


def has_own_forward(module: nn.Module) -> bool:
    """Return whether a layer does not run what torch.nn wrote for its kind."""
    return not type(module).forward.__module__.startswith("torch.nn.")


class _NoFields(ReceptiveFields):
    """Follows nothing: one value needs no field."""

    def begin(self, images: list[Any]) -> None:
        pass

    def of(self, tensor: Tensor) -> None:
        return None

    def note(self, packet: Any, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        pass

    def note_call(self, name: str, args: tuple, outputs: list[Tensor]) -> None:
        pass


class _NoLayouts(Layouts):
    """Follows nothing: one value needs no meaning of the axes."""

    def begin(self, images: list[Any]) -> None:
        pass

    def note(self, name: str, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        pass


class _Done(BaseException):
    """The row ran: what comes after it is not needed."""


class Catching(Recorder):
    """A recorder that keeps what goes into one row and comes out of it: the row with this number, or the first of a
    module's name. It counts the rows as any recorder does, and ends the run behind that one.
    """

    def __init__(self, network: nn.Module, number: int, name: str) -> None:
        super().__init__(network)
        self.fields, self.layouts = _NoFields(network), _NoLayouts()
        self.wanted, self.wanted_name = number, name
        self.caught: Caught | None = None
        self._entering: dict[int, tuple[tuple, dict]] = {}  # what went into the row, while it runs
        self._inner: Caught | None = None  # the last call inside it

    def _matches(self, node: Node) -> bool:
        return self.caught is None and (
            node.number == self.wanted or (node.is_module and bool(self.wanted_name) and node.name == self.wanted_name)
        )

    def _handed_on(self, node: Node, output: Any, tensors: list[Tensor]) -> Tensor | None:
        entered = self._entering.pop(node.number, None)
        if entered is not None and self._matches(node) and node.module is not None:
            self.caught = Caught(node.name, node.module, "", *entered, _kept(output))
            if has_own_forward(node.module) and self._inner is not None and self._inner.output is output:
                self.caught.inner = replace(self._inner, name=node.name, output=self.caught.output)
            raise _Done
        return super()._handed_on(node, output, tensors)

    def _before(self, name: str) -> Callable:
        enter = super()._before(name)

        def also(module: nn.Module, args: tuple, kwargs: dict) -> None:
            enter(module, args, kwargs)
            node = self.stack[-1]
            if name and self._matches(node):
                self._entering[node.number] = (_kept(args), _kept(kwargs))

        return also

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        before = self.count
        may_be_wanted = self.caught is None and self.wanted == before + 1
        kept = (_kept(args), _kept(kwargs)) if may_be_wanted or self._entering else ((), {})
        if operations.REFLECTED.fullmatch(name) and len(kept[0]) == 2:
            kept = (kept[0][::-1], kept[1])  # 1 - x arrives as x and 1
        result = super().call(name, func, args, kwargs)
        found = Caught(self.stack[-1].name, None, operations.word_of(name), *kept, result)
        if may_be_wanted and self.wanted == self.count > before:
            self.caught = replace(found, output=_kept(result))
            raise _Done
        elif self._entering:
            self._inner = found
        return result

    def catch(self, image: Tensor) -> Caught | None:
        """Run once and return the row, None where it does not run."""
        with suppress(_Done):
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
    return f"{float(value):z.4f}"


def as_tuple(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


def plus(bias: float | None) -> str:
    return "" if bias is None else f" + bias {number(bias)}"

"""Who made each tensor of a run, and so which rows each row reads."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..axes.tracked import Layouts
from .node import Node, is_inside


class Sources:
    """Knows of one run which row made a tensor. ``root`` holds the tree, ``stack`` the modules that run."""

    def __init__(self, network: nn.Module) -> None:
        self.root = Node("", type(network).__name__, True, module=network)
        self.stack = [self.root]
        self.layouts = Layouts()
        self.weights = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
        # Which row made a tensor, with the tensor, which is kept so that an id never names two of them.
        self._made: dict[int, tuple[Tensor, Node]] = {}

    def _handed_on(self, node: Node, output: Any, tensors: list[Tensor]) -> Tensor | None:
        """Note who made the outputs of a module. What it hands on untouched becomes a tensor of its own, so that the
        next row reads this one; it is returned.
        """
        for tensor in tensors:
            known = self._made.get(id(tensor))
            if known is not None and known[1] is not node and is_inside(known[1], node):
                continue
            if (known is None and id(tensor) not in self.weights) or (
                known is not None and getattr(node.module, "inplace", False)
            ):
                self._made[id(tensor)] = (tensor, node)
            elif tensor is output:
                other = tensor.detach()
                self._alias(tensor, other)
                self._made[id(other)] = (other, node)
                return other
        return None

    def _alias(self, tensor: Tensor, other: Tensor) -> None:
        known = self._made.get(id(tensor))
        if known is not None:
            self._made[id(other)] = (other, known[1])
            for frame in self.stack:
                if id(tensor) in frame.entered:
                    frame.entered.add(id(other))
        self.layouts.same(tensor, other)

    def _read(self, node: Node, tensors: list[Tensor]) -> None:
        node.inputs = tuple(tuple(tensor.shape) for tensor in tensors)
        node.reads = tuple(self._source(node, tensor) for tensor in tensors)
        with_data = [tensor for tensor, source in zip(tensors, node.reads, strict=True) if source is not None]
        if with_data:
            largest = with_data[0] if len(with_data) == 1 else max(with_data, key=Tensor.numel)
            node.layouts = (self.layouts.of(largest), None)

    def _source(self, node: Node, tensor: Tensor) -> Node | None:
        """Return the row on ``node``'s level that made a tensor, its parent where the tensor came in from outside.

        The modules on the way from outside read the tensor too, whether it was handed to them or not.
        """
        known = self._made.get(id(tensor))
        if known is None:
            return None
        maker, stack = known[1], self.stack
        # Climb to the row whose parent is still running: only that is on a level which this reader can see.
        while (frame := maker.parent) is not None and not (frame.level < len(stack) and stack[frame.level] is frame):
            maker = frame
        frame = frame or self.root
        if maker.parent is not None and maker.level <= known[1].level and tuple(tensor.shape) not in maker.outputs:
            maker.outputs = (*maker.outputs, tuple(tensor.shape))  # it came out in an object of the network's own
        if frame is node.parent:
            return maker
        for between in stack[frame.level + 1 :]:
            if id(tensor) not in between.entered:
                between.entered.add(id(tensor))
                between.inputs = (*between.inputs, tuple(tensor.shape))
                between.reads = (*between.reads, maker if between.parent is frame else between.parent)
        return node.parent

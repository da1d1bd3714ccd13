"""One run of a network on the meta device, written down: what ran, in which order, with which shapes and at what cost.

Modules are followed by hooks, and what a network does without a module (``F.relu``, a sum, a concatenation) by a mode
that sees each call as the person wrote it. Below it a dispatch mode counts MACs and follows what each tensor
sees of the image. Nothing is computed: no memory, no RNG, no GPU.

Each tensor knows the row that made it, so that every row knows which rows it reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ....errors import UsageError
from ...catalogue import user_code
from ..fields.receptive_field import ReceptiveFields
from ..forward.outputs import tensors_of
from . import operations
from .node import Node, are_shares
from .operations import tensors_in
from .plain_layers import COMPUTED_WEIGHTS, is_plain, type_of
from .recorded_calls import Calls, Operations, einops_patterns
from .sources import Sources
from .tidy import tidy

DisableTorchFunction = torch._C.DisableTorchFunction


class Recorder(Sources):
    """Follows one forward pass. ``root`` holds the tree afterwards."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.network = network
        self.fields = ReceptiveFields(network)
        # Parameters and what is made of them without the image, kept so that an id never names two of them.
        self._learned: dict[int, Tensor] = {id(tensor): tensor for tensor in network.parameters()}
        self.used: set[int] = set()
        self.hooks: list[Any] = []
        self.macs = 0
        self.count = 0
        self._plain: dict[int, bool] = {}
        self._thread = 0  # in which the forward runs
        self._astray: str | None = None  # a layer that ran in another one
        self._busy = 0  # inside a call that is one row, or in a layer in which nothing is shown

    def run(self, *inputs: Tensor | list[Tensor]) -> Node:
        """Run one forward pass in the mode that the network is in."""
        for name, module in self.network.named_modules():
            if COMPUTED_WEIGHTS in name.split("."):
                continue
            self._plain[id(module)] = is_plain(module)
            self.hooks.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self.hooks.append(module.register_forward_hook(self._after))
        self._thread = threading.get_ident()
        images = tree_leaves(inputs)
        self.fields.begin(inputs)
        self.layouts.begin(inputs)
        for tensor in images:
            self._made[id(tensor)] = (tensor, self.root)
        try:
            with torch.no_grad(), Operations(self), einops_patterns(self), Calls(self):
                self.network(*inputs)
            self._check_threads()
        finally:
            for hook in self.hooks:
                hook.remove()
        self.root.used = self.used
        self.root.macs = self.macs
        tidy(self.root)
        return self.root

    def _check_threads(self) -> None:
        """UsageError where a layer ran in another thread, in which neither its work nor its reach was followed."""
        if self._astray is None:
            return
        where = user_code.place_of(type(self.network).forward) or user_code.place_of(type(self.network))
        hint = f"runs layer {self._astray!r} in a thread of its own, where it cannot be followed; call it directly"
        raise UsageError("network", type(self.network).__name__, hint + (f" ({where})" if where else ""))

    # Modules

    def _before(self, name: str) -> Callable:
        def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if threading.get_ident() != self._thread:
                self._astray = name
                return
            tensors = tensors_in(args)
            if kwargs:
                tensors += tensors_in(kwargs)
            with DisableTorchFunction():  # what is asked of a tensor here is no call of the network
                self._enter(name, module, tensors)

        return enter

    def _enter(self, name: str, module: nn.Module, tensors: list[Tensor]) -> None:
        self._busy += self._plain[id(module)]
        if not name:
            self.root.inputs = tuple(tuple(t.shape) for t in tensors)
            self.root.reads = (None,) * len(tensors)
            self.root.layouts = (self.layouts.of(tensors[0]) if tensors else None, None)
            return
        parent = self.stack[-1]
        self.count += 1
        node = Node(name, type_of(module), True, self.count, parent, parent.level + 1, module=module)
        self._read(node, tensors)
        node.entered = {id(tensor) for tensor in tensors}
        node.macs = -self.macs
        parent.children.append(node)
        self.stack.append(node)

    def _after(self, module: nn.Module, args: tuple, output: Any) -> Any:
        if threading.get_ident() != self._thread:
            return None
        with DisableTorchFunction():
            return self._leave(module, output)

    def _leave(self, module: nn.Module, output: Any) -> Tensor | None:
        node = self.stack[-1]
        self._busy -= self._plain[id(module)]
        if node is self.root:
            self._finish(node, tensors_of(output))
            return None
        node.macs += self.macs
        self.stack.pop()
        tensors = tensors_of(output)
        replaced = self._handed_on(node, output, tensors)
        self._finish(node, tensors if replaced is None else [replaced])
        return replaced

    def _finish(self, node: Node, tensors: list[Tensor]) -> None:
        node.outputs = tuple(tuple(t.shape) for t in tensors)
        if not tensors:
            return
        node.output_bytes = sum(t.numel() * t.element_size() for t in tensors)
        node.receptive_field = self.fields.of(tensors[0])
        node.layouts = (node.layouts[0], self.layouts.of(tensors[0]))
        for tensor in tensors:
            known = self._made.get(id(tensor))
            maker = known[1] if known else None
            while maker is not None and maker is not node:
                if maker.parent is node:
                    maker.returned = True
                maker = maker.parent

    # Calls

    def quietly(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Run a call that is no row."""
        self._busy += 1
        try:
            return func(*args, **kwargs)
        finally:
            self._busy -= 1

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Run one call of PyTorch, and write it down where it works on what came from the image."""
        before = self.macs
        self._busy += 1
        try:
            result = func(*args, **kwargs) if kwargs else func(*args)
        finally:
            self._busy -= 1
        outputs = [result] if isinstance(result, Tensor) else tensors_in(result)
        if not outputs and name != "__setitem__":
            return result
        self.fields.note_call(name, args, outputs)
        inputs = tensors_in(args)
        if kwargs:
            inputs += tensors_in(kwargs)
        if name in operations.UNCHANGED:
            self._note_learned(inputs, outputs)
            for output in outputs:
                if inputs and output is not inputs[0]:
                    self._alias(inputs[0], output)
            return result
        self.layouts.note(name.rstrip("_") if name[0] != "_" else name, args, kwargs, inputs, outputs)
        self._note_learned(inputs, outputs)
        if self._busy:
            return result
        word = operations.word_of(name)
        if word in ("slice", "pad", "roll"):
            if operations.does_nothing(word, args, kwargs, outputs[0]):
                self._alias(inputs[0], outputs[0])
                return result
            if word == "slice" and outputs[0].numel() == inputs[0].numel():
                name = "unsqueeze"  # x[:, None]: all values, in another shape
        if outputs and inputs and outputs[0] is inputs[0] and not operations.changes_in_place(name, kwargs):
            if name in operations.LAYOUT:
                return result
            result = result.detach()
            self.layouts.same(inputs[0], result)
            outputs = [result]
        self._row(name, args, kwargs, inputs, outputs, self.macs - before)
        return result

    def _note_learned(self, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Remember what is made of parameters and not of the image."""
        if any(id(tensor) in self._learned for tensor in inputs) and not any(map(self.layouts.of, inputs)):
            self._learned.update((id(output), output) for output in outputs)

    def _row(
        self, name: str, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor], macs: int
    ) -> Node | None:
        made = self._made
        with_data = [tensor for tensor in inputs if id(tensor) in made]
        if not with_data and not macs:
            return None
        in_place = operations.changes_in_place(name, kwargs)
        word = operations.word_of(name)
        if in_place:
            outputs = [inputs[0]]
        node = self._operation(word, operations.settings_of_call(name, args, kwargs), macs)
        node.is_layout = name in operations.LAYOUT
        hidden = word in operations.HIDDEN_OPERANDS
        weights = self.weights
        operands = [
            tensor
            for tensor in inputs
            if id(tensor) in made or (not hidden and (tensor.ndim >= 2 or id(tensor) in weights))
        ]
        self._read(node, operands)
        alone = [tensor for tensor in operands if id(tensor) not in made]
        if alone and word in ("+", "−", "×", "÷", "matmul", "concat", "einsum"):
            # One side is made without the image: a learned table of positions, a scale, or a grid of coordinates.
            node.settings["learned" if any(id(tensor) in self._learned for tensor in alone) else "fixed"] = "yes"
        if word == "matmul" and are_shares(node.reads[0] if node.reads else None):
            node.settings["shares"] = "yes"
        self._wrote(node, outputs)
        if in_place and (base := inputs[0]._base) is not None:
            made[id(base)] = (base, node)  # what is written into a part is written into the whole
        return node

    def _operation(self, word: str, settings: dict[str, Any], macs: int) -> Node:
        parent = self.stack[-1]
        self.count += 1
        node = Node(parent.name, word, False, self.count, parent, parent.level + 1, macs=macs, settings=settings)
        parent.children.append(node)
        return node

    def _wrote(self, node: Node, outputs: list[Tensor]) -> None:
        for tensor in outputs:
            self._made[id(tensor)] = (tensor, node)
        node.outputs = tuple(tuple(tensor.shape) for tensor in outputs)
        node.output_bytes = sum(tensor.numel() * tensor.element_size() for tensor in outputs)
        node.receptive_field = self.fields.of(outputs[0])
        node.layouts = (node.layouts[0], self.layouts.of(outputs[0]))

    @contextmanager
    def one_row(self, pattern: str, reduction: Any, tensor: Any) -> Iterator[list[Any]]:
        """Make one row of an einops pattern: that is where an image becomes tokens. The caller puts the result in."""
        before = self.macs
        results: list[Any] = []
        self._busy += 1
        try:
            yield results
        finally:
            self._busy -= 1
        inputs = tensors_in(tensor)
        if self._busy or not any(id(read) in self._made for read in inputs):
            return
        word = reduction if isinstance(reduction, str) else "rearrange"
        node = self._operation(word, {"pattern": pattern}, self.macs - before)
        self._read(node, inputs)
        self._wrote(node, tensors_in(results))

    def note(self, packet: Any, args: tuple, kwargs: dict, output: Any, macs: int) -> None:
        """Follow one basic operation; one that no call in Python announced (of compiled code) is a row as well."""
        tensors = tensors_in(output)
        if not tensors:
            return
        inputs = tensors_in(args)
        if kwargs:
            inputs += tensors_in(tuple(kwargs.values()))
        weights = self.weights
        for tensor in inputs:
            if id(tensor) in weights:
                self.used.add(id(tensor))
        self.fields.note(packet, args, kwargs, inputs, tensors)
        self.macs += macs
        if not self._busy:
            name = packet._qualified_op_name.split("::")[-1]
            if name in operations.UNCHANGED:
                self._alias(inputs[0], tensors[0])
                return
            self.layouts.note(name, args, kwargs, inputs, tensors)
            self._row(name, args, kwargs, inputs, tensors, macs)


def trace(network: nn.Module, *inputs: Tensor | list[Tensor]) -> Node:
    """Run ``network(*inputs)`` in the mode and on the device that it is in; the tree of what ran."""
    return Recorder(network).run(*inputs)

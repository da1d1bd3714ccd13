"""One run of a network on the meta device, written down: what ran, in which order, with which shapes and at what cost.

Modules are followed by hooks, and what a network does without a module (``F.relu``, a sum, a concatenation) by a mode
that sees each call as the person wrote it. Below it a dispatch mode counts multiply-adds and follows what each tensor
sees of the image. Nothing is computed: no memory, no RNG, no GPU.

Each tensor knows the row that made it, so that every row knows which rows it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import einops.einops
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..axes.factors import Axes
from ..axes.tracked import Layouts
from ..fields.receptive_field import ReceptiveField, ReceptiveFields
from ..forward.outputs import tensors_of
from ..meta import known_shapes
from . import operations
from .operations import tensors_in

DisableTorchFunction = torch._C.DisableTorchFunction


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


@contextmanager
def einops_patterns(recorder: Recorder) -> Iterator[None]:
    """Make one row of every pattern that ``einops`` applies to a tensor meanwhile.

    All of einops' reorderings pass its function ``reduce``; there is no hook, so that it is wrapped for the moment.
    """
    original = einops.einops.reduce

    def reduce(tensor: Any, pattern: str, reduction: Any = None, **sizes: Any) -> Any:
        with recorder.one_row(pattern, reduction, tensor) as results:
            results.append(original(tensor, pattern, reduction, **sizes))
        return results[0]

    einops.einops.reduce = reduce
    try:
        yield
    finally:
        einops.einops.reduce = original


class _Calls(TorchFunctionMode):
    """Hands every call of PyTorch, as it is written in Python, to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = func.__name__
        if name == "__get__":
            name = func.__self__.__name__
            if name not in operations.LAYOUT:
                return func(*args)
        elif name in operations.WITHOUT_DATA:
            return self.recorder.quietly(func, args, kwargs or {})
        return self.recorder.call(name, func, args, kwargs or {})


class _Operations(TorchDispatchMode):
    """Hands every basic operation to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output, macs = known_shapes.run(func, args, kwargs)
        self.recorder.note(func._overloadpacket, args, kwargs, output, macs)
        return output


class Recorder:
    """Follows one forward pass. ``root`` holds the tree afterwards."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.root = Node("", type(network).__name__, True, module=network)
        self.stack = [self.root]
        self.fields = ReceptiveFields(network)
        self.layouts = Layouts()
        self.weights = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
        # Parameters and what is made of them without the image, kept so that an id never names two of them.
        self._learned: dict[int, Tensor] = {id(tensor): tensor for tensor in network.parameters()}
        self.used: set[int] = set()
        self.hooks: list[Any] = []
        self.macs = 0
        self.count = 0
        self._plain: dict[int, bool] = {}
        # Which row made a tensor, with the tensor, which is kept so that an id never names two of them.
        self._made: dict[int, tuple[Tensor, Node]] = {}
        self._busy = 0  # inside a call that is one row, or in a layer in which nothing is shown

    def run(self, *inputs: Tensor | list[Tensor]) -> Node:
        """Run one forward pass in the mode that the network is in."""
        for name, module in self.network.named_modules():
            if COMPUTED_WEIGHTS in name.split("."):
                continue
            self._plain[id(module)] = is_plain(module)
            self.hooks.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self.hooks.append(module.register_forward_hook(self._after))
        images = tree_leaves(inputs)
        self.fields.begin(images)
        self.layouts.begin(images)
        for tensor in images:
            self._made[id(tensor)] = (tensor, self.root)
        try:
            with torch.no_grad(), _Operations(self), einops_patterns(self), _Calls(self):
                self.network(*inputs)
        finally:
            for hook in self.hooks:
                hook.remove()
        self.root.used = self.used
        self.root.macs = self.macs
        tidy(self.root)
        return self.root

    # Modules

    def _before(self, name: str) -> Callable:
        def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
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

    def _handed_on(self, node: Node, output: Any, tensors: list[Tensor]) -> Tensor | None:
        """Note who made the outputs of a module. What it hands on untouched becomes a tensor of its own, so that the
        next row reads this one; it is returned.
        """
        for tensor in tensors:
            known = self._made.get(id(tensor))
            if known is not None and known[1] is not node and _inside(known[1], node):
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

    def _alias(self, tensor: Tensor, other: Tensor) -> None:
        known = self._made.get(id(tensor))
        if known is not None:
            self._made[id(other)] = (other, known[1])
            for frame in self.stack:
                if id(tensor) in frame.entered:
                    frame.entered.add(id(other))
        self.layouts.same(tensor, other)

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
        if word == "matmul" and _are_shares(node.reads[0] if node.reads else None):
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

    # Who read what

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


def _are_shares(node: Node | None) -> bool:
    """Return whether a row makes shares along its last axis: a softmax, with dropout behind it or not."""
    while node is not None and node.type.lower() == "dropout" and node.reads:
        node = node.reads[0]
    if node is None or node.type.lower() != "softmax":
        return False
    axis = node.settings.get("dim") if node.module is None else getattr(node.module, "dim", None)
    return axis in (-1, len(node.output) - 1)


def _inside(node: Node, module: Node) -> bool:
    while node.parent is not None and node.level > module.level:
        node = node.parent
    return node is module


def tidy(root: Node) -> None:
    """Leave out operations whose result nobody reads, and join chains that only change the layout."""
    for child in root.children:
        if child.children:
            tidy(child)
    rows = root.children
    readers: dict[int, int] = {}
    for row in rows:
        for source in row.reads:
            if source is not None:
                readers[source.number] = readers.get(source.number, 0) + 1
    kept: list[Node] = []
    for row in reversed(rows):
        if row.is_module or row.macs or row.returned or readers.get(row.number):
            kept.append(row)
            continue
        for source in row.reads:
            if source is not None:
                readers[source.number] -= 1
    kept.reverse()
    joined: list[Node] = []
    for row in kept:
        before = row.reads[0] if row.is_layout and len(row.reads) == 1 else None
        if before is not None and before.is_layout and not before.returned and readers[before.number] == 1:
            _join(before, row)
            joined.remove(before)
        joined.append(row)
    root.children = joined


def _join(first: Node, second: Node) -> None:
    """Make one row of two that change the layout one after the other; the second stays."""
    second.inputs, second.reads = first.inputs, first.reads
    second.layouts = (first.layouts[0], second.layouts[1])
    if first.type != second.type:
        second.type = "rearrange"
        second.settings = {}


def trace(network: nn.Module, *inputs: Tensor | list[Tensor]) -> Node:
    """Run ``network(*inputs)`` in the mode and on the device that it is in; the tree of what ran."""
    return Recorder(network).run(*inputs)

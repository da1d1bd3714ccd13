"""One run of a network on the meta device, written down: what ran, in which order, with which shapes and at what cost.

Modules are followed by hooks, operations by a dispatch mode, so that what has no module (the addition of a skip
connection, a concatenation, the products of attention) is seen too. Nothing is computed: no memory, no RNG, no GPU.
What each tensor sees of the image is followed in receptive_field.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import einops.einops
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from .outputs import tensors_of
from .receptive_field import ReceptiveField, ReceptiveFields, tensors_in

aten = torch.ops.aten


@dataclass
class Node:
    """One module or one bare operation as it ran. Shapes keep the batch axis; ``macs`` includes what is below.

    ``used`` (at the root) are the ids of all parameters that took part, be it through their module or directly.
    """

    name: str
    type: str
    is_module: bool
    inputs: tuple[tuple[int, ...], ...] = ()
    output: tuple[int, ...] = ()
    output_bytes: int = 0
    macs: int = 0
    receptive_field: ReceptiveField | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    used: set[int] = field(default_factory=set)


OPERATIONS = {
    aten.add: "+",
    aten.add_: "+",
    aten.mul: "×",
    aten.mul_: "×",
    aten.cat: "concat",
    aten.matmul: "matmul",
    aten.bmm: "matmul",
    aten.mm: "matmul",
    aten.addmm: "linear",
    aten.einsum: "einsum",
    aten._scaled_dot_product_flash_attention_for_cpu: "attention",
    aten._scaled_dot_product_flash_attention: "attention",
    aten._scaled_dot_product_efficient_attention: "attention",
    aten._scaled_dot_product_fused_attention_overrideable: "attention",
}


def _deform_conv_macs(args: tuple, output: Tensor) -> int:
    """Count multiply-adds of a deformable convolution, one kernel window for each output value: the counter has no rule."""
    weight = args[1]
    return output.numel() * weight[0].numel()


def _same(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _same_with_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(0), x.new_empty(0)


# PyTorch works out the shapes of these in Python, slowly; in eval mode they leave the shape as it is.
SHAPE_PRESERVING: dict[Any, Callable] = {
    aten.relu: _same,
    aten.gelu: _same,
    aten.silu: _same,
    aten.hardtanh: _same,
    aten.native_batch_norm: _same_with_statistics,
    aten._native_batch_norm_legit_no_training: _same_with_statistics,
    aten.native_layer_norm: _same_with_statistics,
}


def _fits(packet: Any, args: tuple) -> bool:
    """Return whether the shapes of an operation that takes a shortcut fit: of the others PyTorch has seen to that."""
    return packet is not aten.native_layer_norm or args[0].shape[-len(args[1]) :] == tuple(args[1])


EXTRA_RULES: dict[str, Callable[[tuple, Tensor], int]] = {"torchvision::deform_conv2d": _deform_conv_macs}


@contextmanager
def einops_patterns(note: Callable[[str, Tensor, Tensor], None]) -> Iterator[None]:
    """Tell ``note`` every pattern that ``einops.rearrange`` applies to tensors meanwhile.

    All of einops' reorderings pass its function ``reduce``; there is no hook, so that it is wrapped for the moment.
    """
    original = einops.einops.reduce

    def reduce(tensor: Any, pattern: str, *args: Any, **sizes: Any) -> Any:
        result = original(tensor, pattern, *args, **sizes)
        if isinstance(tensor, Tensor) and isinstance(result, Tensor):
            note(pattern, tensor, result)
        return result

    einops.einops.reduce = reduce
    try:
        yield
    finally:
        einops.einops.reduce = original


class _Operations(TorchDispatchMode):
    """Hands every basic operation to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        packet = func._overloadpacket
        shortcut = SHAPE_PRESERVING.get(packet)
        output = shortcut(args[0]) if shortcut and args[0].is_meta and _fits(packet, args) else func(*args, **kwargs)
        self.recorder.note(packet, args, kwargs, output)
        return output


class Recorder:
    """Follows one forward pass. ``root`` holds the tree afterwards."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.root = Node("", type(network).__name__, True)
        self.stack = [self.root]
        self.fields = ReceptiveFields()
        self.weights = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
        self.used: set[int] = set()
        self.hooks: list[Any] = []

    def run(self, *inputs: Tensor | list[Tensor]) -> Node:
        """Run one forward pass in the mode that the network is in."""
        for name, module in self.network.named_modules():
            self.hooks.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
            self.hooks.append(module.register_forward_hook(self._after))
        self.fields.begin(tree_leaves(inputs))
        try:
            with torch.no_grad(), _Operations(self), einops_patterns(self.note_pattern):
                self.network(*inputs)
        finally:
            for hook in self.hooks:
                hook.remove()
        self.root.used = self.used
        return self.root

    def _before(self, name: str) -> Callable:
        def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
            node = self.root if not name else Node(name, type(module).__name__, True)
            node.inputs = tuple(tuple(t.shape) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor))
            if name:
                self.stack[-1].children.append(node)
                self.stack.append(node)

        return enter

    def _after(self, module: nn.Module, args: tuple, output: Any) -> None:
        node = self.stack[-1]
        tensors = tensors_of(output)
        if tensors:
            node.output = tuple(tensors[0].shape)
            node.output_bytes = sum(t.numel() * t.element_size() for t in tensors)
            node.receptive_field = self.fields.of(tensors[0])
        if node is not self.root:
            self.stack.pop()
            self.stack[-1].macs += node.macs

    def note(self, packet: Any, args: tuple, kwargs: dict, output: Any) -> None:
        tensors = tensors_in(output)
        if not tensors:
            return
        inputs = tensors_in(args) + tensors_in(tuple(kwargs.values()))
        self.used |= {id(t) for t in inputs} & self.weights
        macs = multiply_adds(packet, args, kwargs, output)
        self.fields.note(packet, args, kwargs, inputs, tensors)
        word = OPERATIONS.get(packet)
        operands = [t for t in inputs if t.ndim >= 2 or id(t) in self.weights]
        if word and len(operands) >= 2 and not self._is_plain_layer():
            self._add_operation(word, operands, tensors[0], macs)
        self.stack[-1].macs += macs

    def _add_operation(self, word: str, operands: list[Tensor], output: Tensor, macs: int) -> None:
        node = Node(self.stack[-1].name, word, False, tuple(tuple(t.shape) for t in operands))
        node.output, node.macs = tuple(output.shape), macs
        node.output_bytes = output.numel() * output.element_size()
        node.receptive_field = self.fields.of(output)
        if any(self.fields.of(operand) is None for operand in operands):
            node.settings["learned"] = "yes"  # one side is made of weights alone: a table of positions, a scale
        self.stack[-1].children.append(node)

    def note_pattern(self, pattern: str, before: Tensor, after: Tensor) -> None:
        """Add a row for axes reordered by an einops pattern: that is where an image becomes tokens."""
        node = Node(self.stack[-1].name, "rearrange", False, (tuple(before.shape),), tuple(after.shape))
        node.settings["pattern"] = pattern
        node.output_bytes = after.numel() * after.element_size()
        node.receptive_field = self.fields.of(after)
        self.stack[-1].children.append(node)

    def _is_plain_layer(self) -> bool:
        """Return whether the running module is a layer of torch.nn such as Linear, whose product needs no row of its
        own.
        """
        running = self.stack[-1]
        module = self.network.get_submodule(running.name) if running.name else self.network
        return type(module).__module__.startswith("torch.nn.") and not isinstance(module, nn.MultiheadAttention)


def multiply_adds(packet: Any, args: tuple, kwargs: dict, output: Any) -> int:
    """Return the multiply-adds of one operation, 0 for what has none."""
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=output)) // 2
    rule = EXTRA_RULES.get(packet._qualified_op_name)
    return rule(args, output) if rule else 0


def trace(network: nn.Module, *inputs: Tensor | list[Tensor]) -> Node:
    """Run ``network(*inputs)`` in the mode and on the device that it is in; the tree of what ran."""
    return Recorder(network).run(*inputs)

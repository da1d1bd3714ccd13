"""Where the run of a network broke off: the table up to there, the layer, and what to write instead.

Tensors without values have words of their own for shapes that do not fit. So what failed is done once more with zeros,
and a person reads what torch says everywhere: "mat1 and mat2 shapes cannot be multiplied".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ....errors import counted
from ...catalogue import user_code
from ..forward.untouched import copied
from ..rows.layer import Layer
from ..rows.layer_tree import tree_of
from ..rows.trace import Recorder

aten = torch.ops.aten
MAPS = {1: "length", 2: "height×width", 3: "depth×height×width"}
"""The places of a map, by how many axes it has beside its channels."""
LARGEST_REPEATED = 200_000_000
"""Values of the tensors with which what failed is done once more."""
SIZE_FAULTS = (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError)
"""What a size that does not fit can be the reason of."""
NO_SIZE_FAULTS = (RecursionError, NotImplementedError, UnicodeError)
"""What is one of these by class and none by its reason."""


@dataclass(frozen=True)
class Failure:
    """``error`` ended the run; ``told`` is the same error with the words of real tensors, where it is one of shapes.

    ``layer``: "layer 'fc' (Linear) was given 1x1690", "" where nothing ran. ``advice``: what to write instead, "" where
    nothing is known. ``tree`` is the table of what ran, None where there is none. ``is_certain``: real numbers fail too.
    """

    error: BaseException
    told: BaseException
    layer: str = ""
    advice: str = ""
    tree: Layer | None = None
    is_certain: bool = False


def is_of_size(error: BaseException) -> bool:
    """Return whether the size of the image may be the reason of an error."""
    return isinstance(error, SIZE_FAULTS) and not isinstance(error, NO_SIZE_FAULTS)


@dataclass(frozen=True)
class _Call:
    """A module or an operation that was called with these arguments and raised."""

    function: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict

    @property
    def tensors(self) -> list[Tensor]:
        return [value for value in tree_leaves((self.args, self.kwargs)) if isinstance(value, Tensor)]


class _Watch(TorchDispatchMode):
    """Keeps the operation that raised last."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: _Call | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except Exception:
            self.failed = _Call(func, str(func._overloadpacket._qualified_op_name), args, kwargs or {})
            raise


def find(network: nn.Module, inputs: list[Any], device: str) -> Failure | None:
    """Run a network that fails once more, in silence, and return where it broke off; None where it now runs.

    ``device`` is where tensors are made that the forward makes.
    """
    recorder, watch = Recorder(network), _Watch()
    running: list[_Call] = []
    hooks: list[Any] = []
    for name, module in network.named_modules():
        enter = _entering(name, running)
        hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(module.register_forward_hook(lambda module, args, output: running.pop() and None))
    try:
        with user_code.silent(), torch.device(device), watch:
            recorder.run(*inputs)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return _failure(network, recorder, error, running, watch.failed)
    finally:
        for hook in hooks:
            hook.remove()
    return None


def _entering(name: str, running: list[_Call]) -> Callable:
    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        running.append(_Call(module, name, args, kwargs))

    return enter


def _failure(
    network: nn.Module, recorder: Recorder, error: BaseException, running: list[_Call], operation: _Call | None
) -> Failure:
    if not running:
        return Failure(error, error)
    module = running[-1]
    is_layer = type(module.function).__module__.startswith("torch.nn.")
    failed = module if is_layer else operation if isinstance(error, RuntimeError) else None
    repeated = None if failed is None else _repeat(failed)
    tree = _table(network, recorder, module.name, None if is_layer or repeated is None else operation)
    title = f"layer {module.name!r} ({type(module.function).__name__})" if module.name else type(network).__name__
    given = ", ".join("x".join(map(str, tensor.shape)) for tensor in module.tensors[:3])
    layer = f"{title} was given {given}" if given else title
    advice = _advice(failed, str(repeated or error), tree) if failed is not None and is_of_size(error) else ""
    shown = tree if tree is not None and tree.children else None
    is_known = is_layer and bool(advice) and _is_too_large(module)  # the shapes alone say it
    return Failure(error, repeated or error, layer, advice, shown, repeated is not None or is_known)


def _repeat(failed: _Call) -> BaseException | None:
    """Return the error of the same call with zeros on the CPU; None where there is none, or the tensors are too large."""
    if _is_too_large(failed):
        return None
    module = failed.function if isinstance(failed.function, nn.Module) else None
    args, kwargs = tree_map(_zeros, (failed.args, failed.kwargs))
    function = failed.function if module is None else copied(module, "cpu").forward
    try:
        with user_code.silent(), torch.no_grad(), torch.device("cpu"):
            function(*args, **kwargs)
    except Exception as error:
        return error
    return None


def _is_too_large(failed: _Call) -> bool:
    module = failed.function
    weights = [*module.parameters(), *module.buffers()] if isinstance(module, nn.Module) else []
    return sum(tensor.numel() for tensor in (*failed.tensors, *weights)) > LARGEST_REPEATED


def _zeros(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return torch.device("cpu") if isinstance(value, torch.device) else value
    return torch.zeros(value.shape, dtype=value.dtype, device="cpu")


# The table


def _table(network: nn.Module, recorder: Recorder, failed: str, operation: _Call | None) -> Layer | None:
    """Return the rows that ran, with a mark at the one that failed."""
    try:
        return _marked(tree_of(recorder.root, network), failed, operation)
    except Exception:  # a network that changes while it runs may have lost a module that ran
        return None


def _marked(layer: Layer, failed: str, operation: _Call | None) -> Layer:
    open_here = (
        layer.kind == "module" and not layer.output and (not layer.name or f"{failed}.".startswith(layer.name + "."))
    )
    children = [_marked(child, failed, operation) for child in layer.children if child.executed]
    is_last = open_here and layer.name == failed
    if is_last and operation is not None:
        children.append(_operation_row(layer, operation))
    macs = 0 if open_here else layer.macs  # what a row has not finished cannot be counted
    return replace(layer, macs=macs, children=tuple(children), failed=is_last and operation is None)


def _operation_row(layer: Layer, operation: _Call) -> Layer:
    shapes = tuple(tuple(tensor.shape) for tensor in operation.tensors)
    name = operation.name.rpartition("::")[2]
    return Layer(layer.name, "operation", name, shapes, (), 0, 0, 0, None, False, 0, {}, True, 1, (), failed=True)


# What to write instead


def _advice(failed: _Call, words: str, tree: Layer | None) -> str:
    """Return what a learner needs: which values arrive, which are expected, what to write. ``words`` are torch's."""
    module = failed.function
    shapes = [tuple(tensor.shape) for tensor in failed.tensors]
    if not shapes:
        return ""
    if isinstance(module, nn.Module):
        return _advice_on_layer(module, words, shapes[0], tree)
    return _advice_on_operation(failed, shapes, tree)


def _advice_on_layer(module: nn.Module, words: str, shape: tuple[int, ...], tree: Layer | None) -> str:
    kind = type(module).__name__
    sizes: Any = getattr(module, "normalized_shape", None)
    if isinstance(module, nn.Linear):
        return _advice_on_values(kind, shape, module.in_features, tree)
    if sizes is not None:
        expected = tuple(sizes) if not isinstance(sizes, int) else (sizes,)
        arrives = shape[-len(expected) :]
        if arrives == expected:
            return ""
        return _advice_on_count(kind, f"{_text(arrives)} arrive", _text(expected), _text(arrives))
    places = _axes_of_places(module)
    if places and len(shape) != places + 2:
        arrives = "a single value arrives" if len(shape) < 2 else f"{_text(shape[1:])} arrives"
        return f"{arrives}, this {kind} takes channels×{MAPS[places]}"
    for name in ("in_channels", "num_features", "num_channels"):
        expected = getattr(module, name, None)
        fewest = 3 if name == "in_channels" else 2  # to a convolution a vector has no channels
        if isinstance(expected, int) and expected and len(shape) >= fewest and shape[1] != expected:
            return _advice_on_channels(kind, shape[1], expected)
    kernel = getattr(module, "kernel_size", None)
    if kernel is not None and len(shape) > 2 and "size" in words:
        return f"a map of {_text(shape[2:])} arrives, too small for this {kind}: take larger images or fewer poolings"
    return ""


def _axes_of_places(module: nn.Module) -> int:
    """Return how many axes of places a layer of PyTorch looks along, 0 where that is not known or may differ."""
    if isinstance(module, _ConvNd):
        return len(module.kernel_size)
    pools_and_norms = re.fullmatch(
        r"(Adaptive|Fractional)?(Max|Avg|LP)Pool([123])d|BatchNorm([23])d", type(module).__name__
    )
    return int(pools_and_norms[3] or pools_and_norms[4]) if pools_and_norms else 0


def _advice_on_channels(kind: str, arriving: int, expected: int) -> str:
    arrives = f"{counted(arriving, 'channel')} {'arrives' if arriving == 1 else 'arrive'}"
    return _advice_on_count(kind, arrives, str(expected), str(arriving))


def _advice_on_count(kind: str, arrives: str, expected: str, instead: str) -> str:
    return f"{arrives}, this {kind} expects {expected}; write {instead}"


def _advice_on_values(kind: str, shape: tuple[int, ...], expected: int, tree: Layer | None) -> str:
    """Return the sentence for a product: how many values arrive, and from which map they come."""
    if len(shape) > 2:
        count = math.prod(shape[1:])
        if shape[-1] == expected:
            return ""
        step = "flatten it first" if count == expected else f"flatten it first and write {count}"
        return f"a map of {_text(shape[1:])} arrives, this {kind} expects {counted(expected, 'value')}; {step}"
    arrives = shape[-1] if shape else 1
    if arrives == expected:
        return ""
    map_shape = _map_of(arrives, tree)
    was = _map_like(map_shape, expected)
    values = "value arrives" if arrives == 1 else "values arrive"
    return (
        f"{arrives}{f' = {_text(map_shape)}' if map_shape else ''} {values}, this {kind} expects "
        f"{expected}{f' = {_text(was)}' if was else ''}; write {arrives}"
    )


def _map_of(count: int, tree: Layer | None) -> tuple[int, ...]:
    """Return the shape of the last map that has as many values: what was flattened."""
    if tree is None:
        return ()
    outputs = [*tree.inputs, *(layer.output for _, layer in tree.walk())]
    maps = (shape[1:] for shape in reversed(outputs) if len(shape) > 2)
    return next((shape for shape in maps if math.prod(shape) == count), ())


def _map_like(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the square map with the channels of ``shape`` that has ``count`` values, () where there is none."""
    if len(shape) != 3 or count % shape[0]:
        return ()
    side = math.isqrt(count // shape[0])
    return (shape[0], side, side) if shape[0] * side * side == count else ()


def _advice_on_operation(failed: _Call, shapes: list[tuple[int, ...]], tree: Layer | None) -> str:
    name = failed.name.rpartition("::")[2].rstrip("_")
    if name in ("addmm", "mm", "linear") and len(shapes) >= 2:
        first, second = shapes[-2:]
        return _advice_on_values("product", first, second[0], tree) if len(second) == 2 else ""
    if name == "convolution":
        groups = next(iter(failed.args[8:9]), 1)
        maps, weight = failed.tensors[:2]
        arrives, expected = maps.size(1), weight.size(1) * groups
        if arrives != expected:
            return _advice_on_channels("convolution", arrives, expected)
    if name in ("view", "_unsafe_view", "reshape", "_reshape_copy"):
        return _advice_on_view(failed.args[1], shapes[0], tree)
    if name in ("add", "sub", "mul", "div") and len(shapes) == 2:
        verb = {"add": "added", "sub": "subtracted", "mul": "multiplied", "div": "divided"}[name]
        both = " and ".join(_text(shape[1:]) for shape in shapes)
        return f"{both} cannot be {verb}: their shapes must be equal"
    if name == "cat":
        joined = " and ".join(_text(shape[1:]) for shape in shapes)
        return f"{joined} cannot be concatenated: they may differ in one axis alone"
    return ""


def _advice_on_view(wanted: Any, shape: tuple[int, ...], tree: Layer | None) -> str:
    """Return the sentence for ``x.view(-1, 490)``: how many values there are for an image."""
    if not isinstance(wanted, list | tuple) or len(wanted) != 2 or len(shape) < 2:
        return ""
    count, expected = math.prod(shape[1:]), wanted[-1]
    if not isinstance(expected, int) or expected in (-1, count):
        return ""
    was = f" = {_text(shape[1:])}" if len(shape) > 2 else ""
    return f"an image has {count}{was} values here, not {expected}; write {count}, or x.flatten(1)"


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one value"

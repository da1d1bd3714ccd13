"""Results of operations on the meta device whose shapes PyTorch has worked out before.

It works them out in Python, slowly, and a network repeats its blocks: the same operation on tensors of the same shapes,
strides and types gives tensors of the same shapes, strides and types again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from .macs import count_macs

aten = torch.ops.aten
MOST = 4096
"""Calls that are remembered."""
CONSTANTS = (type(None), str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _same(x: Tensor) -> Tensor:
    if x.is_contiguous():  # empty_like works the strides out in Python
        return torch.empty(x.shape, dtype=x.dtype, device="meta")
    return torch.empty_like(x)


def _same_with_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    nothing = torch.empty(0, dtype=x.dtype, device="meta")
    return _same(x), nothing, nothing


SHAPE_PRESERVING: dict[Any, Callable] = {
    aten.relu: _same,
    aten.gelu: _same,
    aten.silu: _same,
    aten.hardtanh: _same,
    aten.native_batch_norm: _same_with_statistics,
    aten._native_batch_norm_legit_no_training: _same_with_statistics,
    aten.native_layer_norm: _same_with_statistics,
}
"""Operations that leave the shape as it is. Nobody reads the statistics that come with a norm."""


def _fits(packet: Any, args: tuple) -> bool:
    """Return whether the shapes of an operation that takes a shortcut fit: of the others PyTorch has seen to that."""
    return packet is not aten.native_layer_norm or args[0].shape[-len(args[1]) :] == tuple(args[1])


class Known(NamedTuple):
    """What a call gave: shape, stride and type of each tensor, the tuple or list that they came in, the work.

    ``shaped`` is None where it gave its first argument, into which it wrote.
    """

    shaped: tuple[tuple[Sequence[int], Sequence[int], torch.dtype], ...] | None
    packed: type | None
    macs: int


NEW, IN_PLACE, OTHER = range(3)
"""What an operation gives: tensors of their own, its first argument changed, something else: a view, say."""
KNOWN: dict[tuple, Known] = {}
KINDS: dict[Any, int] = {}


class KnownShapes(TorchDispatchMode):
    """Works out the shapes of equal operations once."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})[0]


def run(func: Any, args: tuple, kwargs: dict) -> tuple[Any, int]:
    """Return what an operation gives, and its MACs."""
    packet = func._overloadpacket
    shortcut = SHAPE_PRESERVING.get(packet)
    if shortcut and args[0].is_meta and _fits(packet, args):
        return shortcut(args[0]), 0
    key = _key(func, args, kwargs)
    known = None if key is None else KNOWN.get(key)
    if known is not None:
        if known.shaped is None:
            return args[0], known.macs
        made = [torch.empty_strided(size, stride, dtype=dtype, device="meta") for size, stride, dtype in known.shaped]
        return (made[0] if known.packed is None else known.packed(made)), known.macs
    output = func(*args, **kwargs)
    macs = count_macs(packet, args, kwargs, output)
    if key is not None:
        _remember(key, args, output, macs)
    return output, macs


def _kind_of(func: Any) -> int:
    """Return what an operation gives, as its schema tells."""
    arguments, returns = func._schema.arguments, func._schema.returns
    if not any("Tensor" in str(value.type) for value in arguments):
        return OTHER  # a new tensor of a given shape: nothing is to be worked out
    shared = [value for value in arguments if value.alias_info is not None]
    if not shared:
        return NEW if all(value.alias_info is None for value in returns) else OTHER
    is_first = shared == arguments[:1] and shared[0].alias_info.is_write and len(returns) == 1
    return IN_PLACE if is_first and torch.Tag.inplace_view not in func.tags else OTHER


def _key(func: Any, args: tuple, kwargs: dict) -> tuple | None:
    """Return all that the result of a call depends on where it has no values; None where that is not known."""
    kind = KINDS.get(func)
    if kind is None:
        kind = KINDS[func] = _kind_of(func)
    if kind == OTHER:
        return None
    parts = [func, torch.get_default_dtype()]
    if not _add(parts, args) or (kwargs and not _add(parts, tuple(kwargs.items()))):
        return None
    return tuple(parts)


def _add(parts: list[Any], values: Sequence[Any]) -> bool:
    """Add what the result depends on of each value, with its type (1 and 1.0 are equal); False where that is unknown."""
    for value in values:
        kind = type(value)
        if kind is Tensor or kind is nn.Parameter:
            if not value.is_meta or value.layout is not torch.strided:
                return False
            parts += (value.shape, value.stride(), value.dtype)
        elif kind is int or kind is float or kind is bool:
            parts += (kind, value)
        elif kind is list or kind is tuple:
            parts += (kind, len(value))
            if not _add(parts, value):
                return False
        elif kind in CONSTANTS:
            parts.append(value)
        else:
            return False
    return True


def _remember(key: tuple, args: tuple, output: Any, macs: int) -> None:
    """Keep the form of what a call gave, where it consists of tensors on the meta device."""
    if len(KNOWN) >= MOST:
        KNOWN.clear()
    if KINDS[key[0]] == IN_PLACE:
        if output is args[0]:
            KNOWN[key] = Known(None, None, macs)
        return
    tensors = [output] if isinstance(output, Tensor) else output
    if type(tensors) not in (list, tuple) or not all(type(one) is Tensor and one.is_meta for one in tensors):
        return
    if any(one.layout is not torch.strided or one.storage_offset() for one in tensors):
        return
    shaped = tuple((one.shape, one.stride(), one.dtype) for one in tensors)
    KNOWN[key] = Known(shaped, type(output) if tensors is output else None, macs)

"""Copy a network to another device so that the network itself, and everything random, stays exactly as it was.

``copy.deepcopy`` alone is not enough. It would copy all values to memory, it refuses tensors that are results of a
computation, and it takes the person's hooks along, which would be called while the copy runs.
"""

from __future__ import annotations

import copy
import dataclasses
import random
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.overrides import TorchFunctionMode

from ....errors import UsageError
from ...catalogue import user_code

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized")
"""Packages of layers whose weights are no tensors."""
OF_FLOATS = ("FloatFunctional", "FXFloatFunctional")
"""Modules of these packages that add, multiply and join plain tensors, until somebody converts the network."""


def copied(network: nn.Module, device: str) -> nn.Module:
    """Return a copy of ``network`` on ``device`` ("meta" or "cpu"); the network is only read. What has no values
    becomes zeros on the CPU.

    Shared weights stay shared. Plain attributes and buffers that are not saved are copied as well. The person's hooks
    are left out; those by which torch itself works (lazy layers, ``weight_norm``) stay. UsageError where the network
    cannot be copied.
    """
    memo: dict[int, Any] = {}
    check_hashable(network, type(network).__name__)
    check_followed(network, type(network).__name__)
    modules = list(network.modules())
    for module in modules:
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and id(tensor) not in memo:
                memo[id(tensor)] = _twin(tensor, device)
        for name in HOOKS:
            memo[id(getattr(module, name))] = OrderedDict()
    try:
        with _Twins(device), torch.no_grad():
            made = copy.deepcopy(network, memo)
    except BaseException as error:
        user_code.check_fault(error)
        hint = f"cannot be copied: {user_code.describe(error)}; a network is only taken apart as a copy"
        raise UsageError("network", type(network).__name__, hint) from error
    for module in modules:
        _give_hooks_of_torch(module, memo)
    return made


def check_followed(network: nn.Module, name: str) -> None:
    """UsageError where a part of a network cannot be followed: compiled by torch.jit or quantised."""
    for path, part in _parts(network):
        kind = type(part)
        if isinstance(part, torch.jit.ScriptModule):
            whose = f"holds {path}, which is" if path else "is"
            hint = f"{whose} compiled by torch.jit, so its layers cannot be followed; give the module that it was made from"
        elif kind.__module__.startswith(QUANTISED) and kind.__name__ not in OF_FLOATS:
            hint = (
                f"is quantised: the weights of {path or name} ({kind.__name__}) are packed, so they cannot be counted; "
                "give the module that it was made from"
            )
        else:
            continue
        raise UsageError("network", name, hint)


def check_hashable(network: nn.Module, name: str) -> None:
    """UsageError where torch cannot put a module of a network into a set, as it must."""
    kind = next((type(part) for _, part in _parts(network) if type(part).__hash__ is None), None)
    if kind is not None:
        where = user_code.place_of(kind)
        fix = "; write @dataclass(eq=False)" if dataclasses.is_dataclass(kind) else ""
        hint = f"has modules of class {kind.__name__}, which defines __eq__ without __hash__, and torch needs both"
        raise UsageError("network", name, hint + fix + (f" ({where})" if where else ""))


def _parts(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each module once with its path, without hashing any, as ``named_modules`` would."""
    waiting, seen = [("", network)], set()
    while waiting:
        path, part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield path, part
        inside = part.__dict__.get("_modules") or {}
        if isinstance(part, torch.jit.ScriptModule):
            continue
        waiting += [(f"{path}.{name}" if path else name, child) for name, child in inside.items() if child is not None]


class _Twins(TorchFunctionMode):
    """Give each tensor that ``deepcopy`` meets outside of parameters and buffers its twin on the device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device_of_twins = device

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is Tensor.__deepcopy__:
            tensor, memo = args
            if id(tensor) not in memo:
                memo[id(tensor)] = _twin(tensor, self.device_of_twins)
            return memo[id(tensor)]
        if func is Tensor.clone:  # how a Parameter in a plain list is copied
            return _twin(args[0], self.device_of_twins)
        return func(*args, **(kwargs or {}))


def _twin(tensor: Tensor, device: str) -> Tensor:
    with torch._C.DisableTorchFunction(), torch.no_grad():
        if isinstance(tensor, UninitializedParameter):
            make: Any = UninitializedParameter
            made: Any = make(tensor.requires_grad, device=device, dtype=tensor.dtype)
        elif isinstance(tensor, UninitializedBuffer):
            make = UninitializedBuffer
            made = make(tensor.requires_grad, device=device, dtype=tensor.dtype)
        else:
            from_nothing = tensor.is_meta and device != "meta"
            zeros = torch.zeros(tensor.shape, dtype=tensor.dtype, device=device) if from_nothing else None
            made = tensor.detach().to(device, copy=True) if zeros is None else zeros
            if isinstance(tensor, nn.Parameter):
                made = nn.Parameter(made, tensor.requires_grad)
    made.__dict__.update({key: value for key, value in tensor.__dict__.items() if not key.startswith("_")})
    return made


def _give_hooks_of_torch(module: nn.Module, memo: dict[int, Any]) -> None:
    """Add the hooks by which torch itself works to the copy of ``module``, under the same numbers."""
    for name in HOOKS:
        for number, hook in getattr(module, name).items():
            kept = _for_copy(hook, memo)
            if kept is not None:
                memo[id(getattr(module, name))][number] = kept


def _for_copy(hook: Any, memo: dict[int, Any]) -> Any:
    owner = getattr(hook, "__self__", None)
    function = getattr(hook, "__func__", None)
    if function is not None and str(getattr(function, "__module__", "")).startswith("torch."):
        return MethodType(function, memo[id(owner)]) if id(owner) in memo else None
    return hook if type(hook).__module__.startswith("torch.nn.") else None


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put the generators of torch (CPU and CUDA), Python and numpy back at the end to where they stood."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    numpy = sys.modules.get("numpy")
    before = random.getstate(), numpy.random.get_state() if numpy else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(before[0])
            if numpy:
                numpy.random.set_state(before[1])

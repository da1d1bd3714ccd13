"""The meta device as a context for building networks, without work for values that nobody gets to see."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._device import DeviceContext, _device_constructors

from .known_shapes import KnownShapes

FILLS = {Tensor.zero_, Tensor.fill_, Tensor.normal_, Tensor.uniform_}
INITIALISERS = {nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, nn.init.constant_}
MAKERS = _device_constructors()
LOOKS = {"__get__", "size", "dim", "is_contiguous", "numel", "stride"}
"""Calls that compute nothing."""
USUAL = {"generator": None, "mode": "fan_in", "nonlinearity": "leaky_relu"}


class Meta(DeviceContext):
    """What ``torch.device("meta")`` does as a context, only quicker.

    Tensors there are not filled, for which PyTorch would work out a shape that is known, and equal calls are worked out
    once, unless ``sees_all``: another mode has to see each call.
    """

    def __init__(self, device: str, sees_all: bool = False) -> None:
        super().__init__(device)
        self.around: Callable[[], Any] = nullcontext if sees_all else KnownShapes

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in MAKERS:
            if kwargs is None or kwargs.get("device") is None:
                kwargs = {**(kwargs or {}), "device": self.device}
            return func(*args, **kwargs)
        if func in FILLS:
            if not torch.is_grad_enabled() and _can_fill(args[0], args[1:], kwargs or {}):
                return args[0]
        elif func in INITIALISERS:
            options = dict(kwargs or {})
            tensor = options.pop("tensor", None)
            if not args and _can_fill(tensor, (), options):
                return tensor
        elif args and isinstance(args[0], Tensor) and func.__name__ not in LOOKS:
            with self.around():
                return func(*args, **kwargs) if kwargs else func(*args)
        return func(*args, **kwargs) if kwargs else func(*args)


def _can_fill(tensor: Any, numbers: tuple, options: dict) -> bool:
    """Return whether PyTorch would take a tensor on the meta device with these numbers, and leave its shape as it is."""
    if not isinstance(tensor, Tensor) or not tensor.is_meta:
        return False
    if "mode" in options and (tensor.ndim < 2 or not tensor.numel()):
        return False
    for name, value in options.items():
        if name in USUAL:
            if value != USUAL[name]:
                return False
        else:
            numbers = (*numbers, value)
    if not all(type(number) in (int, float) for number in numbers):
        return False
    return len(numbers) < 2 or numbers[0] <= numbers[1] >= 0

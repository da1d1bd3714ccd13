"""Count the bytes of all tensors that are alive, operation by operation, and how many there were at most.

Each storage counts once, however many tensors look at it, from the operation that makes it until the last reference is
gone; views and in-place operations are nothing new. What a kernel allocates for itself and gives back before it returns
(the workspace of a convolution, say) is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten


class LiveBytes(TorchDispatchMode):
    """Counts inside its ``with`` block. ``live``: bytes alive, ``peak``: the most so far, ``largest``: the largest storage
    that an operation made, ``made``: how many tensors operations made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.largest = self.made = 0
        self._alive: dict[int, weakref.ref] = {}

    def hold(self, tensors: Iterable[Tensor]) -> int:
        """Count tensors that exist already; returns how many bytes are new."""
        before = self.live
        for tensor in tensors:
            self._note(tensor)
        return self.live - before

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        shortcut = SHORTCUTS.get(func._overloadpacket)
        output = shortcut(*args) if shortcut and args[0].is_meta else func(*args, **(kwargs or {}))
        for made in (output,) if isinstance(output, Tensor) else tree_leaves(output):
            if isinstance(made, Tensor):
                self.made += 1
                self.largest = max(self.largest, self._note(made))
        return output

    def _note(self, tensor: Tensor) -> int:
        """Count the storage of a tensor unless it is known; returns its bytes where it is new."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return 0
        size = storage.nbytes()
        self._alive[key] = weakref.ref(storage, lambda _: self._gone(key, size))
        self.live += size
        self.peak = max(self.peak, self.live)
        return size

    def _gone(self, key: int, size: int) -> None:
        del self._alive[key]
        self.live -= size


def _norm_backward(gradient: Tensor, x: Tensor, weight: Tensor | None, mask: Any) -> tuple[Tensor | None, ...]:
    values = weight if weight is not None else x.new_empty(0)
    made = (x, values, values)
    return tuple(torch.empty_like(like) if wanted else None for like, wanted in zip(made, mask, strict=True))


def _batch_norm(x: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    statistics = x.new_empty(x.shape[1], dtype=torch.float32)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


def _layer_norm(x: Tensor, shape: Any, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    statistics = x.new_empty((*x.shape[: x.ndim - len(shape)], *[1] * len(shape)), dtype=torch.float32)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


def _batch_norm_backward(gradient: Tensor, x: Tensor, weight: Any, *rest: Any) -> tuple[Tensor | None, ...]:
    return _norm_backward(gradient, x, weight, rest[-1])


def _layer_norm_backward(
    gradient: Tensor, x: Tensor, shape: Any, mean: Any, deviation: Any, weight: Any, bias: Any, mask: Any
) -> tuple[Tensor | None, ...]:
    return _norm_backward(gradient, x, weight, mask)


# PyTorch works these out in Python, slowly, where there is no memory; what they allocate is known.
SHORTCUTS: dict[Any, Callable] = {
    aten.native_batch_norm: _batch_norm,
    aten.native_layer_norm: _layer_norm,
    aten.native_batch_norm_backward: _batch_norm_backward,
    aten.native_layer_norm_backward: _layer_norm_backward,
}

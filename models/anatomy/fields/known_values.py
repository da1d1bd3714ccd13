"""Real values beside the index tables of a network on the meta device, which has shapes but no values.

A table of neighbours says which places a gather reads. Integers and truth values that are made without the image and
without weights can be computed where they are needed, which is seldom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ..meta import known_shapes
from ..meta.meta_device import Meta

COUNTED = {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}
MOST = 2**22
"""Values of the largest table that is computed."""


class KnownValues:
    """Knows the integers of one run of ``network``, as far as they can be known.

    Those made during the run are computed when somebody asks. For those made by the constructor the network is built
    once more, where it is known how.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.recipes: dict[int, tuple[Tensor, Any, tuple, dict]] = {}
        self.tables: dict[int, Tensor] | None = None

    def note(self, packet: Any, args: tuple, kwargs: dict, outputs: list[Tensor]) -> None:
        """Remember how integers were made without the image."""
        made = outputs[0]
        if made.dtype in COUNTED and made.is_meta:
            for number, tensor in enumerate(outputs):
                self.recipes[id(tensor)] = (tensor, packet, (number, *args), kwargs)

    def of(self, tensor: Tensor) -> Tensor | None:
        """Return the values of a tensor that does not depend on the image, None where they are unknown."""
        try:
            return self._of(tensor)
        except _UnknownError:
            return None

    def _of(self, tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor
        if hasattr(tensor, "known_values"):
            return tensor.known_values  # pyright: ignore[reportAttributeAccessIssue]  a tensor takes attributes
        if id(tensor) in self.recipes:
            _, packet, (number, *args), kwargs = self.recipes[id(tensor)]
            made = computed(packet, tuple(args), kwargs, self._of)
            values = made[number] if isinstance(made, list | tuple) else made
            tensor.known_values = values  # pyright: ignore[reportAttributeAccessIssue]  a tensor takes attributes
            return values
        if self.tables is None:
            self.tables = tables_of(self.network)
        if id(tensor) not in self.tables:
            raise _UnknownError
        return self.tables[id(tensor)]


def tables_of(network: nn.Module) -> dict[int, Tensor]:
    """Return the values of a network's integer tensors, by the tensor's id; the network is built again for that."""
    build = getattr(network, "built_by", None)
    if build is None:
        return {}
    with torch.random.fork_rng(devices=[]), Meta("meta", sees_all=True), _Values():
        again = build()
    found = {}
    for module, other in zip(network.modules(), again.modules(), strict=False):
        for name, tensor in (*module._buffers.items(), *vars(module).items()):
            twin = other._buffers.get(name, vars(other).get(name))
            if isinstance(tensor, Tensor) and hasattr(twin, "known_values"):
                found[id(tensor)] = twin.known_values  # pyright: ignore[reportOptionalMemberAccess]  it has them
    return found


def computed(packet: Any, args: tuple, kwargs: dict, values: Callable[[Tensor], Tensor]) -> Any:
    """Return the result of an operation on the CPU; ``values`` gives those of each tensor or raises."""

    def real(value: Any) -> Any:
        if isinstance(value, Tensor):
            return values(value)
        return type(value)(real(item) for item in value) if isinstance(value, list | tuple) else value

    kwargs = {key: real(value) for key, value in kwargs.items()}
    if "device" in kwargs or not any(isinstance(value, Tensor) for value in args):
        kwargs["device"] = torch.device("cpu")
    with torch._C.DisableTorchFunction():
        return packet(*real(args), **kwargs)


class _UnknownError(Exception):
    """The values of a tensor are not known."""


def _known(tensor: Tensor) -> Tensor:
    values = getattr(tensor, "known_values", None) if tensor.is_meta else tensor
    if values is None:
        raise _UnknownError
    return values


class _Values(TorchDispatchMode):
    """Computes the integers that are made meanwhile."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        made, _ = known_shapes.run(func, args, kwargs)
        outputs = list(made) if isinstance(made, list | tuple) else [made]
        first = outputs[0] if outputs else None
        if isinstance(first, Tensor) and first.dtype in COUNTED and first.is_meta and first.numel() <= MOST:
            try:
                results = computed(func._overloadpacket, args, kwargs, _known)
            except _UnknownError:
                return made
            for tensor, values in zip(
                outputs, results if isinstance(results, list | tuple) else [results], strict=True
            ):
                tensor.known_values = values
        return made

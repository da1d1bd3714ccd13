"""Weights of one network put into another that computes the same function under other names.

Tensors are paired by order of execution and shape: both networks are run once, each use of a parameter or running
statistic is noted in order, and the first unused tensor of the same shape is taken (axes of length 1 do not count, so a
1×1 convolution takes the weights of a linear layer). Serves the comparison with reference implementations, pretrained
weights, and a deep network that is initialised from a trained shallower one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..counting import on_meta

STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Pair:
    """One tensor of the source and the tensor of the target that takes its values."""

    source: str
    target: str


class _UseOrder(TorchFunctionMode):
    """Notes the order in which tensors of a network first take part in a torch function."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()
        self.names = names
        self.order: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":
            for value in _tensors((*args, *kwargs.values())):
                name = self.names.pop(id(value), None)
                if name is not None:
                    self.order.append(name)
        return func(*args, **kwargs)


def _tensors(values: Iterable) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def named_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and running statistics by qualified name."""
    weights: dict[str, Tensor] = dict(network.named_parameters())
    weights.update({name: b for name, b in network.named_buffers() if name.rsplit(".", 1)[-1] in STATISTICS})
    return weights


def execution_order(network: nn.Module, image: Tensor) -> list[str]:
    """Return the names of the weights in the order in which ``network(image)`` uses them, those that it never uses left
    out.
    """
    uses = _UseOrder({id(tensor): name for name, tensor in named_weights(network).items()})
    with torch.no_grad(), uses:
        network(image)
    return uses.order


def essential_shape(tensor: Tensor) -> tuple[int, ...]:
    """Return the shape without axes of length 1: what two layouts of the same weights have in common."""
    return tuple(n for n in tensor.shape if n != 1)


def pair_up(source: nn.Module, target: nn.Module, image: Tensor, target_image: Tensor | None = None) -> list[Pair]:
    """Pair the weights of two networks by order of execution and shape. ValueError names what finds no partner.

    ``image`` (B, C, H, W) goes through the source, ``target_image`` (the same if None) through the target; the mode of
    each network decides whether auxiliary heads take part.
    """
    from_weights, to_weights = named_weights(source), named_weights(target)
    waiting = execution_order(source, image)
    pairs = []
    for name in execution_order(target, image if target_image is None else target_image):
        shape = essential_shape(to_weights[name])
        kind = name.rsplit(".", 1)[-1] if name.rsplit(".", 1)[-1] in STATISTICS else ""
        for index, candidate in enumerate(waiting):
            same_kind = (candidate.rsplit(".", 1)[-1] if candidate.rsplit(".", 1)[-1] in STATISTICS else "") == kind
            if same_kind and essential_shape(from_weights[candidate]) == shape:
                pairs.append(Pair(waiting.pop(index), name))
                break
        else:
            raise ValueError(f"no weights of shape {tuple(to_weights[name].shape)} are left for {name}")
    if waiting:
        raise ValueError(f"{len(waiting)} tensors of the source find no place, the first is {waiting[0]}")
    return pairs


def transplant(
    source: nn.Module,
    target: nn.Module,
    image: Tensor,
    *,
    target_image: Tensor | None = None,
    convert: Callable[[str, Tensor], Tensor] | None = None,
) -> list[Pair]:
    """Copy the source's weights into the target and return the pairs.

    ``convert(target_name, values)`` may rearrange values where the two lay them out differently (another channel order).
    """
    pairs = pair_up(source, target, image, target_image)
    from_weights, to_weights = named_weights(source), named_weights(target)
    with torch.no_grad():
        for pair in pairs:
            values = from_weights[pair.source]
            place = to_weights[pair.target]
            if convert is not None:
                values = convert(pair.target, values)
            place.copy_(values.reshape(place.shape))
    return pairs


def depends_on_classes(build: Callable[[int], nn.Module]) -> frozenset[str]:
    """Return the names of the weights whose shape follows from the number of classes: what new classes need anew.

    ``build(classes)`` makes the network; it is called twice on the meta device.
    """
    few, more = (
        {name: tensor.shape for name, tensor in named_weights(on_meta(lambda n=n: build(n))).items()} for n in (2, 3)
    )
    return frozenset(name for name in few if few[name] != more.get(name))

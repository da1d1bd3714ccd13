"""The receptive field of every tensor of one run, followed from operation to operation.

A k×k window with dilation d on a map whose neighbours are j image pixels apart widens the field by (k - 1)·d·j, and a
stride multiplies j (Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019).
Where branches meet the widest counts. What mixes the whole map (global pooling, attention, flattening) is marked global
instead of being given a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


@dataclass(frozen=True)
class ReceptiveField:
    """What is known of a tensor's past.

    ``size``: receptive field in image pixels a side; ``jump``: distance of neighbouring values in image pixels;
    ``is_global``: something mixed the whole map; ``depth``: layers with weights on the longest path from the image.
    """

    size: int = 1
    jump: int = 1
    is_global: bool = False
    depth: int = 0


ATTENTION_LIKE = {
    aten.matmul,
    aten.bmm,
    aten.mm,
    aten.einsum,
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_fused_attention_overrideable,
}
GLOBAL_POOLS = {
    aten._adaptive_avg_pool2d,
    aten.adaptive_max_pool2d,
    aten._adaptive_avg_pool3d,
    aten.adaptive_max_pool3d,
}
WINDOW_POOLS = {
    aten.max_pool2d_with_indices,
    aten.avg_pool2d,
    aten.max_pool3d_with_indices,
    aten.avg_pool3d,
    aten.max_pool2d,
}


WEIGHTED = {aten.convolution, aten.addmm, aten.mm, aten.bmm, aten.baddbmm}
RESHAPES = {aten.view, aten._unsafe_view, aten.reshape, aten._reshape_copy}


class ReceptiveFields:
    """Knows what each tensor of one run has seen of the image."""

    def __init__(self) -> None:
        # Tensors are kept alive while their fields are known, so that an id never names two of them.
        self._known: dict[int, tuple[Tensor, ReceptiveField]] = {}

    def begin(self, images: list[Any]) -> None:
        """Start with the images: each value has seen itself."""
        for image in images:
            self._known[id(image)] = (image, ReceptiveField())

    def of(self, tensor: Tensor) -> ReceptiveField | None:
        """Return the receptive field of a tensor; None for weights and what is made of them alone."""
        known = self._known.get(id(tensor))
        return known[1] if known else None

    def note(self, packet: Any, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Follow one operation from the tensors that it read to those that it made."""
        fields = [seen for tensor in inputs if (seen := self.of(tensor)) is not None]
        if fields:
            seen = follow(packet, args, fields, outputs[0], has_weights=len(fields) < len(inputs))
            for tensor in outputs:
                self._known[id(tensor)] = (tensor, seen)


def follow(packet: Any, args: tuple, fields: list[ReceptiveField], output: Tensor, has_weights: bool) -> ReceptiveField:
    """Return the field of an operation's output from those of its inputs; ``has_weights``: some input is made of
    weights alone.
    """
    local = [seen for seen in fields if not seen.is_global] or fields
    widest = max(local, key=lambda seen: seen.size)
    depth = max(seen.depth for seen in fields) + (packet in WEIGHTED and has_weights)
    joined = ReceptiveField(
        widest.size, max(seen.jump for seen in local), any(seen.is_global for seen in fields), depth
    )
    if packet is aten.convolution:
        weight, stride, dilation, transposed = args[1], args[3], args[5], args[6]
        if transposed:
            # Of the kernel's places only every stride-th meets an input; the outputs lie that much denser.
            met = -(-weight.shape[-1] // stride[-1])
            return replace(joined, size=joined.size + (met - 1) * joined.jump, jump=max(1, joined.jump // stride[-1]))
        return _window(joined, weight.shape[-1], stride[-1], dilation[-1])
    if packet in WINDOW_POOLS:
        kernel = args[1][-1]
        stride = args[2][-1] if len(args) > 2 and args[2] else kernel
        return _window(joined, kernel, stride, 1)
    if packet in GLOBAL_POOLS:
        return replace(joined, is_global=output.shape[-1] == 1 or joined.is_global)
    if packet is aten.mean and args[0].ndim >= 3:
        return replace(joined, is_global=True)
    if packet in RESHAPES and args[0].ndim == 4 and output.ndim == 2 and args[0].shape[-1] > 1:
        return replace(joined, is_global=True)  # flattened: the linear layer that follows reads the whole map
    if packet in ATTENTION_LIKE and len(fields) >= 2:
        return replace(joined, is_global=True)
    return joined


def _window(seen: ReceptiveField, kernel: int, stride: int, dilation: int) -> ReceptiveField:
    return replace(seen, size=seen.size + (kernel - 1) * dilation * seen.jump, jump=seen.jump * stride)


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in arguments or results, lists and tuples of them included (quicker than a general tree walk)."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, list | tuple):
        return [tensor for value in values for tensor in tensors_in(value)]
    return []

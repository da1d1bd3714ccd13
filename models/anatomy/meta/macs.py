"""The MACs of one basic operation, in the way of PyTorch's counter of floating-point operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, flop_registry

aten = torch.ops.aten


def _deform_conv_macs(args: tuple, output: Tensor) -> int:
    """Count MACs of a deformable convolution, one kernel window for each output value."""
    weight = args[1]
    return output.numel() * weight[0].numel()


def _trilinear_macs(args: tuple, output: Tensor) -> int:
    """Count the terms of a sum of products of three tensors, each stretched along the axes that it lacks.

    A bilinear layer has one for each of its weights at each position: out · in1 · in2.
    """
    shapes = []
    for tensor, missing in zip(args[:3], args[3:6], strict=True):
        shape = list(tensor.shape)
        for axis in sorted(missing):
            shape.insert(axis, 1)
        shapes.append(shape)
    return math.prod(torch.broadcast_shapes(*shapes))


def _matrix_vector_macs(args: tuple, output: Tensor) -> int:
    return args[0].numel()


def _added_matrix_vector_macs(args: tuple, output: Tensor) -> int:
    return args[1].numel()


def _added_matrices_macs(args: tuple, output: Tensor) -> int:
    return args[1].numel() * args[2].shape[-1]


EXTRA_RULES: dict[str, Callable[[tuple, Tensor], int]] = {
    "torchvision::deform_conv2d": _deform_conv_macs,
    "aten::_trilinear": _trilinear_macs,
    "aten::mv": _matrix_vector_macs,
    "aten::dot": _matrix_vector_macs,
    "aten::addmv": _added_matrix_vector_macs,
    "aten::addbmm": _added_matrices_macs,
}
"""What the counter has no rule for, by the name of the operation."""


def count_macs(packet: Any, args: tuple, kwargs: dict, output: Any) -> int:
    """Return the MACs of one operation, 0 for what has none."""
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=output)) // 2
    rule = EXTRA_RULES.get(packet._qualified_op_name)
    return rule(args, output) if rule else 0


def flop_counter() -> FlopCounterMode:
    """Return PyTorch's counter with our rules beside its own; it counts two operations for each MAC."""
    packets = (aten._trilinear, aten.mv, aten.dot, aten.addmv, aten.addbmm)
    return FlopCounterMode(display=False, custom_mapping={packet: _flops_of(packet) for packet in packets})


def _flops_of(packet: Any) -> Callable[..., int]:
    def flops(*args: Any, out_val: Any = None, **kwargs: Any) -> int:
        return 2 * count_macs(packet, args, kwargs, out_val)

    flops._get_raw = True  # pyright: ignore[reportFunctionMemberAccess]  tensors are wanted, not their shapes
    return flops

"""The multiply-adds of one basic operation, in the way of PyTorch's counter of floating-point operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils.flop_counter import flop_registry


def _deform_conv_macs(args: tuple, output: Tensor) -> int:
    """Count multiply-adds of a deformable convolution, one kernel window for each output value: the counter has no rule."""
    weight = args[1]
    return output.numel() * weight[0].numel()


EXTRA_RULES: dict[str, Callable[[tuple, Tensor], int]] = {"torchvision::deform_conv2d": _deform_conv_macs}


def multiply_adds(packet: Any, args: tuple, kwargs: dict, output: Any) -> int:
    """Return the multiply-adds of one operation, 0 for what has none."""
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=output)) // 2
    rule = EXTRA_RULES.get(packet._qualified_op_name)
    return rule(args, output) if rule else 0

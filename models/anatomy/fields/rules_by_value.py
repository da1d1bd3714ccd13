"""Operations that work value by value: each value is made of those at its own position.

Which operations these are is read from PyTorch's own tags. What has no rule at all is said to be unknown, with its name.
"""

from __future__ import annotations

from typing import Any

import torch

from .rules import (
    BY_VALUE,
    RULES,
    Call,
    Rule,
    made,
    name_of,
    operation,
    rule,
    unknown,
    with_axes,
)
from .terms import Seen
from .tracked import Tracked


def pointwise(fields: Tracked, call: Call) -> Seen:
    """Each value is made of the values at its own position."""
    if len(call.inputs) == 1:
        return fields.entering(call.inputs[0])
    dimensions = call.outputs[0].ndim
    found = [(tensor, seen) for tensor in call.inputs if (seen := fields.seen(tensor)) is not None]
    if len(found) == 1 and found[0][0].ndim == dimensions:
        return found[0][1]
    sources = [seen for _, seen in found]
    return made(sources, [with_axes(seen, tensor, dimensions) for tensor, seen in found])


for _packet in operation(
    "clone", "contiguous", "_to_copy", "detach", "alias", "lift_fresh", "dropout", "native_dropout", "relu", "gelu",
    "silu", "hardtanh", "_native_batch_norm_legit_no_training", "masked_fill", "where", "fill", "zeros_like",
    "_prelu_kernel", "lerp", "log_sigmoid_forward", "rrelu_with_noise", "glu", "real", "imag", "_conj", "conj",
    "clamp", "bernoulli", "resolve_conj", "resolve_neg", "hardswish", "hardsigmoid", "elu", "leaky_relu", "mish",
    "softplus", "softshrink", "hardshrink", "threshold", "celu", "selu", "logit", "hardswish_", "hardsigmoid_",
):  # fmt: skip
    RULES[_packet] = pointwise


REASONS = {"nonzero": BY_VALUE, "masked_select": BY_VALUE, "deform_conv2d": "reads places that are computed"}
"""Why no rule can tell what some operations read."""


def without_rule(fields: Tracked, call: Call) -> Seen:
    """No rule tells which places this operation reads."""
    sources = [seen for tensor in call.inputs if (seen := fields.seen(tensor)) is not None]
    name = name_of(call.packet)
    return unknown(sources, f"{name} {REASONS.get(name, 'has no rule that tells what it reads')}")


@rule(*operation("new_zeros", "new_empty", "new_full", "new_ones", "zeros_like", "ones_like", "empty_like", "full_like",
                 "rand_like", "randn_like", "new_empty_strided"))  # fmt: skip
def new_tensor(fields: Tracked, call: Call) -> list[Seen | None]:
    """A new tensor has the shape of another and none of its values."""
    return [None]


def rule_for(packet: Any) -> Rule:
    """Return the rule of an operation, which may be that it works value by value, or that nothing is known of it."""
    if packet in RULES:
        return RULES[packet]
    overloads = [getattr(packet, name) for name in packet.overloads()]
    by_value = any(torch.Tag.pointwise in overload.tags for overload in overloads)
    RULES[packet] = pointwise if by_value else without_rule
    return RULES[packet]

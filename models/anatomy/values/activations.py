"""One output value of an activation: what its formula makes of the single value that goes in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .caught import Caught, Found, Position, argument, number

Formula = Callable[[float, Caught], tuple[str, float]]
"""What an activation makes of a value: the formula with the numbers put in, and its result."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def relu(x: float, _: Caught) -> tuple[str, float]:
    return f"max(0, {number(x)})", max(0.0, x)


def relu6(x: float, _: Caught) -> tuple[str, float]:
    return f"min(6, max(0, {number(x)}))", min(6.0, max(0.0, x))


def leaky_relu(x: float, caught: Caught) -> tuple[str, float]:
    slope = argument(caught, 1, "negative_slope", 0.01)
    return (f"{number(x)}, as it is positive", x) if x > 0 else (f"{slope:g} · {number(x)}", slope * x)


def elu(x: float, caught: Caught) -> tuple[str, float]:
    alpha = argument(caught, 1, "alpha", 1.0)
    if x > 0:
        return f"{number(x)}, as it is positive", x
    return f"{alpha:g} · (e^{number(x)} − 1)", alpha * math.expm1(x)


def celu(x: float, caught: Caught) -> tuple[str, float]:
    alpha = argument(caught, 1, "alpha", 1.0)
    if x > 0:
        return f"{number(x)}, as it is positive", x
    return f"{alpha:g} · (e^({number(x)} / {alpha:g}) − 1)", alpha * math.expm1(x / alpha)


def selu(x: float, _: Caught) -> tuple[str, float]:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    if x > 0:
        return f"{scale:.4f} · {number(x)}", scale * x
    return f"{scale:.4f} · {alpha:.4f} · (e^{number(x)} − 1)", scale * alpha * math.expm1(x)


def gelu(x: float, caught: Caught) -> tuple[str, float]:
    if argument(caught, 1, "approximate", "none") == "tanh":
        share = 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return f"{number(x)} · ½ · (1 + tanh(√(2/π) · (x + 0.044715·x³))), a share of {number(share)}", x * share
    share = 0.5 * (1 + math.erf(x / math.sqrt(2)))
    return f"{number(x)} · {number(share)}, the share of a normal distribution below it", x * share


def silu(x: float, _: Caught) -> tuple[str, float]:
    return f"{number(x)} · sigmoid {number(_sigmoid(x))}", x * _sigmoid(x)


def mish(x: float, _: Caught) -> tuple[str, float]:
    share = math.tanh(_softplus(x))
    return f"{number(x)} · tanh(log(1 + e^x)) {number(share)}", x * share


def hardsigmoid(x: float, _: Caught) -> tuple[str, float]:
    return f"({number(x)} + 3) / 6, at least 0 and at most 1", min(1.0, max(0.0, (x + 3) / 6))


def hardswish(x: float, caught: Caught) -> tuple[str, float]:
    share = hardsigmoid(x, caught)[1]
    return f"{number(x)} · {number(share)}, which is (x + 3) / 6, at least 0 and at most 1", x * share


def hardtanh(x: float, caught: Caught) -> tuple[str, float]:
    low, high = argument(caught, 1, "min_val", -1.0), argument(caught, 2, "max_val", 1.0)
    return f"{number(x)}, at least {low:g} and at most {high:g}", min(high, max(low, x))


def sigmoid(x: float, _: Caught) -> tuple[str, float]:
    return f"1 / (1 + e^−({number(x)}))", _sigmoid(x)


def log_sigmoid(x: float, _: Caught) -> tuple[str, float]:
    return f"−log(1 + e^−({number(x)}))", -_softplus(-x)


def tanh(x: float, _: Caught) -> tuple[str, float]:
    return f"tanh({number(x)})", math.tanh(x)


def softplus(x: float, caught: Caught) -> tuple[str, float]:
    beta, threshold = argument(caught, 1, "beta", 1.0), argument(caught, 2, "threshold", 20.0)
    if x * beta > threshold:
        return f"{number(x)}, as it is above {threshold / beta:g}", x
    return f"log(1 + e^({beta:g} · {number(x)})) / {beta:g}", _softplus(beta * x) / beta


def softsign(x: float, _: Caught) -> tuple[str, float]:
    return f"{number(x)} / (1 + {number(abs(x))})", x / (1 + abs(x))


def activation(formula: Formula) -> Callable[[Caught, Position], Found]:
    """Return the rule of an activation that works value by value."""

    def rule(caught: Caught, at: Position) -> Found:
        entering = argument(caught, 0, "input")[at]
        words, found = formula(float(entering), caught)
        return "activation", [("the value that goes in", entering.reshape(1))], words, found

    return rule


def prelu(caught: Caught, at: Position) -> Found:
    """Return one value of a PReLU, whose slope below zero is learned: one for all channels, or one for each."""
    entering, slopes = argument(caught, 0, "input")[at], argument(caught, 1, "weight")
    slope = slopes[at[1]] if slopes.numel() > 1 else slopes.reshape(1)[0]
    parts = [("the value that goes in", entering.reshape(1)), ("the learned slope", slope.reshape(1))]
    if entering > 0:
        return "activation", parts, f"{number(entering)}, as it is positive", entering
    return "activation", parts, f"slope {number(slope)} · {number(entering)}", slope * entering


def glu(caught: Caught, at: Position) -> Found:
    """Return one value of a gated linear unit: of the first half of an axis times the sigmoid of the second."""
    x, axis = argument(caught, 0, "input"), argument(caught, 1, "dim", -1)
    first, second = x.chunk(2, axis)
    value, gate = first[at], torch.sigmoid(second[at])
    parts = [("the value", value.reshape(1)), ("what its gate reads", second[at].reshape(1))]
    return "activation", parts, f"{number(value)} · sigmoid {number(gate)}", value * gate


FORMULAS: dict[str, Formula] = {
    "ReLU": relu,
    "ReLU6": relu6,
    "LeakyReLU": leaky_relu,
    "ELU": elu,
    "CELU": celu,
    "SELU": selu,
    "GELU": gelu,
    "SiLU": silu,
    "Mish": mish,
    "Hardsigmoid": hardsigmoid,
    "Hardswish": hardswish,
    "Hardtanh": hardtanh,
    "Sigmoid": sigmoid,
    "LogSigmoid": log_sigmoid,
    "Tanh": tanh,
    "Softplus": softplus,
    "Softsign": softsign,
}
CALLED = {"LeakyReLU": "leaky_relu", "LogSigmoid": "logsigmoid"}
MODULES = {**{name: activation(formula) for name, formula in FORMULAS.items()}, "PReLU": prelu, "GLU": glu}
CALLS = {CALLED.get(name, name.lower()): rule for name, rule in MODULES.items()}

"""One output value of a normalisation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .caught import Caught, Found, Position, argument, number


def _normalised(
    own: Tensor, values: Tensor, mean: Tensor, variance: Tensor, eps: float, scale: Any, shift: Any, name: str
) -> Found:
    found = (own - mean) / (variance + eps).sqrt()
    words = f"({number(own)} − mean {number(mean)}) / √(variance {number(variance)} + {eps:g})"
    if scale is not None:
        found = found * scale
        words += f" · scale {number(scale)}"
    if shift is not None:
        found = found + shift
        words += f" + shift {number(shift)}"
    return "normalisation", [(name, values)], words, found


def _one(values: Any, place: Any) -> Any:
    return None if values is None else values[place]


def batch_norm(caught: Caught, at: Position) -> Found:
    x = argument(caught, 0, "input")
    module: Any = caught.module
    names = ("running_mean", "running_var", "weight", "bias")
    mean: Any
    variance: Any
    mean, variance, scale, shift = (
        getattr(module, name, None) if module is not None else argument(caught, place, name)
        for place, name in enumerate(names, 1)
    )
    eps = module.eps if module is not None else argument(caught, 7, "eps", 1e-5)
    if mean is None or (module is None and argument(caught, 5, "training", False)):
        axes = [place for place in range(x.ndim) if place != 1]
        mean, variance = x.mean(axes), x.var(axes, correction=0)
    channel = at[1]
    own = x[at]
    return _normalised(
        own,
        own.reshape(1),
        mean[channel],
        variance[channel],
        float(eps),
        _one(scale, channel),
        _one(shift, channel),
        "the value; mean and variance are those of training",
    )


def layer_norm(caught: Caught, at: Position) -> Found:
    module: Any = caught.module
    x = argument(caught, 0, "input")
    shape = argument(caught, 1, "normalized_shape")
    scale, shift = argument(caught, 2, "weight"), argument(caught, 3, "bias")
    eps = module.eps if module is not None else argument(caught, 4, "eps", 1e-5)
    if (len(shape) == 1 and x.shape[-1] != shape[0]) or type(module).__name__ == "LayerNorm2d":
        values, own, inner = x[(at[0], slice(None), *at[2:])], x[at], at[1:2]  # channels first
    else:
        outer = len(at) - len(shape)
        values, own, inner = x[at[:outer]], x[at], at[outer:]
    mean, variance = values.mean(), values.var(correction=0)
    return _normalised(
        own, values, mean, variance, float(eps), _one(scale, inner), _one(shift, inner), "the values of this place"
    )


def group_norm(caught: Caught, at: Position) -> Found:
    x, groups = argument(caught, 0, "input"), int(argument(caught, 1, "num_groups"))
    scale, shift = argument(caught, 2, "weight"), argument(caught, 3, "bias")
    eps = argument(caught, 4, "eps", 1e-5)
    width = x.shape[1] // groups
    first = at[1] // width * width
    values = x[at[0], first : first + width]
    return _normalised(
        x[at],
        values,
        values.mean(),
        values.var(correction=0),
        eps,
        _one(scale, at[1]),
        _one(shift, at[1]),
        f"the values of channels {first} to {first + width - 1}",
    )


def instance_norm(caught: Caught, at: Position) -> Found:
    x, module = argument(caught, 0, "input"), caught.module
    names = ("running_mean", "running_var", "weight", "bias")
    mean, variance, scale, shift = (argument(caught, place, name) for place, name in enumerate(names, 1))
    values, channel = x[at[:2]], at[1]
    own_statistics = argument(caught, 5, "use_input_stats", True) if module is None else mean is None
    return _normalised(
        x[at],
        values,
        values.mean() if own_statistics else mean[channel],
        values.var(correction=0) if own_statistics else variance[channel],
        float(argument(caught, 7, "eps", 1e-5)),
        _one(scale, channel),
        _one(shift, channel),
        "the values of this channel" if own_statistics else "the channel; mean and variance are those of training",
    )

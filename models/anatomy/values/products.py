"""One output value of linear layers, matrix products, softmax, sums, products and means."""

from __future__ import annotations

from collections.abc import Callable

import torch

from .caught import Caught, Found, Position, argument, number, plus


def linear(caught: Caught, at: Position) -> Found:
    x, weight, bias = (argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    values, factors = x[at[:-1]], weight[at[-1]]
    products = (values * factors).sum()
    added = float(bias[at[-1]]) if bias is not None else None
    words = f"the sum of {values.numel()} products {number(products)}" + plus(added)
    return "linear", [("values", values), ("weights", factors)], words, products + (added or 0.0)


def matmul(caught: Caught, at: Position) -> Found:
    first, second = argument(caught, 0, "input"), argument(caught, 1, "other")
    second = second if second is not None else caught.kwargs["mat2"]
    shape = caught.output.shape
    if second.ndim == 1:
        rows, columns = first[at] if first.ndim > 1 else first, second
    elif first.ndim == 1:
        rows, columns = first, second[(*at[:-1], slice(None), at[-1])]
    else:
        rows = first.expand(*shape[:-2], *first.shape[-2:])[(*at[:-2], at[-2])]
        columns = second.expand(*shape[:-2], *second.shape[-2:])[(*at[:-2], slice(None), at[-1])]
    products = (rows * columns).sum()
    return "product", [("row", rows), ("column", columns)], f"the sum of {rows.numel()} products", products


def softmax(caught: Caught, at: Position) -> Found:
    x = argument(caught, 0, "input")
    axis = argument(caught, 1, "dim", getattr(caught.module, "dim", -1))
    scores = x.movedim(axis, -1)[tuple(place for number, place in enumerate(at) if number != axis % x.ndim)]
    own = scores[at[axis]]
    powers = (scores - scores.max()).exp()
    words = f"e^{number(own)} / the sum of e^score over {scores.numel()} scores"
    return "softmax", [("scores", scores)], words, powers[at[axis]] / powers.sum()


def binary(word: str) -> Callable[[Caught, Position], Found]:
    def rule(caught: Caught, at: Position) -> Found:
        shape = caught.output.shape
        pair = (*caught.args, *(caught.kwargs[name] for name in ("other", "value") if name in caught.kwargs))[:2]
        one, other = (torch.as_tensor(value, dtype=caught.output.dtype).expand(shape)[at] for value in pair)
        other = other * caught.kwargs.get("alpha", 1)
        found = {"+": one + other, "−": one - other, "×": one * other, "÷": one / other}[word]
        name = "sum" if word in "+−" else "product"
        return (
            name,
            [("first", one.reshape(1)), ("second", other.reshape(1))],
            f"{number(one)} {word} {number(other)}",
            found,
        )

    return rule


def mean_or_sum(caught: Caught, at: Position) -> Found:
    x, over = argument(caught, 0, "input"), argument(caught, 1, "dim", caught.kwargs.get("axis"))
    axes = (
        range(x.ndim)
        if over is None
        else [place % x.ndim for place in (over if isinstance(over, tuple | list) else (over,))]
    )
    rest = iter(at)
    kept = caught.output.ndim == x.ndim
    index = tuple(
        (next(rest), slice(None))[1] if place in axes and kept else slice(None) if place in axes else next(rest)
        for place in range(x.ndim)
    )
    values = x[index]
    if caught.call == "sum":
        return "sum", [("values", values)], f"the sum of {values.numel()} values", values.sum()
    words = f"the sum of {values.numel()} values {number(values.sum())} / {values.numel()}"
    return "mean", [("values", values)], words, values.mean()

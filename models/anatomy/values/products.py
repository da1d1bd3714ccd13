"""One output value of linear layers, matrix products, softmax, sums, products and averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ....errors import counted
from .caught import Caught, Found, Position, argument, number, plus


def linear(caught: Caught, at: Position) -> Found:
    x, weight, bias = (argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    values, factors = x[at[:-1]], weight[at[-1]]
    products = (values * factors).sum()
    added = float(bias[at[-1]]) if bias is not None else None
    words = f"the sum of {counted(values.numel(), 'product')} {number(products)}" + plus(added)
    return "linear", [("values", values), ("weights", factors)], words, products + (added or 0.0)


def bilinear(caught: Caught, at: Position) -> Found:
    names = ("input1", "input2", "weight", "bias")
    given = {**dict(zip(names, caught.args, strict=False)), **caught.kwargs}
    weight: Any
    bias: Any
    weight, bias = (
        given.get(name) if caught.module is None else getattr(caught.module, name) for name in ("weight", "bias")
    )
    first, second, factors = given["input1"][at[:-1]], given["input2"][at[:-1]], weight[at[-1]]
    products = first @ factors @ second
    added = float(bias[at[-1]]) if bias is not None else None
    words = f"the sum of {counted(factors.numel(), 'product')} first · weight · second {number(products)}" + plus(added)
    parts = [("first values", first), ("second values", second), ("weights of their products", factors)]
    return "linear", parts, words, products + (added or 0.0)


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
    return "product", [("row", rows), ("column", columns)], f"the sum of {counted(rows.numel(), 'product')}", products


def einsum(caught: Caught, at: Position) -> Found:
    """Return one value of a sum of products by a rule such as bij,bjk->bik."""
    rule, *operands = caught.args
    operands = operands[0] if isinstance(operands[0], list | tuple) else operands
    entering, arrow, leaving = rule.replace(" ", "").partition("->")
    if not arrow or "." in rule:
        raise ValueError(f"layer: the rule {rule} does not open to one value")
    fixed = dict(zip(leaving, at, strict=True))
    summed = [letter for letter in dict.fromkeys(entering) if letter not in fixed and letter != ","]
    factors = []
    for letters, tensor in zip(entering.split(","), operands, strict=True):
        own = [letter for letter in letters if letter not in fixed]
        cut = tensor[tuple(fixed.get(letter, slice(None)) for letter in letters)]
        cut = cut.permute([own.index(letter) for letter in summed if letter in own])
        sizes = iter(cut.shape)
        factors.append(cut.reshape([next(sizes) if letter in own else 1 for letter in summed]))
    factors = torch.broadcast_tensors(*factors)
    products = torch.stack(factors).prod(0)
    names = ("first", "second", "third", "fourth")[: len(factors)]
    words = f"the sum of {counted(products.numel(), 'product')}" if summed else "the product"
    return "product", list(zip(names, factors, strict=True)), words, products.sum()


def softmax(caught: Caught, at: Position) -> Found:
    x = argument(caught, 0, "input")
    axis = argument(caught, 1, "dim", getattr(caught.module, "dim", -1))
    scores = x.movedim(axis, -1)[tuple(place for number, place in enumerate(at) if number != axis % x.ndim)]
    own = scores[at[axis]]
    powers = (scores - scores.max()).exp()
    words = f"e^{number(own)} / the sum of e^score over {counted(scores.numel(), 'score')}"
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
        return "sum", [("values", values)], f"the sum of {counted(values.numel(), 'value')}", values.sum()
    words = f"the sum of {counted(values.numel(), 'value')} {number(values.sum())} / {values.numel()}"
    return "mean", [("values", values)], words, values.mean()

"""One output value of what divides by the strength of several values: RMSNorm, response normalisation, unit length."""

from __future__ import annotations

import torch

from .caught import Caught, Found, Position, argument, number


def rms_norm(caught: Caught, at: Position) -> Found:
    x, shape, scale = (
        argument(caught, place, name) for place, name in ((0, "input"), (1, "normalized_shape"), (2, "weight"))
    )
    eps = argument(caught, 3, "eps")
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    outer = len(at) - len(shape)
    values, own = x[at[:outer]], x[at]
    squares = values.square().mean()
    found = own / (squares + eps).sqrt()
    words = f"{number(own)} / √(mean of the squares {number(squares)} + {eps:.3g})"
    if scale is not None:
        found = found * scale[at[outer:]]
        words += f" · scale {number(scale[at[outer:]])}"
    return "normalisation", [("the values of this place", values)], words, found


def response_norm(caught: Caught, at: Position) -> Found:
    """Return one value of a local response normalisation; channels beyond the first or last count as 0.

    PyTorch divides alpha by the number of channels. The layer of AlexNet does not; it calls that number n.
    """
    x, of_paper = argument(caught, 0, "input"), hasattr(caught.module, "n")
    size = argument(caught, 1, "n" if of_paper else "size")
    alpha, beta, k = (
        argument(caught, place, name, usual)
        for place, name, usual in ((2, "alpha", 1e-4), (3, "beta", 0.75), (4, "k", 1.0))
    )
    first = at[1] - size // 2
    neighbours = x[(at[0], slice(max(first, 0), first + size), *at[2:])]
    squares = neighbours.square().sum()
    share = "" if of_paper else f" / {size}"
    words = f"{number(x[at])} / ({k:g} + {alpha:g} · sum of the squares {number(squares)}{share})^{beta:g}"
    parts = [("the values of the neighbour channels", neighbours)]
    return "normalisation", parts, words, x[at] / (k + alpha * squares / (1 if of_paper else size)) ** beta


def unit_length(caught: Caught, at: Position) -> Found:
    """Return one value of F.normalize, which divides a vector by its length."""
    x = argument(caught, 0, "input")
    power, axis, eps = (
        argument(caught, place, name, usual) for place, name, usual in ((1, "p", 2.0), (2, "dim", 1), (3, "eps", 1e-12))
    )
    vector = x[tuple(slice(None) if place == axis % x.ndim else part for place, part in enumerate(at))]
    length = vector.norm(power)
    kind = "length" if power == 2 else f"{power:g}-norm"
    words = f"{number(x[at])} / {kind} {number(length)} of the vector"
    if length < eps:
        words = f"{number(x[at])} / {eps:g}, as the vector is shorter"
    return "normalisation", [("the values of the vector", vector)], words, x[at] / length.clamp_min(eps)

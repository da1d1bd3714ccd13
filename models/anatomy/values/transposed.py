"""One output value of a transposed convolution: the input values whose kernels reach it."""

from __future__ import annotations

from torch import Tensor

from ....errors import counted
from .caught import Caught, Found, Position, argument, as_tuple, number, plus


def transposed(caught: Caught, at: Position) -> Found:
    x, weight, bias = (argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    count = weight.ndim - 2
    stride, padding, dilation = (
        as_tuple(argument(caught, place, name, usual), count)
        for place, name, usual in ((3, "stride", 1), (4, "padding", 0), (7, "dilation", 1))
    )
    channel, width = at[1], x.shape[1] // argument(caught, 6, "groups", 1)
    first = channel // weight.shape[1] * width
    values = x[at[0], first : first + width]
    factors = weight[first : first + width, channel % weight.shape[1]]
    for axis in range(count):
        reaching = [
            (place // stride[axis], tap)
            for tap in reversed(range(weight.shape[2 + axis]))
            if (place := at[2 + axis] + padding[axis] - tap * dilation[axis]) % stride[axis] == 0
            and 0 <= place // stride[axis] < x.shape[2 + axis]
        ]
        values = _picked(values, 1 + axis, [place for place, _ in reaching])
        factors = _picked(factors, 1 + axis, [tap for _, tap in reaching])
    products = (values * factors).sum()
    added = float(bias[channel]) if bias is not None else None
    total = products + (added or 0.0)
    if not values.numel():
        return "transposed convolution", [], "no kernel reaches this place: 0" + plus(added), total
    words = f"the sum of {counted(values.numel(), 'product')} {number(products)}" + plus(added)
    parts = [("values whose kernels reach this place", values), ("weights, each at its place in the kernel", factors)]
    return "transposed convolution", parts, words, total


def _picked(tensor: Tensor, axis: int, places: list[int]) -> Tensor:
    return tensor.index_select(axis, tensor.new_tensor(places).long())

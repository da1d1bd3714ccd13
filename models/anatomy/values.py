"""One output value of a row, with the numbers that it is made of: convolutions, linear layers, poolings, normalisations,
attention, matrix products, softmax, sums and products.

The network runs on a real image with real weights. What is added up here is computed anew from the numbers shown, and
``total`` is what the layer itself gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .rows import operations
from .rows.layer import Layer
from .rows.trace import Node, Recorder

Position = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """Numbers with a name: the values under a kernel, the weights, the shares of attention."""

    name: str
    numbers: Tensor


@dataclass(frozen=True)
class Value:
    """One output value. ``parts`` are the numbers, ``rule`` says how they make ``total``, with the sums in between.

    ``position`` is its place in the output, batch axis left out where there is one image. ``kind`` names the family:
    convolution, linear, maximum, mean, normalisation, attention, product, softmax, sum. ``computed`` is what the parts
    give.
    """

    layer: str
    kind: str
    position: Position
    shape: tuple[int, ...]
    parts: tuple[Part, ...]
    rule: str
    computed: float
    total: float


def as_dict(value: Value) -> dict[str, Any]:
    """Return a value as JSON-able data."""
    parts = [{"name": part.name, "numbers": part.numbers.tolist()} for part in value.parts]
    return {
        "layer": value.layer,
        "kind": value.kind,
        "position": list(value.position),
        "shape": list(value.shape),
        "parts": parts,
        "rule": value.rule,
        "computed": value.computed,
        "total": value.total,
    }


@dataclass
class Caught:
    """A row as it ran: the module or the name of the call, what went in and what came out."""

    name: str
    module: nn.Module | None
    call: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    output: Any = None


class _Catching(Recorder):
    """A recorder that keeps what goes into one row and comes out of it: the row with this number, or the first of a
    module's name.
    """

    def __init__(self, network: nn.Module, number: int, name: str) -> None:
        super().__init__(network)
        self.wanted, self.wanted_name = number, name
        self.caught: Caught | None = None

    def _matches(self, node: Node) -> bool:
        return self.caught is None and (
            node.number == self.wanted or (node.is_module and bool(self.wanted_name) and node.name == self.wanted_name)
        )

    def _handed_on(self, node: Node, output: Any, tensors: list[Tensor]) -> Tensor | None:
        if self._matches(node) and node.module is not None:
            self.caught = Caught(node.name, node.module, "", *self._entering.pop(node.number, ((), {})), output)
        self._entering.pop(node.number, None)
        return super()._handed_on(node, output, tensors)

    _entering: dict[int, tuple[tuple, dict]]

    def _before(self, name: str) -> Callable:
        enter = super()._before(name)

        def also(module: nn.Module, args: tuple, kwargs: dict) -> None:
            enter(module, args, kwargs)
            node = self.stack[-1]
            if name and self._matches(node):
                kept = tuple(value.clone() if isinstance(value, Tensor) else value for value in args)
                self._entering[node.number] = (kept, dict(kwargs))

        return also

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        before = self.count
        result = super().call(name, func, args, kwargs)
        if self.count > before and self.caught is None and self.wanted == self.count:
            self.caught = Caught(self.stack[-1].name, None, operations.word_of(name), args, kwargs, result)
        return result

    def catch(self, image: Tensor) -> Caught | None:
        """Run once and return the row, None where it does not run."""
        self._entering = {}
        self.run(image)
        return self.caught


def output_value(network: nn.Module, row: int | str, image: Tensor, position: Position) -> Value:
    """Take one output value of a row apart; ``row`` is its number in the layer table or the name of a module.

    ``image`` is (1, C, H, W), normalised as the network expects it. ValueError where the row has no single value to be
    shown, or the position lies outside its output.
    """
    was_training = network.training
    network.eval()
    try:
        catching = _Catching(network, row if isinstance(row, int) else -1, row if isinstance(row, str) else "")
        caught = catching.catch(image)
    finally:
        network.train(was_training)
    if caught is None:
        raise ValueError(f"layer: {row!r} is no row that runs")
    return value_of(caught, position, row)


def opens(layer: Layer) -> bool:
    """Return whether a row opens to one output value."""
    if not layer.executed:
        return False
    if layer.kind == "module":
        return not layer.children and layer.base in MODULES
    return layer.type in CALLS


def value_of(caught: Caught, position: Position, row: int | str = "") -> Value:
    """Return one output value of a row that ran."""
    output = caught.output[0] if isinstance(caught.output, tuple | list) else caught.output
    rule = None
    if caught.module is not None:
        rule = next((MODULES[base.__name__] for base in type(caught.module).__mro__ if base.__name__ in MODULES), None)
    else:
        rule = CALLS.get(caught.call)
    name = caught.name or type(caught.module).__name__
    if rule is None or not isinstance(output, Tensor) or not output.is_floating_point():
        kinds = "convolutions, linear layers, poolings, normalisations, attention, products and sums do"
        raise ValueError(f"layer: {row or name!r} does not open to one value; {kinds}")
    full = position if len(position) == output.ndim else (0, *position)
    shape = tuple(output.shape)
    if len(full) != output.ndim or not all(0 <= at < size for at, size in zip(full, shape, strict=True)):
        raise ValueError(f"position: {position} lies outside the output {shape[1:]}")
    with torch.no_grad():
        kind, parts, words, computed = rule(caught, full)
    return Value(
        name,
        kind,
        position,
        shape,
        tuple(Part(label, numbers.detach()) for label, numbers in parts),
        words,
        float(computed),
        float(output[full]),
    )


Found = tuple[str, list[tuple[str, Tensor]], str, float | Tensor]


def _argument(caught: Caught, place: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call; of a module the attribute, or for place 0 its input."""
    if caught.module is not None and place:
        return getattr(caught.module, name, default)
    if len(caught.args) > place:
        return caught.args[place]
    return caught.kwargs.get(name, default)


def _number(value: float | Tensor) -> str:
    return f"{float(value):.4f}"


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value) * (count if len(value) == 1 else 1)


# Convolutions and poolings


def _padded(x: Tensor, before_after: list[tuple[int, int]], mode: str, fill: float = 0.0) -> Tensor:
    """Pad the last axes of one image (C, …), the pairs in the order of the axes."""
    flat = [side for pair in reversed(before_after) for side in pair]
    if not any(flat):
        return x
    if mode in ("zeros", "constant"):
        return functional.pad(x, flat, value=fill)
    return functional.pad(x[None], flat, mode=mode)[0]


def _padding(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        sides = [gap * (k - 1) for k, gap in zip(kernel, dilation, strict=True)]
        return [(side // 2, side - side // 2) for side in sides]
    return [(side, side) for side in _tuple(padding, len(kernel))]


def _window(x: Tensor, place: Position, kernel: tuple, stride: tuple, dilation: tuple) -> Tensor:
    """Return the values under the kernel at a place of the output; it may end at the border (ceil_mode)."""
    cuts = [
        slice(at * step, at * step + (k - 1) * gap + 1, gap)
        for at, k, step, gap in zip(place, kernel, stride, dilation, strict=True)
    ]
    return x[(slice(None), *cuts)]


def _convolution(caught: Caught, at: Position) -> Found:
    x, weight, bias = (_argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    count = weight.ndim - 2
    stride, dilation = (
        _tuple(_argument(caught, place, name, 1), count) for place, name in ((3, "stride"), (5, "dilation"))
    )
    groups = _argument(caught, 6, "groups", 1)
    kernel = tuple(weight.shape[2:])
    padding = _padding(_argument(caught, 4, "padding", 0), kernel, dilation)
    mode = getattr(caught.module, "padding_mode", "zeros")
    channel = at[1]
    first = channel // (weight.shape[0] // groups) * weight.shape[1]
    entering = _padded(x[at[0]], padding, mode)[first : first + weight.shape[1]]
    window, factors = _window(entering, at[2:], kernel, stride, dilation), weight[channel]
    products = (window * factors).sum()
    added = float(bias[channel]) if bias is not None else None
    words = f"the sum of {window.numel()} products {_number(products)}" + _plus(added)
    return "convolution", [("values under the kernel", window), ("weights", factors)], words, products + (added or 0.0)


def _plus(bias: float | None) -> str:
    return "" if bias is None else f" + bias {_number(bias)}"


def _pooling(caught: Caught, at: Position) -> Found:
    x = _argument(caught, 0, "input")
    count = x.ndim - 2 if len(at) == x.ndim else x.ndim - 1
    is_max = "max" in (caught.call or type(caught.module).__name__).lower()
    kernel = _tuple(_argument(caught, 1, "kernel_size"), count)
    stride = _tuple(_argument(caught, 2, "stride") or kernel, count)
    padding = [(side, side) for side in _tuple(_argument(caught, 3, "padding", 0), count)]
    if is_max:
        dilation = _tuple(_argument(caught, 4, "dilation", 1), count)
        x = _padded(x[at[0]], padding, "constant", -math.inf)
        window = _window(x, at[2:], kernel, stride, dilation)[at[1]]
        found = window.max()
        return "maximum", [("values in the window", window)], f"the largest of {window.numel()} values", found
    padded = _padded(x[at[0]], padding, "constant")
    window = _window(padded, at[2:], kernel, stride, (1,) * count)[at[1]]
    divisor = _argument(caught, 6, "divisor_override")
    if divisor is None and _argument(caught, 5, "count_include_pad", True):
        divisor = window.numel()
    elif divisor is None:
        ones = _padded(torch.ones_like(x[at[0]]), padding, "constant")
        divisor = int(_window(ones, at[2:], kernel, stride, (1,) * count)[at[1]].sum())
    words = f"the sum of {window.numel()} values {_number(window.sum())} / {divisor}"
    return "mean", [("values in the window", window)], words, window.sum() / divisor


def _adaptive(caught: Caught, at: Position) -> Found:
    x = _argument(caught, 0, "input")
    output = caught.output[0] if isinstance(caught.output, tuple) else caught.output
    cuts = [
        slice(place * old // new, -(-(place + 1) * old // new))
        for place, old, new in zip(at[2:], x.shape[2:], output.shape[2:], strict=True)
    ]
    window = x[(at[0], at[1], *cuts)]
    if "max" in (caught.call or type(caught.module).__name__).lower():
        return "maximum", [("values in the part", window)], f"the largest of {window.numel()} values", window.max()
    words = f"the sum of {window.numel()} values {_number(window.sum())} / {window.numel()}"
    return "mean", [("values in the part", window)], words, window.mean()


# Linear layers, products


def _linear(caught: Caught, at: Position) -> Found:
    x, weight, bias = (_argument(caught, place, name) for place, name in ((0, "input"), (1, "weight"), (2, "bias")))
    values, factors = x[at[:-1]], weight[at[-1]]
    products = (values * factors).sum()
    added = float(bias[at[-1]]) if bias is not None else None
    words = f"the sum of {values.numel()} products {_number(products)}" + _plus(added)
    return "linear", [("values", values), ("weights", factors)], words, products + (added or 0.0)


def _matmul(caught: Caught, at: Position) -> Found:
    first, second = _argument(caught, 0, "input"), _argument(caught, 1, "other")
    second = second if second is not None else caught.kwargs["mat2"]
    shape = caught.output.shape
    rows = first.expand(*shape[:-2], *first.shape[-2:])[(*at[:-2], at[-2])]
    columns = second.expand(*shape[:-2], *second.shape[-2:])[(*at[:-2], slice(None), at[-1])]
    products = (rows * columns).sum()
    return "product", [("row", rows), ("column", columns)], f"the sum of {rows.numel()} products", products


def _softmax(caught: Caught, at: Position) -> Found:
    x = _argument(caught, 0, "input")
    axis = _argument(caught, 1, "dim", getattr(caught.module, "dim", -1))
    scores = x.movedim(axis, -1)[tuple(place for number, place in enumerate(at) if number != axis % x.ndim)]
    own = scores[at[axis]]
    powers = (scores - scores.max()).exp()
    words = f"e^{_number(own)} / the sum of e^score over {scores.numel()} scores"
    return "softmax", [("scores", scores)], words, powers[at[axis]] / powers.sum()


def _binary(word: str) -> Callable[[Caught, Position], Found]:
    def rule(caught: Caught, at: Position) -> Found:
        shape = caught.output.shape
        one, other = (torch.as_tensor(value, dtype=caught.output.dtype).expand(shape)[at] for value in caught.args[:2])
        found = {"+": one + other, "−": one - other, "×": one * other, "÷": one / other}[word]
        name = "sum" if word in "+−" else "product"
        return (
            name,
            [("first", one.reshape(1)), ("second", other.reshape(1))],
            f"{_number(one)} {word} {_number(other)}",
            found,
        )

    return rule


def _mean(caught: Caught, at: Position) -> Found:
    x, over = _argument(caught, 0, "input"), _argument(caught, 1, "dim", caught.kwargs.get("axis"))
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
    words = f"the sum of {values.numel()} values {_number(values.sum())} / {values.numel()}"
    return "mean", [("values", values)], words, values.mean()


# Normalisations


def _normalised(
    own: Tensor, values: Tensor, mean: Tensor, variance: Tensor, eps: float, scale: Any, shift: Any, name: str
) -> Found:
    found = (own - mean) / (variance + eps).sqrt()
    words = f"({_number(own)} − mean {_number(mean)}) / √(variance {_number(variance)} + {eps:g})"
    if scale is not None:
        found = found * scale
        words += f" · scale {_number(scale)}"
    if shift is not None:
        found = found + shift
        words += f" + shift {_number(shift)}"
    return "normalisation", [(name, values)], words, found


def _one(values: Any, place: Any) -> Any:
    return None if values is None else values[place]


def _batch_norm(caught: Caught, at: Position) -> Found:
    x = _argument(caught, 0, "input")
    module: Any = caught.module
    names = ("running_mean", "running_var", "weight", "bias")
    mean: Any
    variance: Any
    mean, variance, scale, shift = (
        getattr(module, name, None) if module is not None else _argument(caught, place, name)
        for place, name in enumerate(names, 1)
    )
    eps = module.eps if module is not None else _argument(caught, 7, "eps", 1e-5)
    if mean is None:
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


def _layer_norm(caught: Caught, at: Position) -> Found:
    module: Any = caught.module
    x = _argument(caught, 0, "input")
    shape = _argument(caught, 1, "normalized_shape")
    scale, shift = _argument(caught, 2, "weight"), _argument(caught, 3, "bias")
    eps = module.eps if module is not None else _argument(caught, 4, "eps", 1e-5)
    if (len(shape) == 1 and x.shape[-1] != shape[0]) or type(module).__name__ == "LayerNorm2d":
        values, own, inner = x[(at[0], slice(None), *at[2:])], x[at], at[1:2]  # channels first
    else:
        outer = len(at) - len(shape)
        values, own, inner = x[at[:outer]], x[at], at[outer:]
    mean, variance = values.mean(), values.var(correction=0)
    return _normalised(
        own, values, mean, variance, float(eps), _one(scale, inner), _one(shift, inner), "the values of this place"
    )


def _group_norm(caught: Caught, at: Position) -> Found:
    x, groups = _argument(caught, 0, "input"), int(_argument(caught, 1, "num_groups"))
    scale, shift = _argument(caught, 2, "weight"), _argument(caught, 3, "bias")
    eps = _argument(caught, 4, "eps", 1e-5)
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


# Attention


def _attention(caught: Caught, at: Position) -> Found:
    query, key, value = (_argument(caught, place, name) for place, name in ((0, "query"), (1, "key"), (2, "value")))
    mask, causal = _argument(caught, 3, "attn_mask"), _argument(caught, 5, "is_causal", False)
    scale = _argument(caught, 6, "scale") or query.shape[-1] ** -0.5
    batch, place, channel = at[:-2], at[-2], at[-1]
    shape = caught.output.shape[:-2]
    q, k, v = (tensor.expand(*shape, *tensor.shape[-2:])[batch] for tensor in (query, key, value))
    scores = k @ q[place] * scale
    if causal:
        scores = scores.masked_fill(torch.arange(len(scores)) > place, -math.inf)
    if mask is not None:
        row = mask.expand(*shape, *mask.shape[-2:])[batch][place]
        scores = scores.masked_fill(~row, -math.inf) if row.dtype == torch.bool else scores + row
    shares = scores.softmax(-1)
    parts = [("scores: query · key / √d", scores), ("shares, which add up to 1", shares), ("values", v[:, channel])]
    return "attention", parts, f"the sum of {len(shares)} products share · value", (shares * v[:, channel]).sum()


def _multi_head(caught: Caught, at: Position) -> Found:
    module = caught.module
    assert isinstance(module, nn.MultiheadAttention)
    query, key, value = (
        caught.args[place] if len(caught.args) > place else caught.kwargs[name]
        for place, name in ((0, "query"), (1, "key"), (2, "value"))
    )
    mask = caught.args[5] if len(caught.args) > 5 else caught.kwargs.get("attn_mask")
    padding = caught.args[3] if len(caught.args) > 3 else caught.kwargs.get("key_padding_mask")
    if not module._qkv_same_embed_dim or module.bias_k is not None or mask is not None or padding is not None:
        raise ValueError("layer: attention with masks or with keys of another width does not open to one value")
    if query.ndim == 2:
        image, place = 0, at[0]
        query, key, value = query[None], key[None], value[None]
    elif module.batch_first:
        image, place = at[0], at[1]
    else:
        image, place = at[1], at[0]
        query, key, value = (tensor.transpose(0, 1) for tensor in (query, key, value))
    weight, bias = module.in_proj_weight, module.in_proj_bias
    parts_of = (weight.chunk(3), bias.chunk(3) if bias is not None else (None,) * 3)
    heads, width = module.num_heads, module.head_dim
    q, k, v = (
        functional.linear(tensor[image], own, more).unflatten(-1, (heads, width))
        for tensor, own, more in zip((query, key, value), *parts_of, strict=True)
    )
    scores = torch.einsum("hd,nhd->hn", q[place], k) / math.sqrt(width)
    shares = scores.softmax(-1)
    found = torch.einsum("hn,nhd->hd", shares, v).flatten()
    factors, added = module.out_proj.weight[at[-1]], module.out_proj.bias
    products = (found * factors).sum()
    extra = float(added[at[-1]]) if added is not None else None
    parts = [
        ("shares of the first head, which add up to 1", shares[0]),
        (f"what {heads} heads found: shares · values", found),
        ("weights of the output", factors),
    ]
    words = f"the sum of {found.numel()} products found · weight {_number(products)}" + _plus(extra)
    return "attention", parts, words, products + (extra or 0.0)


Rule = Callable[[Caught, Position], Found]
MODULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d"), _convolution),
    **dict.fromkeys(("MaxPool1d", "MaxPool2d", "MaxPool3d"), _pooling),
    **dict.fromkeys(("AvgPool2d", "AvgPool3d"), _pooling),
    **dict.fromkeys(("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool2d"), _adaptive),
    "Linear": _linear,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"), _batch_norm),
    "LayerNorm": _layer_norm,
    "GroupNorm": _group_norm,
    "Softmax": _softmax,
    "MultiheadAttention": _multi_head,
}
CALLS: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool2d", "avg_pool3d"), _pooling),
    **dict.fromkeys(
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d"), _adaptive
    ),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "attention": _attention,
    "matmul": _matmul,
    "softmax": _softmax,
    **dict.fromkeys(("mean", "sum"), _mean),
    **{word: _binary(word) for word in "+−×÷"},
}

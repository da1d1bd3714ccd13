"""Formulas with live numbers: output size, parameters and work of the row at hand, values put in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..rows.layer import Layer


@dataclass(frozen=True)
class Formula:
    """``general`` in letters, ``filled`` with the layer's numbers, ``value`` the result."""

    what: str
    general: str
    filled: str
    value: int


def formulas(layer: Layer) -> list[Formula]:
    """Return the formulas that apply to one row: layers of torch.nn and the calls that do the same.

    What does not run in eval mode has no sizes to put in, so it has none. A block of several rows has none either.
    """
    if not layer.executed or layer.children or not layer.inputs or not layer.output:
        return []
    rule = RULES.get(layer.base or layer.type) if layer.kind == "module" else RULES.get(layer.type)
    return rule(layer) if rule else []


def _each(value: Any, count: int) -> tuple[int, ...]:
    """Return a setting as one number for each axis of the map."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * count if len(values) == 1 else values


def _dot(numbers: list[int] | tuple[int, ...]) -> str:
    return "·".join(map(str, numbers))


def _images(layer: Layer) -> tuple[str, int]:
    """Return the factor for what stands in the batch axis: several images, or the parts of one."""
    count = layer.output[0]
    return (f"·{count} images" if count > 1 else "", count)


AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def _sizes(layer: Layer) -> list[Formula]:
    settings, count = layer.settings, len(layer.output) - 2
    padding = settings.get("padding", 0)
    if count not in AXES or isinstance(padding, str) or len(layer.inputs[0]) != len(layer.output):
        return []
    kernel = _each(settings["kernel_size"], count)
    stride = _each(settings.get("stride") or settings["kernel_size"], count)
    paddings, dilation = _each(padding, count), _each(settings.get("dilation", 1), count)
    found = []
    for axis, what in enumerate(AXES[count]):
        size, k, s, p, d = layer.inputs[0][2 + axis], kernel[axis], stride[axis], paddings[axis], dilation[axis]
        general, filled = "⌊(n + 2p - d(k - 1) - 1) / s⌋ + 1", f"⌊({size} + 2·{p} - {d}·({k} - 1) - 1) / {s}⌋ + 1"
        value = (size + 2 * p - d * (k - 1) - 1) // s + 1
        if value != layer.output[2 + axis]:  # a pooling with ceil_mode rounds up instead
            value = -(-(size + 2 * p - d * (k - 1) - 1) // s) + 1
            general, filled = (text.replace("⌊", "⌈").replace("⌋", "⌉") for text in (general, filled))
        if value == layer.output[2 + axis]:
            found.append(Formula(f"output {what}", general, filled, value))
    return found


def _convolution(layer: Layer) -> list[Formula]:
    settings, count = layer.settings, len(layer.output) - 2
    kernel = _each(settings["kernel_size"], count)
    groups, c_in, c_out = settings["groups"], layer.inputs[0][1], layer.output[1]
    bias = c_out if settings.get("bias") else 0
    weights = f"{_dot(kernel)}·{c_in}/{groups}·{c_out}"
    value = math.prod(kernel) * c_in // groups * c_out
    k, places = "·".join("k" * count), "·".join("DHW"[3 - count :])
    told, images = _images(layer)
    parameters = Formula(
        "parameters", f"{k}·C_in/g·C_out (+ C_out)", weights + (f" + {bias}" if bias else ""), value + bias
    )
    work = Formula(
        "MACs",
        f"{k}·C_in/g·C_out·{places}",
        f"{weights}·{_dot(layer.output[2:])}{told}",
        value * math.prod(layer.output[2:]) * images,
    )
    return [*_sizes(layer), *([parameters] if layer.kind == "module" else []), work]


def _transposed(layer: Layer) -> list[Formula]:
    settings, count = layer.settings, len(layer.output) - 2
    kernel = _each(settings["kernel_size"], count)
    groups, c_in, c_out = settings["groups"], layer.inputs[0][1], layer.output[1]
    bias = c_out if settings.get("bias") else 0
    weights, value = f"{_dot(kernel)}·{c_in}·{c_out}/{groups}", math.prod(kernel) * c_in * c_out // groups
    k = "·".join("k" * count)
    if layer.kind != "module":
        return []
    general = f"{k}·C_in·C_out/g (+ C_out)"
    return [Formula("parameters", general, weights + (f" + {bias}" if bias else ""), value + bias)]


def _linear(layer: Layer) -> list[Formula]:
    n_in, n_out = layer.inputs[0][-1], layer.output[-1]
    bias = n_out if layer.settings.get("bias") else 0
    rows = math.prod(layer.output[:-1])
    places = f"·{rows} positions" if rows > 1 else ""
    filled = f"{n_in}·{n_out}" + (f" + {bias}" if bias else "")
    parameters = Formula("parameters", "n_in·n_out (+ n_out)", filled, n_in * n_out + bias)
    work = Formula("MACs", "n_in·n_out per position", f"{n_in}·{n_out}{places}", n_in * n_out * rows)
    return [parameters, work] if layer.kind == "module" else [work]


def _bilinear(layer: Layer) -> list[Formula]:
    sizes = (layer.inputs[0][-1], layer.inputs[-1][-1], layer.output[-1])
    bias = sizes[-1] if layer.settings.get("bias") else 0
    rows, weights = math.prod(layer.output[:-1]), math.prod(sizes)
    places = f"·{rows} positions" if rows > 1 else ""
    filled = _dot(sizes) + (f" + {bias}" if bias else "")
    return [
        Formula("parameters", "n_1·n_2·n_out (+ n_out)", filled, weights + bias),
        Formula("MACs", "n_1·n_2·n_out per position", f"{_dot(sizes)}{places}", weights * rows),
    ]


def _norm(layer: Layer) -> list[Formula]:
    if not layer.parameters:
        return []
    shape = layer.settings.get("normalized_shape")
    channels = math.prod(shape) if shape else layer.inputs[0][1]
    if layer.settings.get("bias", True):
        return [Formula("parameters", "scale + shift per channel = 2·C", f"2·{channels}", 2 * channels)]
    return [Formula("parameters", "a scale per channel = C", f"{channels}", channels)]


def _matmul(layer: Layer) -> list[Formula]:
    if len(layer.inputs) != 2 or min(map(len, layer.inputs)) < 2:
        return []
    rows, inner = layer.inputs[0][-2:]
    columns, times = layer.output[-1], math.prod(layer.output[:-2])
    told = f"·{times} matrices" if times > 1 else ""
    return [Formula("MACs", "n·k·m per matrix", f"{rows}·{inner}·{columns}{told}", rows * inner * columns * times)]


def _attention(layer: Layer) -> list[Formula]:
    if len(layer.inputs) < 3 or len(layer.inputs[0]) < 3:
        return []
    queries, width = layer.inputs[0][-2:]
    keys, out, times = layer.inputs[1][-2], layer.output[-1], math.prod(layer.output[:-2])
    told = f"·{times} heads" if times > 1 else ""
    return [
        Formula(
            "MACs",
            "N·M·(d_k + d_v) per head, q·kᵀ and shares·v",
            f"{queries}·{keys}·({width} + {out}){told}",
            queries * keys * (width + out) * times,
        )
    ]


def _multi_head(layer: Layer) -> list[Formula]:
    d = layer.output[-1]
    found = []
    if layer.parameters == 4 * d * d + 4 * d:
        found.append(Formula("parameters", "4·d² + 4·d", f"4·{d}·{d} + 4·{d}", 4 * d * d + 4 * d))
    if len(layer.output) == 3 and len(set(layer.inputs)) == 1:
        axis = 1 if layer.settings.get("batch_first") else 0
        n, images = layer.output[axis], layer.output[1 - axis]
        told, value = (f"·{images} images" if images > 1 else ""), (4 * n * d * d + 2 * n * n * d) * images
        filled = f"4·{n}·{d}·{d} + 2·{n}·{n}·{d}"
        filled = f"({filled}){told}" if told else filled
        found.append(Formula("MACs", "4·N·d² + 2·N²·d", filled, value))
    return found


RULES: dict[str, Callable[[Layer], list[Formula]]] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"), _transposed),
    **dict.fromkeys(
        (
            "MaxPool1d",
            "MaxPool2d",
            "MaxPool3d",
            "AvgPool1d",
            "AvgPool2d",
            "AvgPool3d",
            "max_pool1d",
            "max_pool2d",
            "max_pool3d",
            "avg_pool1d",
            "avg_pool2d",
            "avg_pool3d",
        ),
        _sizes,
    ),
    **dict.fromkeys(("Linear", "linear"), _linear),
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm", "GroupNorm"), _norm),
    "Bilinear": _bilinear,
    "matmul": _matmul,
    "attention": _attention,
    "MultiheadAttention": _multi_head,
}

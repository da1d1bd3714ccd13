"""Formulas with live numbers: output size, parameters, work and receptive field of the layer at hand, values put in."""

from __future__ import annotations

from dataclasses import dataclass

from .layer_table import Layer


@dataclass(frozen=True)
class Formula:
    """``general`` in letters, ``filled`` with the layer's numbers, ``value`` the result."""

    what: str
    general: str
    filled: str
    value: int


def formulas(layer: Layer) -> list[Formula]:
    """Return the formulas that apply to one row: convolutions, poolings, linear layers and normalisations have some.

    What does not run in eval mode has no sizes to put in, so it has none.
    """
    if not layer.executed:
        return []
    if layer.type == "Conv2d":
        return [*_sizes(layer), *_convolution(layer)]
    if layer.type in ("MaxPool2d", "AvgPool2d"):
        return _sizes(layer)
    if layer.type == "Linear":
        return _linear(layer)
    if layer.type in ("BatchNorm2d", "LayerNorm", "LayerNorm2d", "GroupNorm") and layer.parameters:
        channels = layer.parameters // 2
        return [Formula("parameters", "scale + shift per channel = 2·C", f"2·{channels}", layer.parameters)]
    return []


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _sizes(layer: Layer) -> list[Formula]:
    settings = layer.settings
    kernel, stride = _pair(settings["kernel_size"]), _pair(settings.get("stride") or settings["kernel_size"])
    padding, dilation = settings.get("padding", 0), _pair(settings.get("dilation", 1))
    if isinstance(padding, str) or not layer.inputs:
        return []
    padding = _pair(padding)
    found = []
    for axis, what in ((0, "height"), (1, "width")):
        size, k, s, p, d = layer.inputs[0][2 + axis], kernel[axis], stride[axis], padding[axis], dilation[axis]
        filled = f"⌊({size} + 2·{p} - {d}·({k} - 1) - 1) / {s}⌋ + 1"
        value = (size + 2 * p - d * (k - 1) - 1) // s + 1
        if value == layer.output[2 + axis]:  # a pooling with ceil_mode rounds up instead
            found.append(Formula(f"output {what}", "⌊(n + 2p - d(k - 1) - 1) / s⌋ + 1", filled, value))
        else:
            found.append(
                Formula(
                    f"output {what}",
                    "⌈(n + 2p - d(k - 1) - 1) / s⌉ + 1",
                    filled.replace("⌊", "⌈").replace("⌋", "⌉"),
                    layer.output[2 + axis],
                )
            )
    return found


def _convolution(layer: Layer) -> list[Formula]:
    settings = layer.settings
    height, width = _pair(settings["kernel_size"])
    groups, c_in, c_out = settings["groups"], layer.inputs[0][1], layer.output[1]
    bias = c_out if settings.get("bias") else 0
    weights = f"{height}·{width}·{c_in}/{groups}·{c_out}"
    out_h, out_w = layer.output[2:]
    value = height * width * c_in // groups * c_out
    images, batch = _batch(layer)
    return [
        Formula("parameters", "k·k·C_in/g·C_out (+ C_out)", weights + (f" + {c_out}" if bias else ""), value + bias),
        Formula(
            "multiply-adds", "k·k·C_in/g·C_out·H·W", f"{weights}·{out_h}·{out_w}{batch}", value * out_h * out_w * images
        ),
    ]


def _batch(layer: Layer) -> tuple[int, str]:
    """Return the length of the batch axis, and how a formula says it: a network may put parts of an image there."""
    images = layer.output[0] if len(layer.output) > 1 else 1
    return images, f"·{images} in the batch" if images > 1 else ""


def _linear(layer: Layer) -> list[Formula]:
    n_in, n_out = layer.inputs[0][-1], layer.output[-1]
    bias = n_out if layer.settings.get("bias") else 0
    rows = 1
    for size in layer.output[1:-1]:
        rows *= size
    places = f"·{rows} positions" if rows > 1 else ""
    images, batch = _batch(layer)
    return [
        Formula(
            "parameters",
            "n_in·n_out (+ n_out)",
            f"{n_in}·{n_out}" + (f" + {bias}" if bias else ""),
            n_in * n_out + bias,
        ),
        Formula(
            "multiply-adds", "n_in·n_out per position", f"{n_in}·{n_out}{places}{batch}", n_in * n_out * rows * images
        ),
    ]

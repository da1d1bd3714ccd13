"""Phrases of layers with weights or windows: convolutions, pooling, linear layers, normalisation, attention."""

from __future__ import annotations

from ..rows.layer import Layer
from .quantities import Describe, kernel_of, ordinal, pair, sides, stride_of, times_text


def _convolution(layer: Layer) -> str:
    groups, kernel = layer.settings.get("groups", 1), kernel_of(layer)
    channels, made = _channels(layer)
    if max(kernel) == 1:
        if groups == 1:
            mixed = "channels of each pixel"
            if layer.layout_in is not None and layer.layout_in.axes[-1 - len(kernel)] in ("tokens", "rows", "columns"):
                mixed = (
                    "places of each channel"
                    if layer.layout_in.mixes_places(-1 - len(kernel))
                    else "values of each place"
                )
            return f"mixes the {mixed}, {channels} → {made}{_steps(layer)}"
        return f"mixes channels within {groups} groups, {channels} → {made}{_steps(layer)}"
    padding = layer.settings.get("padding", 0)
    padded = padding == "same" or (not isinstance(padding, str) and max(pair(padding, 1)) > 0)
    if kernel == stride_of(layer) and groups == 1 and len(kernel) > 1 and not padded:
        return f"turns each {times_text(kernel)} patch into one place, {channels} → {made} channels"
    kind = "looks through"
    if groups > 1:
        alone = groups == channels
        kind = "looks at each channel alone through" if alone else f"looks in {groups} groups through"
    text = f"{kind} a {_window(kernel)}"
    text += _gaps(layer)
    text += f", {channels} → {made} channels" if channels != made else ""
    return text + _steps(layer)


def _channels(layer: Layer) -> tuple[int, int]:
    """Return how many channels go in and out: their axis stands before the places, which may have no batch in front."""
    place = -1 - len(kernel_of(layer))
    return layer.inputs[0][place], layer.output[place]


def _gaps(layer: Layer) -> str:
    dilation = pair(layer.settings.get("dilation", 1), 1)
    if max(dilation) == 1:
        return ""
    return f" with gaps (dilation {dilation[0] if len(set(dilation)) == 1 else times_text(dilation)})"


def _steps(layer: Layer) -> str:
    strides = stride_of(layer)
    if max(strides) == 1:
        return ""
    if len(set(strides)) == 1:
        return f", every {ordinal(strides[0])} pixel"
    return f", in steps of {times_text(strides)} pixels"


def _transposed(layer: Layer) -> str:
    channels, made = _channels(layer)
    return (
        f"spreads each value over a {_window(kernel_of(layer))}, "
        f"{channels} → {made} channels; {sides(layer.layout_in, layer.layout) or 'a larger map'}"
    )


def _pool(word: str) -> Describe:
    def describe(layer: Layer) -> str:
        return f"keeps the {word} of each {_window(kernel_of(layer))}{_gaps(layer)}{_steps(layer)}"

    return describe


def _adaptive(word: str) -> Describe:
    def describe(layer: Layer) -> str:
        places = layer.output[2:]
        if max(places, default=1) == 1:
            return f"keeps the {word} of each channel over the whole map"
        return f"keeps the {word} of each part on a {times_text(places)} grid"

    return describe


def _linear(layer: Layer) -> str:
    entering, leaving = layer.inputs[0][-1], layer.output[-1]
    before = layer.layout_in
    if before is not None and before.mixes_places(-1):
        return f"mixes the {before.axes[-1]} of each channel, {entering} → {leaving}{_bias(layer)}"
    if before is not None and before.axes[-2:] == ("rows", "columns"):
        return f"weighs the {entering} values of each row, {leaving} times{_bias(layer)}"
    if len(layer.inputs[0]) > 2:
        where = "place" if layer.layout is not None and layer.layout.rows else "vector"
        return f"weighs the {entering} values of each {where}, {leaving} times{_bias(layer)}"
    return f"weighs all {entering} values, {leaving} times{_bias(layer)}"


def _bilinear(layer: Layer) -> str:
    first, second = (shape[-1] for shape in layer.inputs[:2])
    return f"weighs all products of {first} values with {second} others, {layer.output[-1]} times{_bias(layer)}"


def _bias(layer: Layer) -> str:
    return " + bias" if layer.settings.get("bias") else ""


def _window(kernel: tuple[int, ...]) -> str:
    return f"window of {times_text(kernel)}" if len(kernel) == 1 else f"{times_text(kernel)} window"


def norm(what: str) -> Describe:
    """Return the describer of a normalisation of ``what``."""

    def describe(layer: Layer) -> str:
        it = "them" if what.startswith(("the ", "all ")) else "it"
        after = f", then scales and shifts {it}" if layer.settings.get("bias", True) else f", then scales {it}"
        if not layer.parameters and layer.kind == "module":
            after = ""
        return f"brings {what} to mean 0 and standard deviation 1{after}"

    return describe


def _layer_norm(layer: Layer) -> str:
    axes = layer.layout.axes if layer.layout is not None else ()
    where = "channels of each place" if axes and axes[-1] == "channels" and len(axes) > 2 else "values of each vector"
    return norm(f"the {where}")(layer)


def _group_norm(layer: Layer) -> str:
    groups = layer.settings.get("num_groups")
    if groups == 1:
        return norm("all values of an image together")(layer)
    return norm(f"each of {groups} groups of channels" if groups else "each group of channels")(layer)


def attention_text(queries: int, keys: int, heads: int | None, windows: int, apart: int = 1) -> str:
    """Return what attention does, in words: over how many places, how many heads, in how many windows or grids of places
    that lie ``apart``.
    """
    among = f"among the {keys} places" if queries == keys else f"of {queries} places to {keys}"
    where = f" of each of {windows} {'grids' if apart > 1 else 'windows'}" if windows > 1 else ""
    where += f" ({apart} places apart)" if windows > 1 and apart > 1 else ""
    told = f", {heads} heads" if heads and heads > 1 else ""
    return f"attention {among}{where}{told}"


def _attention(layer: Layer) -> str:
    query = list(layer.inputs[0])
    key = list(layer.inputs[1]) if len(layer.inputs) > 1 else query
    if layer.kind == "operation" and len(query) >= 4:
        windows, apart = (layer.layout.windows, layer.layout.apart) if layer.layout is not None else (1, 1)
        return attention_text(query[-2], key[-2], query[-3], windows, apart)
    return attention_text(query[-2], key[-2], layer.settings.get("num_heads"), 1)


def _multi_head(layer: Layer) -> str:
    axis = 1 if layer.settings.get("batch_first", False) or len(layer.inputs[0]) < 3 else 0
    places = [shape[axis if len(shape) == 3 else 0] for shape in layer.inputs[:2]]
    return attention_text(places[0], places[-1], layer.settings.get("num_heads"), 1)


PHRASES: dict[str, Describe] = {
    **dict.fromkeys(("Conv1d", "Conv2d", "Conv3d", "conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(
        (
            "ConvTranspose1d",
            "ConvTranspose2d",
            "ConvTranspose3d",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
        ),
        _transposed,
    ),
    **dict.fromkeys(
        ("MaxPool1d", "MaxPool2d", "MaxPool3d", "max_pool1d", "max_pool2d", "max_pool3d"), _pool("maximum")
    ),
    **dict.fromkeys(("LPPool1d", "LPPool2d", "lp_pool1d", "lp_pool2d"), _pool("length of the values")),
    **dict.fromkeys(("AvgPool1d", "AvgPool2d", "AvgPool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool("mean")),
    **dict.fromkeys(
        (
            "AdaptiveAvgPool1d",
            "AdaptiveAvgPool2d",
            "AdaptiveAvgPool3d",
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
        ),
        _adaptive("mean"),
    ),
    **dict.fromkeys(
        ("AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "adaptive_max_pool2d", "adaptive_max_pool1d"),
        _adaptive("maximum"),
    ),
    **dict.fromkeys(("Linear", "linear", "NonDynamicallyQuantizableLinear"), _linear),
    "Bilinear": _bilinear,
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "batch_norm"), norm("each channel")),
    **dict.fromkeys(
        ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "instance_norm"), norm("each channel of each image")
    ),
    **dict.fromkeys(("LayerNorm", "layer_norm"), _layer_norm),
    **dict.fromkeys(("GroupNorm", "group_norm"), _group_norm),
    "attention": _attention,
    "MultiheadAttention": _multi_head,
}

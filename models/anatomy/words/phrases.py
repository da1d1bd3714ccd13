"""What a single row does, in one phrase with its own numbers: layers of torch.nn, calls of PyTorch, the catalogue's classes.

A phrase says what happens to the image, not which function is called. Layers derived from one of torch.nn have its
phrase. What is known of no class is told by ideas.py from what is inside, or by the change of shape.
"""

from __future__ import annotations

from collections.abc import Callable

from ..axes.layout import Layout
from ..rows.layer import Layer

Describe = Callable[[Layer], str]


def times_text(numbers: tuple[int, ...] | list[int]) -> str:
    """Return sizes as they are written: 64×49×96."""
    return "×".join(map(str, numbers))


def ordinal(number: int) -> str:
    """Return a number as an ordinal: second, third, 4th."""
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _pair(value: object, count: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * count
    values = tuple(value) if isinstance(value, tuple | list) else (1,)
    return values * count if len(values) == 1 else values


def kernel_of(layer: Layer) -> tuple[int, ...]:
    """Return the kernel of a convolution or pooling, one number for each axis of its map."""
    count = max(1, len(layer.output) - 2)
    return _pair(layer.settings.get("kernel_size", 1), count)


def stride_of(layer: Layer) -> tuple[int, ...]:
    """Return the stride, one number for each axis of the map."""
    return _pair(layer.settings.get("stride") or layer.settings.get("kernel_size", 1), max(1, len(layer.output) - 2))


def _steps(layer: Layer) -> str:
    strides = stride_of(layer)
    if max(strides) == 1:
        return ""
    if len(set(strides)) == 1:
        return f", every {ordinal(strides[0])} pixel"
    return f", in steps of {times_text(strides)} pixels"


def _bias(layer: Layer) -> str:
    return " + bias" if layer.settings.get("bias") else ""


def _convolution(layer: Layer) -> str:
    groups, channels, made = layer.settings.get("groups", 1), layer.inputs[0][1], layer.output[1]
    kernel = kernel_of(layer)
    if max(kernel) == 1:
        if groups == 1:
            mixed = "channels of each pixel"
            if layer.layout_in is not None and layer.layout_in.axes[1] in ("tokens", "rows", "columns"):
                mixed = "places of each channel"
            return f"mixes the {mixed}, {channels} → {made}{_steps(layer)}"
        return f"mixes channels within {groups} groups, {channels} → {made}{_steps(layer)}"
    padding = layer.settings.get("padding", 0)
    padded = padding == "same" or (not isinstance(padding, str) and max(_pair(padding, 1)) > 0)
    if kernel == stride_of(layer) and groups == 1 and len(kernel) > 1 and not padded:
        return f"turns each {times_text(kernel)} patch into one place, {channels} → {made} channels"
    kind = "looks through"
    if groups > 1:
        alone = groups == channels
        kind = "looks at each channel alone through" if alone else f"looks in {groups} groups through"
    text = f"{kind} a {times_text(kernel)} window"
    dilation = max(_pair(layer.settings.get("dilation", 1), 1))
    text += f" with gaps (dilation {dilation})" if dilation > 1 else ""
    text += f", {channels} → {made} channels" if channels != made else ""
    return text + _steps(layer)


def _transposed(layer: Layer) -> str:
    return (
        f"spreads each value over a {times_text(kernel_of(layer))} window, "
        f"{layer.inputs[0][1]} → {layer.output[1]} channels; {_sides(layer.layout_in, layer.layout) or 'a larger map'}"
    )


def _sides(before: Layout | None, after: Layout | None) -> str:
    if before is None or after is None or before.rows is None or after.rows is None:
        return ""
    return f"{before.rows}×{before.columns} → {after.rows}×{after.columns}"


def _pool(word: str) -> Describe:
    def describe(layer: Layer) -> str:
        return f"keeps the {word} of each {times_text(kernel_of(layer))} window{_steps(layer)}"

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
    axes = layer.layout_in.axes if layer.layout_in is not None else ()
    if axes and axes[-1] in ("tokens", "rows", "columns", "frames"):
        return f"mixes the {axes[-1]} of each channel, {entering} → {leaving}{_bias(layer)}"
    if len(layer.inputs[0]) > 2:
        where = "place" if layer.layout is not None and layer.layout.rows else "vector"
        return f"weighs the {entering} values of each {where}, {leaving} times{_bias(layer)}"
    return f"weighs all {entering} values, {leaving} times{_bias(layer)}"


def _norm(what: str) -> Describe:
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
    return _norm(f"the {where}")(layer)


def _group_norm(layer: Layer) -> str:
    groups = layer.settings.get("num_groups")
    if groups == 1:
        return _norm("all values of an image together")(layer)
    return _norm(f"each of {groups} groups of channels" if groups else "each group of channels")(layer)


def _mean(layer: Layer) -> str:
    """Say over what an average or a sum runs, by the axes that are gone."""
    words = {
        "mean": "averages",
        "sum": "adds up",
        "amax": "keeps the maximum of",
        "max": "keeps the maximum of",
        "amin": "keeps the minimum of",
        "min": "keeps the minimum of",
        "norm": "takes the length of",
    }
    word = words.get(layer.type, layer.type)
    before, over = layer.layout_in, layer.settings.get("dim")
    if before is None or over is None or "?" in before.axes:
        return f"{word} {times_text(layer.inputs[0][1:])} values, {times_text(layer.output[1:]) or '1'} left"
    places = over if isinstance(over, tuple | list) else (over,)
    gone = [before.axes[place] for place in places if -len(before.axes) <= place < len(before.axes)]
    if gone and set(gone) <= {"rows", "columns", "tokens", "frames"}:
        whole = set(gone) >= {"rows", "columns"} or "tokens" in gone
        return f"{word} each channel over {'all places' if whole else 'the ' + ' and '.join(gone)}"
    if gone == ["channels"]:
        return f"{word} the channels of each place"
    return f"{word} the {' and '.join(gone) or 'values'}"


def _by(layer: Layer) -> str | None:
    number = layer.settings.get("by")
    return None if number is None else f"{number:.4g}"


def _sum(layer: Layer) -> str:
    if (number := _by(layer)) is not None:
        return f"adds {number}"
    if "learned" in layer.settings:
        return "adds a learned table"
    return "adds a tensor to itself" if len(layer.inputs) < 2 else "adds two branches"


def _difference(layer: Layer) -> str:
    if (number := _by(layer)) is not None:
        return f"takes the difference with {number}"
    return "subtracts a learned table" if "learned" in layer.settings else "subtracts one branch from the other"


def _product(layer: Layer) -> str:
    if (number := _by(layer)) is not None:
        return f"multiplies every value by {number}"
    if "learned" in layer.settings:
        return "multiplies by a learned scale"
    if len(layer.inputs) > 1 and layer.inputs[0] != layer.inputs[1]:
        smaller = min(layer.inputs, key=lambda shape: shape_size(shape))
        return f"multiplies by {times_text(smaller[1:] or smaller)} factors"
    return "multiplies two branches, value by value"


def shape_size(shape: tuple[int, ...]) -> int:
    """Return the number of values of a shape."""
    size = 1
    for side in shape:
        size *= side
    return size


def _quotient(layer: Layer) -> str:
    number = _by(layer)
    return f"divides by {number}" if number is not None else "divides value by value"


def _concat(layer: Layer) -> str:
    axis = layer.settings.get("dim", 0)
    axes = layer.layout.axes if layer.layout is not None else ()
    what = axes[axis] if axes and -len(axes) <= axis < len(axes) and axes[axis] in ("channels", "tokens") else ""
    if not isinstance(axis, int) or not layer.inputs or axis >= len(layer.inputs[0]):
        return f"lays {len(layer.inputs)} tensors side by side"
    sizes = " + ".join(str(shape[axis]) for shape in layer.inputs) if len(layer.inputs) <= 4 else ""
    if "learned" in layer.settings and what == "tokens":
        return f"puts learned tokens beside the others, {sizes} tokens"
    told = f", {sizes} {what}" if what and sizes else ""
    return f"lays {len(layer.inputs)} tensors side by side{told}"


def _matmul(layer: Layer) -> str:
    if layer.layout is not None and "keys" in layer.layout.axes:
        return f"compares {layer.output[-2]} places with {layer.output[-1]}: queries · keys"
    if "learned" in layer.settings:
        return f"weighs values by a learned matrix, {layer.output[-1]} results"
    return f"multiplies two matrices, {times_text(layer.output[-2:])} results"


def _softmax(layer: Layer) -> str:
    return (
        f"turns each {layer.output[-1]} scores into shares that sum to 1"
        if (layer.settings.get("dim") in (-1, len(layer.output) - 1, None))
        else "turns scores into shares that sum to 1"
    )


def attention_text(queries: int, keys: int, heads: int | None, windows: int) -> str:
    """Return what attention does, in words: over how many places, how many heads, in how many windows."""
    among = f"among the {keys} places" if queries == keys else f"of {queries} places to {keys}"
    where = f" of each of {windows} windows" if windows > 1 else ""
    told = f", {heads} heads" if heads and heads > 1 else ""
    return f"attention {among}{where}{told}"


def _attention(layer: Layer) -> str:
    query = list(layer.inputs[0])
    key = list(layer.inputs[1]) if len(layer.inputs) > 1 else query
    if layer.kind == "operation" and len(query) >= 4:
        windows = layer.layout.windows if layer.layout is not None else 1
        return attention_text(query[-2], key[-2], query[-3], windows)
    return attention_text(query[-2], key[-2], layer.settings.get("num_heads"), 1)


def _multi_head(layer: Layer) -> str:
    axis = 1 if layer.settings.get("batch_first", False) or len(layer.inputs[0]) < 3 else 0
    places = [shape[axis if len(shape) == 3 else 0] for shape in layer.inputs[:2]]
    return attention_text(places[0], places[-1], layer.settings.get("num_heads"), 1)


def _reorder(layer: Layer) -> str:
    if layer.settings.get("shuffles"):
        return f"shuffles the {layer.output[1] if len(layer.output) == 4 else layer.output[-1]} channels"
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or "?" in (*before.axes, *after.axes):
        return f"reads {times_text(layer.inputs[0])} as {times_text(layer.output)}"
    if before.axes.count("channels") < after.axes.count("channels"):
        return f"divides the channels: {_axes_text(layer.output, after)}"
    if before.axes.count("channels") > after.axes.count("channels") and after.channels == before.channels:
        return f"joins the parts of the channels to {after.channels}"
    if (before.channels or 1) < (after.channels or 1) and (before.rows or 0) > (after.rows or 0):
        return f"reads neighbours as one place: {_sides(before, after)}, {before.channels} → {after.channels} channels"
    is_map, becomes_map = ({"rows", "columns"} <= set(layout.axes) for layout in (before, after))
    if after.windows > 1 and before.windows == 1 and is_map:
        inside = after.rows * after.columns // after.windows if after.rows and after.columns else 0
        return f"cuts the map into {after.windows} windows" + (f" of {inside} places" if inside else "")
    if before.windows > 1 and becomes_map and after.windows == 1 and len(after.axes) == 4:
        return f"puts {before.windows} windows together to a map of {after.rows}×{after.columns}"
    if is_map and after.axes.count("tokens") == 1 and "tokens" not in before.axes and not becomes_map:
        return f"reads the {before.rows}×{before.columns} map as {(before.rows or 1) * (before.columns or 1)} tokens"
    if "values" in after.axes and "values" not in before.axes and len(after.axes) == 2:
        return "lays all values out in one row"
    if "tokens" in before.axes and becomes_map:
        return f"reads the tokens as a map of {after.rows}×{after.columns}"
    if sorted(before.axes) == sorted(after.axes) and before.axes != after.axes:
        return f"reorders axes: {', '.join(word for word in after.axes if word != 'batch')}"
    return f"reads {times_text(layer.inputs[0])} as {times_text(layer.output)}"


def _axes_text(shape: tuple[int, ...], layout: Layout) -> str:
    return "×".join(
        f"{size} {word}" for size, word in zip(shape, layout.axes, strict=False) if word not in ("batch", "one")
    )


def _split(layer: Layer) -> str:
    parts = layer.outputs or (layer.output,)
    return (
        f"divides it into {len(parts)} parts of {times_text(parts[0][1:])}"
        if len(set(parts)) == 1
        else ("divides it into parts of " + " and ".join(times_text(part[1:]) for part in parts[:4]))
    )


def _slice(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is not None and after is not None:
        if before.extra and before.axes.count("tokens") == 1 and after.axes.count("tokens") == 0:
            return "takes one token out: the first"
        if before.extra and not after.extra and after.rows:
            return f"leaves out {before.extra} learned token{'s' if before.extra > 1 else ''}"
        if before.rows and after.rows and before.channels == after.channels and before.rows != after.rows:
            return f"takes a part of the map: {_sides(before, after)}"
    return f"takes a part: {times_text(layer.inputs[0][1:])} → {times_text(layer.output[1:])}"


def _roll(layer: Layer) -> str:
    shifts = layer.settings.get("shifts")
    told = times_text([abs(by) for by in _pair(shifts, 1)]) if shifts is not None else ""
    return f"rolls the map by {told} places; what leaves at one edge comes in at the other"


def _pad(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is not None and after is not None and before.channels != after.channels:
        return f"adds channels of zeros, {before.channels} → {after.channels}"
    what = {"reflect": "mirrored values", "replicate": "the border's values", "circular": "the other side's values"}
    told = _sides(before, after)
    return f"pads with {what.get(layer.settings.get('mode', ''), 'zeros')}" + (f", {told}" if told else "")


def _up(layer: Layer) -> str:
    told = _sides(layer.layout_in, layer.layout)
    return f"resamples the map{', ' + told if told else ''}"


def _flatten(layer: Layer) -> str:
    return "lays all values out in one row" if len(layer.output) == 2 else _reorder(layer)


def _pattern(layer: Layer) -> str:
    if layer.settings.get("shuffles"):
        return _reorder(layer)
    told = _reorder(layer)
    pattern = layer.settings.get("pattern")
    return (
        told
        if pattern is None or not told.startswith("reads ") or " map " in told or " tokens " in told
        else (f"reorders axes: {pattern}")
    )


SIMPLE = {
    "relu": "sets negative values to zero",
    "relu6": "cuts values to the range 0 to 6",
    "leaky_relu": "shrinks negative values",
    "elu": "bends negative values towards -1",
    "selu": "bends negative values, and scales all",
    "gelu": "lets large values through, bends small ones towards zero",
    "silu": "multiplies each value by its own sigmoid",
    "mish": "multiplies each value by a smooth gate of its own",
    "hardswish": "multiplies each value by a ramp, a cheap SiLU",
    "hardsigmoid": "squeezes values into 0 to 1 by a ramp",
    "hardtanh": "cuts values to a range",
    "clamp": "cuts values to a range",
    "sigmoid": "squeezes values into 0 to 1",
    "tanh": "squeezes values into -1 to 1",
    "softplus": "makes values positive, smoothly",
    "log_softmax": "turns scores into logarithms of shares",
    "dropout": "in training zeroes values at random; now lets all through",
    "dropout2d": "in training zeroes channels at random; now lets all through",
    "exp": "takes e to the power of each value",
    "sqrt": "takes the root of each value",
    "rsqrt": "takes one over the root of each value",
    "power": "raises each value to a power",
    "abs": "drops the signs",
    "neg": "turns the signs",
    "maximum": "keeps the larger of two values",
    "minimum": "keeps the smaller of two values",
    "masked_fill": "hides what a mask covers",
    "where": "chooses between two values by a mask",
    "normalize": "scales each vector to length 1",
    "cumsum": "adds up along an axis",
    "argmax": "finds the place of the largest value",
    "stack": "stacks tensors along a new axis",
    "repeat": "repeats the values",
    "expand": "repeats the values",
    "repeat_interleave": "repeats each value",
    "index_select": "collects values by a fixed list of places",
    "gather": "collects values by an index",
    "assign": "writes values into a part of a tensor",
    "pixel_shuffle": "reads channels as neighbouring pixels, a larger map",
    "pixel_unshuffle": "reads neighbouring pixels as channels, a smaller map",
    "unfold": "lays the window around each place out as channels",
    "grid_sample": "samples the map at computed places",
    "one_hot": "turns a class into a vector with a single 1",
    "lstm": "reads the sequence step by step and keeps a memory",
}


def _simple(word: str) -> Describe:
    return lambda layer: SIMPLE[word]


LAYERS: dict[str, Describe] = {
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
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "batch_norm"), _norm("each channel")
    ),
    **dict.fromkeys(
        ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "instance_norm"), _norm("each channel of each image")
    ),
    **dict.fromkeys(("LayerNorm", "layer_norm"), _layer_norm),
    **dict.fromkeys(("GroupNorm", "group_norm"), _group_norm),
    **dict.fromkeys(("RMSNorm", "rms_norm"), lambda layer: "scales each vector to root mean square 1"),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "norm"), _mean),
    **dict.fromkeys(("Softmax", "softmax"), _softmax),
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("reshape", "permute", "Unflatten"), _reorder),
    "rearrange": _pattern,
    "+": _sum,
    "−": _difference,
    "×": _product,
    "÷": _quotient,
    "concat": _concat,
    "matmul": _matmul,
    "einsum": lambda layer: f"multiplies and adds up by the rule {layer.settings.get('equation', '')}".rstrip(),
    "attention": _attention,
    "MultiheadAttention": _multi_head,
    "split": _split,
    "slice": _slice,
    "roll": _roll,
    **dict.fromkeys(("pad", "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "ConstantPad2d"), _pad),
    **dict.fromkeys(("interpolate", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"), _up),
    "Identity": lambda layer: "hands the values on unchanged",
    **dict.fromkeys(("LSTM", "GRU", "RNN"), lambda layer: SIMPLE["lstm"]),
    "LocalResponseNorm": lambda layer: "damps a value by the strength of its neighbour channels",
    "PReLU": lambda layer: "shrinks negative values by a learned factor",
    "prelu": lambda layer: "shrinks negative values by a learned factor",
    "PixelShuffle": lambda layer: SIMPLE["pixel_shuffle"],
    "PixelUnshuffle": lambda layer: SIMPLE["pixel_unshuffle"],
    "Dropout1d": lambda layer: SIMPLE["dropout2d"],
    "LeakyReLU": lambda layer: SIMPLE["leaky_relu"],
    "LogSoftmax": lambda layer: SIMPLE["log_softmax"],
    **{
        name: _simple(name.lower())
        for name in (
            "ReLU",
            "ReLU6",
            "ELU",
            "SELU",
            "GELU",
            "SiLU",
            "Mish",
            "Hardswish",
            "Hardsigmoid",
            "Hardtanh",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Dropout",
            "Dropout2d",
        )
    },
    **{word: _simple(word) for word in SIMPLE},
}
"""By the name of a layer of torch.nn, or of a call."""


def _shuffle(layer: Layer) -> str:
    return f"shuffles the {layer.output[1]} channels, so that the groups meet"


LIBRARY: dict[str, Describe] = {
    "DropPath": lambda layer: "in training leaves the branch out at random; now lets it through",
    "StochasticDepth": lambda layer: "in training leaves the branch out at random; now lets it through",
    "LayerNorm2d": lambda layer: _norm("the channels of each pixel")(layer),
    "GlobalAveragePool": lambda layer: "averages each channel over the whole map",
    "MapAverage": lambda layer: "averages each channel over the whole map",
    "TokenAverage": lambda layer: "averages each channel over all tokens",
    "Affine": lambda layer: "scales and shifts each channel by learned numbers",
    "LayerScale": lambda layer: "multiplies each channel by a learned factor, small at first",
    "ChannelShuffle": _shuffle,
    "LocalResponseNorm": lambda layer: "damps a value by the strength of its neighbour channels",
    "BatchNorm2d": lambda layer: _norm("each channel")(layer),
    "FrozenBatchNorm2d": lambda layer: "scales and shifts each channel by fixed numbers",
    "ScaledTanh": lambda layer: "squeezes values into -1.7159 to 1.7159",
    "Lengths": lambda layer: f"takes the length of each of {layer.output[-1]} capsules as its score",
    "Permute": _reorder,
    "Rearrange": _pattern,
    "GlobalResponseNorm": lambda layer: "lets the channels compete by their strength over the whole map",
    "PadTo": _pad,
    "PadShortcut": lambda layer: (
        f"takes every second pixel and adds channels of zeros, {layer.inputs[0][1]} → {layer.output[1]}"
        if layer.inputs[0] != layer.output
        else "hands the values on unchanged"
    ),
    "Steps": lambda layer: (
        f"cuts the image into a sequence of {layer.output[1]} parts of {times_text(layer.output[2:])}"
    ),
    "ClassToken": lambda layer: f"puts a learned class token in front, {layer.inputs[0][1]} → {layer.output[1]} tokens",
    "Tokens": lambda layer: (
        f"brings in {layer.output[1]} learned tokens of {layer.output[2]} values, the same for every image"
    ),
}
"""By the name of a class of the catalogue, torchvision or timm that does one thing."""

FROM_LIBRARIES = ("torchvision.", "timm.", "einops.")


def in_catalogue(layer: Layer) -> bool:
    """Return whether a row's class is one of the catalogue's own files."""
    return bool(layer.origin) and "." not in layer.origin


def of_one_row(layer: Layer) -> str | None:
    """Return the phrase of a row that has one of its own, None where what is inside has to tell."""
    if not layer.output or not (layer.inputs or layer.kind == "operation"):
        return None
    if layer.kind == "operation":
        return LAYERS[layer.type](layer) if layer.type in LAYERS else None
    if layer.type in LIBRARY and (in_catalogue(layer) or layer.origin.startswith(FROM_LIBRARIES)):
        return LIBRARY[layer.type](layer)
    if layer.base in LAYERS and not layer.children:
        return LAYERS[layer.base](layer)
    return None

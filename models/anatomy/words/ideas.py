"""What a block does, named for its meaning: attention in windows, token mixing, squeeze-and-excitation, routing.

Blocks of the catalogue are known by their class. Blocks of other networks are recognised by what is inside and by who
reads whom: an average over the map, small layers, a sigmoid and a product with the input are squeeze-and-excitation. What
is not recognised is told by its parts, or by the change of shape: neutral words that are true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..rows.layer import Layer
from .phrases import in_catalogue, of_one_row
from .phrases_of_layers import attention_text
from .quantities import kernel_of, shape_size, times_text

MOST_IDEAS, MOST_PARTS = 3, 6


@dataclass(frozen=True)
class Idea:
    """What a block does: ``short`` for the block around it, ``words`` with all numbers for itself."""

    short: str
    words: str


def idea_of(layer: Layer) -> Idea | None:
    """Return the idea of one block, None where nothing is recognised on this level."""
    if layer.kind == "operation":
        return _of_operation(layer)
    if not layer.executed or not layer.output:
        return None
    if in_catalogue(layer):
        known = CATALOGUE.get((layer.origin, layer.type)) or CATALOGUE.get(("", layer.type))
        if known is not None:
            return known(layer)
    if layer.base == "MultiheadAttention":
        words = of_one_row(layer) or "attention"
        return Idea("attention", words)
    if layer.base == "Linear" and not layer.children:
        return _token_mixing(layer)
    if not layer.children:
        return None
    return _attention(layer) or _squeeze(layer) or _shuffle(layer) or _perceptron(layer)


def _of_operation(layer: Layer) -> Idea | None:
    if layer.type == "attention":
        return Idea("attention", of_one_row(layer) or "attention")
    if layer.type == "linear":
        return _token_mixing(layer)
    if layer.settings.get("shuffles"):
        return Idea("channel shuffle", of_one_row(layer) or "shuffles the channels")
    return None


def ideas_in(layer: Layer) -> list[str]:
    """Return the short names of the ideas in a block, each once, in the order in which they run."""
    own = idea_of(layer)
    if own is not None:
        return [own.short] if own.short else []
    found: list[str] = []
    for child in layer.children:
        if child.executed:
            found += [short for short in ideas_in(child) if short not in found]
    return found


# Recognised by what is inside


def _token_mixing(layer: Layer) -> Idea | None:
    axes = layer.layout_in.axes if layer.layout_in is not None else ()
    if axes and axes[-1] in ("tokens", "rows", "columns"):
        return Idea("token mixing", of_one_row(layer) or "mixes the tokens of each channel")
    return None


def _maker(rows: dict[int, Layer], row: Layer | None, number: int = 0) -> Layer | None:
    """Return the row that made an input, None where it came from outside or from weights."""
    if row is None or number >= len(row.reads):
        return None
    source = row.reads[number]
    return None if source is None else rows.get(source)


PASSES = frozenset(
    [
        "+",
        "−",
        "×",
        "÷",
        "softmax",
        "Softmax",
        "dropout",
        "Dropout",
        "reshape",
        "permute",
        "rearrange",
        "masked_fill",
        "where",
        "slice",
        "Identity",
        "split",
        "clamp",
        "pad",
    ]
)


def _traced_back(rows: dict[int, Layer], row: Layer | None, wanted: frozenset[str]) -> Layer | None:
    """Return the nearest row of a wanted kind from which a row comes through steps that keep its values apart."""
    for _ in range(12):
        if row is None or row.type in wanted or row.base in wanted:
            return row
        if row.type not in PASSES and row.base not in PASSES:
            return None
        makers = [_maker(rows, row, number) for number in range(len(row.reads))]
        row = next((maker for maker in makers if maker is not None), None)
    return None


PRODUCTS = frozenset(("matmul", "einsum"))
SOFTMAX = frozenset(("softmax", "Softmax"))


def _attention(layer: Layer) -> Idea | None:
    """Recognise softmax(q · kᵀ) · v."""
    rows = {row.id: row for row in layer.children if row.executed}
    for row in rows.values():
        if row.type == "attention":
            return Idea("attention", of_one_row(row) or "attention")
        if row.type not in PRODUCTS:
            continue
        for number in range(len(row.reads)):
            shares = _traced_back(rows, _maker(rows, row, number), SOFTMAX | PRODUCTS)
            if shares is None or shares.type in PRODUCTS:
                continue
            scores = _traced_back(rows, _maker(rows, shares), PRODUCTS)
            if scores is not None and scores.type in PRODUCTS and len(shares.output) >= 3:
                return _attention_idea(shares, next((row for row in rows.values() if row.type == "roll"), None))
    return None


def _attention_idea(shares: Layer, roll: Layer | None = None) -> Idea:
    *before, queries, keys = shares.output
    heads = before[-1] if len(before) > 1 else None
    layout = shares.layout
    windows = layout.windows if layout is not None else 1
    if layout is not None and "channels" in layout.axes[-2:]:
        words = f"attention among the {keys} channels" + (f", {heads} heads" if heads and heads > 1 else "")
        return Idea("attention among channels", words)
    words = attention_text(queries, keys, heads, windows)
    if windows > 1 and roll is not None and roll.settings.get("shifts"):
        by = times_text([abs(number) for number in roll.settings["shifts"]])
        return Idea("attention in shifted windows", f"{words}; the windows are shifted by {by} places")
    return Idea("attention in windows" if windows > 1 else "attention", words)


MEANS = frozenset(
    (
        "mean",
        "adaptive_avg_pool2d",
        "AdaptiveAvgPool2d",
        "GlobalAveragePool",
        "avg_pool2d",
        "adaptive_avg_pool1d",
        "SelectAdaptivePool2d",
        "FastAdaptiveAvgPool2d",
        "AdaptiveAvgPool1d",
        "AdaptiveAvgPool3d",
    )
)
GATES = frozenset(("sigmoid", "Sigmoid", "hardsigmoid", "Hardsigmoid", "HardSigmoid", "SigmoidGate"))


def _squeeze(layer: Layer) -> Idea | None:
    """Recognise an average over the map, small layers, a sigmoid, and a product with the input."""
    rows = {row.id: row for row in layer.children if row.executed}
    means = {
        row.id
        for row in rows.values()
        if (row.type in MEANS or row.base in MEANS)
        and row.layout_in is not None
        and (row.layout_in.rows or 0) > 1
        and shape_size(row.output) == row.output[0] * (row.layout_in.channels or 0)
    }
    for product in rows.values():
        if product.type != "×" or not means or len(product.reads) < 2:
            continue
        for number in range(2):
            gate, found = _maker(rows, product, number), False
            layers: list[Layer] = []
            for _ in range(16):
                if gate is None or gate.id in means:
                    break
                found = found or gate.type in GATES or gate.base in GATES
                layers.append(gate)
                gate = _maker(rows, gate)
            if found and gate is not None and gate.id in means:
                widths = [
                    row.layout.channels
                    for row in reversed(layers)
                    if row.parameters and row.layout is not None and row.layout.channels
                ]
                return _squeeze_idea(gate.layout_in.channels if gate.layout_in else None, [n for n in widths if n])
    return None


def _squeeze_idea(channels: int | None, widths: list[int]) -> Idea:
    told = " → ".join(str(width) for width in [channels, *widths] if width)
    words = "squeeze-and-excitation: averages each channel over the map, and multiplies it by a gate between 0 and 1"
    return Idea("squeeze-and-excitation", words + (f" ({told})" if widths else ""))


ACTIVATIONS = frozenset(
    [
        "ReLU",
        "ReLU6",
        "GELU",
        "SiLU",
        "Hardswish",
        "Tanh",
        "Sigmoid",
        "LeakyReLU",
        "ELU",
        "Mish",
        "relu",
        "gelu",
        "silu",
    ]
)


def _perceptron(layer: Layer) -> Idea | None:
    """Recognise linear layers one after the other with an activation in between, and nothing that mixes besides."""
    rows = [row for row in layer.children if row.executed]
    kinds = [row.base or row.type for row in rows]
    linear = [kind for kind in kinds if kind == "Linear"]
    if len(linear) != 2 or any(row.children for row in rows) or len(layer.inputs) != 1 or len(layer.inputs[0]) < 3:
        return None
    rest = {kind for kind in kinds if kind not in ("Linear", "Dropout", "Identity", "dropout", "LayerNorm")}
    return _mlp(layer) if rest and rest <= ACTIVATIONS else None


def _shuffle(layer: Layer) -> Idea | None:
    executed = [row for row in layer.children if row.executed]
    if executed and all(row.type in ("rearrange", "reshape", "permute") for row in executed):
        shuffled = next((row for row in executed if row.settings.get("shuffles")), None)
        return None if shuffled is None else _of_operation(shuffled)
    return None


# The catalogue, by class


def _first(layer: Layer, *types: str) -> Layer | None:
    """Return the first row of one of the types, anywhere below."""
    return next((row for _, row in layer.walk() if row.type in types and row is not layer), None)


def _window_attention(layer: Layer) -> Idea:
    softmax, roll = _first(layer, "softmax"), _first(layer, "roll")
    if softmax is None:
        return Idea("attention in windows", "attention in windows")
    return _attention_idea(softmax, roll)


def _neighbourhood(layer: Layer) -> Idea:
    softmax = _first(layer, "softmax")
    if softmax is None:
        return Idea("neighbourhood attention", "attention of each place to its neighbours")
    _, heads, places, _, keys = softmax.output
    side = round(keys**0.5)
    step = layer.settings.get("dilation", 1)
    gaps = f", {step} places apart" if step > 1 else ""
    words = f"attention of each of {places} places to its {side}×{side} neighbours{gaps}"
    words += f", {heads} heads" if heads > 1 else ""
    return Idea("neighbourhood attention", words)


def _dot_product(layer: Layer) -> Idea:
    row = _first(layer, "attention", "softmax")
    if row is None:
        return Idea("attention", "attention among all places")
    if row.type == "softmax":
        return _attention_idea(row)
    return Idea("attention", of_one_row(row) or "attention")


def _separable(layer: Layer) -> Idea:
    softmax = _first(layer, "softmax")
    count = f"{softmax.output[-1]} " if softmax is not None else ""
    words = f"separable attention: the {count}tokens make one context vector, by which every token is multiplied"
    return Idea("separable attention", words)


def _spatial_gate(layer: Layer) -> Idea:
    places = layer.inputs[0][1]
    words = f"spatial gating: one half of the channels, mixed over the {places} places, multiplies the other half"
    return Idea("spatial gating", words)


def _routing(layer: Layer) -> Idea:
    sums = [row for _, row in layer.walk() if row.type == "einsum" and row.output == layer.output]
    into, rounds = layer.output[1], max(len(sums), 1)
    words = f"routing by agreement: {layer.inputs[0][1]} capsules vote for {into}, {rounds} rounds"
    return Idea("routing by agreement", words)


def _primary(layer: Layer) -> Idea:
    words = f"a convolution whose channels are read as {layer.output[1]} capsules of {layer.output[2]} values, each squashed"
    return Idea("capsules", words + " to a length below 1")


def _patches(layer: Layer) -> Idea:
    conv = _first(layer, "Conv2d")
    kernel = conv.settings["kernel_size"] if conv is not None else ()
    places = layer.layout
    made = f"{places.rows}×{places.columns} places" if places is not None and places.rows else "places"
    channels = places.channels if places is not None else layer.output[-1]
    return Idea("", f"patch embedding: each {times_text(kernel)} patch becomes a vector; {made}, {channels} channels")


def _merging(layer: Layer) -> Idea:
    return Idea("patch merging", "patch merging: neighbours become one place; " + change(layer))


def _class_token(layer: Layer) -> Idea:
    before, after = layer.inputs[0][1], layer.output[1]
    return Idea("", f"puts a learned class token in front, {before} → {after} tokens, and adds learned positions")


def _cycle(layer: Layer) -> Idea:
    return Idea(
        "mixing of neighbours", "mixes neighbours along rows, along columns and on the spot; the image decides how much"
    )


def _staircase(layer: Layer) -> Idea:
    return Idea(
        "mixing of neighbours",
        f"mixes channels, each read from another neighbour along one axis, in a staircase: "
        f"{layer.inputs[0][-1]} → {layer.output[-1]}",
    )


def _catalogue_squeeze(layer: Layer) -> Idea:
    widths = [row.output[1] for row in layer.children if row.base in ("Linear", "Conv2d")]
    return _squeeze_idea(layer.inputs[0][1], widths)


def _mlp(layer: Layer) -> Idea:
    axes = layer.layout_in.axes if layer.layout_in is not None else ()
    widths = [layer.inputs[0][-1]]
    widths += [row.output[-1] for row in layer.children if row.base == "Linear"]
    told = " → ".join(map(str, widths))
    if axes and axes[-1] in ("tokens", "rows", "columns"):
        return Idea("token mixing", f"token mixing: an MLP over the places of each channel, {told}")
    return Idea("MLP", f"an MLP on each place, {told}")


def _said(short: str, words: str, with_change: bool = True) -> Callable[[Layer], Idea]:
    def describe(layer: Layer) -> Idea:
        inside: list[str] = []
        for child in layer.children if with_change else ():
            inside += [name for name in ideas_in(child) if name not in (*inside, short)]
        told = f"{words}, {', '.join(inside)}" if inside else words
        names = ", ".join(filter(None, (short, *inside)))
        return Idea(names, f"{told}; {change(layer)}" if with_change else told)

    return describe


def _bridge(short: str, words: str) -> Callable[[Layer], Idea]:
    def describe(layer: Layer) -> Idea:
        row = _first(layer, "attention")
        told = of_one_row(row) if row is not None else None
        return Idea(short, f"{words}: {told}" if told else words)

    return describe


CATALOGUE: dict[tuple[str, str], Callable[[Layer], Idea]] = {
    ("swin", "WindowAttention"): _window_attention,
    ("swin_v2", "ScaledCosineAttention"): _window_attention,
    ("nat", "NeighbourhoodAttention"): _neighbourhood,
    ("vit", "SelfAttention"): _dot_product,
    ("cvt", "Attention"): _dot_product,
    ("mobilevit_v2", "SeparableSelfAttention"): _separable,
    ("gmlp", "SpatialGate"): _spatial_gate,
    ("capsnet", "ClassCapsules"): _routing,
    ("capsnet", "PrimaryCapsules"): _primary,
    ("swin", "PatchMerging"): _merging,
    ("swin_v2", "PatchMergingV2"): _merging,
    ("nat", "Downsample"): _said("", "one 3×3 convolution with stride 2"),
    ("swin", "PatchStem"): _patches,
    ("convnext", "PatchStem"): _patches,
    ("vit", "PatchEmbedding"): _patches,
    ("vit", "ClassTokenAndPositions"): _class_token,
    ("senet", "SqueezeExcite"): _catalogue_squeeze,
    ("cyclemlp", "CycleMixing"): _cycle,
    ("cyclemlp", "CycleFC"): _staircase,
    ("vit", "Mlp"): _mlp,
    ("cvt", "ConvProjection"): _said("", "a depthwise convolution over the map of tokens, then a linear layer on each"),
    ("cvt", "TokenEmbedding"): _said("", "an overlapping convolution makes new tokens"),
    ("mobile_former", "DynamicReLU"): _said("dynamic ReLU", "a ReLU whose two slopes the first token decides", False),
    ("mobile_former", "MobileToFormer"): _bridge(
        "attention from tokens to pixels", "the tokens collect from the pixels"
    ),
    ("mobile_former", "FormerToMobile"): _bridge(
        "attention from pixels to tokens", "the pixels collect from the tokens"
    ),
    ("mobile_former", "Former"): _bridge("attention among tokens", "a transformer block on the learned tokens"),
    ("mobile_former", "Merge"): _said("", "the averaged map and the first token, laid side by side"),
    ("", "ChannelShuffle"): _said("channel shuffle", "shuffles the channels, so that the groups meet", False),
    ("resnet", "Bottleneck"): _said("bottlenecks", "a bottleneck: 1×1 down, 3×3, 1×1 up, and a shortcut"),
    ("resnet", "BasicBlock"): _said("", "two 3×3 convolutions and a shortcut"),
    ("mobilenet_v1", "DepthwiseSeparable"): _said(
        "depthwise separable convolutions", "a depthwise 3×3, then a 1×1 that mixes the channels"
    ),
    ("xception", "SeparableConv"): _said(
        "depthwise separable convolutions", "a depthwise 3×3, then a 1×1 that mixes the channels"
    ),
    ("squeezenet", "Fire"): _said(
        "fire modules", "squeezes the channels by 1×1, then widens by 1×1 and 3×3 side by side"
    ),
    ("lenet", "Subsampling"): _said("", "adds up each 2×2 window, scales and shifts the sum, and squashes it"),
    ("lenet", "PartialConv"): _said("", "5×5 convolutions, each of some of the maps only"),
    ("lenet", "DistanceToCodes"): _said("", "scores each class by the distance to its fixed code", False),
    ("cnn_lstm", "PerStep"): _said("", "one network for all steps of the sequence"),
    ("cnn_lstm", "LastState"): _said("LSTM", "an LSTM reads the sequence, its last output is kept"),
    ("capsnet", "Decoder"): _said("", "draws the image from one capsule"),
}


# Change of shape


def change(layer: Layer) -> str:
    """Return how a block changes what goes through, told by the layout: sides and channels, never by sizes alone."""
    before, after = layer.layout_in, layer.layout
    old, new = (layer.inputs[0][1:] if layer.inputs else ()), layer.output[1:]
    if before is None or after is None:
        return f"keeps the shape {times_text(new)}" if old == new else f"{times_text(old)} → {times_text(new)}"
    told = [part for part in (_side_change(layer), _channel_change(layer), _token_change(layer)) if part]
    if not told or (before.rows is None) != (after.rows is None) or not after.channels:
        return f"keeps the shape {times_text(new)}" if old == new else f"{times_text(old)} → {times_text(new)}"
    if len(told) > 1 and told[0].startswith("keeps ") and told[1].startswith("keeps "):
        told[:2] = [f"{told[0]} and {told[1].removeprefix('keeps ')}"]
    return ", ".join(told)


def _side_change(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or before.rows is None or after.rows is None:
        return ""
    old, new = (before.rows, before.columns), (after.rows, after.columns)
    if old == new:
        return f"keeps {new[0]}×{new[1]} places" if None not in new else f"keeps {new[0]} rows"
    if None in (*old, *new):
        return f"rows {old[0]} → {new[0]}"
    if old[0] == old[1] and new[0] == new[1]:
        return f"side {old[0]} → {new[0]}"
    return f"{old[0]}×{old[1]} → {new[0]}×{new[1]} places"


def _channel_change(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or not before.channels or not after.channels:
        return ""
    if before.channels == after.channels:
        return f"keeps {after.channels} channels"
    return f"channels {before.channels} → {after.channels}"


def _token_change(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or before.extra == after.extra:
        return ""
    if after.extra > before.extra:
        more = after.extra - before.extra
        return f"{more} learned token{'s' if more > 1 else ''} more"
    return "learned tokens left out"


def block_phrase(layer: Layer) -> str:
    """Return the phrase of a block: its idea, or those inside it and the change of shape."""
    own = idea_of(layer)
    if own is not None:
        return own.words
    inside = ideas_in(layer)
    if not inside:
        return _parts(layer) + change(layer)
    if len(layer.children) <= MOST_PARTS:
        inside = [_parts(layer).removesuffix("; "), *inside] if _parts(layer) else inside
    more = f" and {len(inside) - MOST_IDEAS} more" if len(inside) > MOST_IDEAS else ""
    return f"{', '.join(inside[:MOST_IDEAS])}{more}; {change(layer)}"


def _parts(layer: Layer) -> str:
    """Return the convolutions of a small block in words, "" where there is more to it."""
    rows = [row for row in layer.children if row.executed]
    if any(row.children and idea_of(row) is None for row in rows):
        return ""
    kernels = [kernel_of(row) for row in rows if row.base.startswith("Conv") or row.type.startswith("conv")]
    if not kernels or len(kernels) > 2:
        return ""
    return " and ".join(f"{times_text(kernel)} convolution" for kernel in kernels) + "; "

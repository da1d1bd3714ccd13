"""Ideas of the catalogue's blocks, which are known by their class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..rows.layer import Layer
from .change import change
from .idea import Idea, attention_idea, mlp_idea, squeeze_idea
from .phrases import of_one_row
from .quantities import times_text


@dataclass(frozen=True)
class Said:
    """A block in fixed words; ``with_change``: they are followed by the ideas inside it and by the change of shape."""

    short: str
    words: str
    with_change: bool = True


def _first(layer: Layer, *types: str) -> Layer | None:
    """Return the first row of one of the types, anywhere below."""
    return next((row for _, row in layer.walk() if row.type in types and row is not layer), None)


def _window_attention(layer: Layer) -> Idea:
    softmax, roll = _first(layer, "softmax"), _first(layer, "roll")
    if softmax is None:
        return Idea("attention in windows", "attention in windows")
    return attention_idea(softmax, roll)


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
        return attention_idea(row)
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
    return squeeze_idea(layer.inputs[0][1], widths)


def _bridge(short: str, words: str) -> Callable[[Layer], Idea]:
    def describe(layer: Layer) -> Idea:
        row = _first(layer, "attention")
        told = of_one_row(row) if row is not None else None
        return Idea(short, f"{words}: {told}" if told else words)

    return describe


CATALOGUE: dict[tuple[str, str], Callable[[Layer], Idea] | Said] = {
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
    ("nat", "Downsample"): Said("", "one 3×3 convolution with stride 2"),
    ("swin", "PatchStem"): _patches,
    ("convnext", "PatchStem"): _patches,
    ("vit", "PatchEmbedding"): _patches,
    ("vit", "ClassTokenAndPositions"): _class_token,
    ("senet", "SqueezeExcite"): _catalogue_squeeze,
    ("cyclemlp", "CycleMixing"): _cycle,
    ("cyclemlp", "CycleFC"): _staircase,
    ("vit", "Mlp"): mlp_idea,
    ("cvt", "ConvProjection"): Said("", "a depthwise convolution over the map of tokens, then a linear layer on each"),
    ("cvt", "TokenEmbedding"): Said("", "an overlapping convolution makes new tokens"),
    ("mobile_former", "DynamicReLU"): Said("dynamic ReLU", "a ReLU whose two slopes the first token decides", False),
    ("mobile_former", "MobileToFormer"): _bridge(
        "attention from tokens to pixels", "the tokens collect from the pixels"
    ),
    ("mobile_former", "FormerToMobile"): _bridge(
        "attention from pixels to tokens", "the pixels collect from the tokens"
    ),
    ("mobile_former", "Former"): _bridge("attention among tokens", "a transformer block on the learned tokens"),
    ("mobile_former", "Merge"): Said("", "the averaged map and the first token, laid side by side"),
    ("", "ChannelShuffle"): Said("channel shuffle", "shuffles the channels, so that the groups meet", False),
    ("resnet", "Bottleneck"): Said("bottlenecks", "a bottleneck: 1×1 down, 3×3, 1×1 up, and a shortcut"),
    ("resnet", "BasicBlock"): Said("", "two 3×3 convolutions and a shortcut"),
    ("mobilenet_v1", "DepthwiseSeparable"): Said(
        "depthwise separable convolutions", "a depthwise 3×3, then a 1×1 that mixes the channels"
    ),
    ("xception", "SeparableConv"): Said(
        "depthwise separable convolutions", "a depthwise 3×3, then a 1×1 that mixes the channels"
    ),
    ("squeezenet", "Fire"): Said(
        "fire modules", "squeezes the channels by 1×1, then widens by 1×1 and 3×3 side by side"
    ),
    ("lenet", "Subsampling"): Said("", "adds up each 2×2 window, scales and shifts the sum, and squashes it"),
    ("lenet", "PartialConv"): Said("", "5×5 convolutions, each of some of the maps only"),
    ("lenet", "DistanceToCodes"): Said("", "scores each class by the distance to its fixed code", False),
    ("cnn_lstm", "PerStep"): Said("", "one network for all steps of the sequence"),
    ("cnn_lstm", "LastState"): Said("LSTM", "an LSTM reads the sequence, its last output is kept"),
    ("capsnet", "Decoder"): Said("", "draws the image from one capsule"),
}

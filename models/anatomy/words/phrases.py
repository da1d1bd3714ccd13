"""What a single row does, in one phrase with its own numbers: layers of torch.nn, calls of PyTorch, the catalogue's classes.

A phrase says what happens to the image, not which function is called. Layers derived from one of torch.nn have its
phrase. What is known of no class is told by ideas.py from what is inside, or by the change of shape.
"""

from __future__ import annotations

from ..rows.layer import Layer
from . import phrases_of_arithmetic, phrases_of_layers, phrases_of_moves, phrases_without_numbers
from .phrases_of_layers import norm
from .quantities import Describe, times_text


def _shuffle(layer: Layer) -> str:
    return f"shuffles the {layer.output[1]} channels, so that the groups meet"


LAYERS: dict[str, Describe] = {
    **phrases_of_layers.PHRASES,
    **phrases_of_arithmetic.PHRASES,
    **phrases_of_moves.PHRASES,
    **phrases_without_numbers.PHRASES,
    **dict.fromkeys(("ChannelShuffle", "channel_shuffle"), _shuffle),
}
"""By the name of a layer of torch.nn, or of a call."""

ROUTING = {
    "jidk,bik->bjid": "each capsule votes for each class: what it sees, times a learned matrix",
    "bji,bjid->bjd": "routing by agreement: adds up the votes of all capsules, each by its share",
    "bjid,bjd->bji": "routing by agreement: compares each vote with the sum; what agrees gets a larger share",
}
"""By the rule of a sum of products in models/capsnet.py."""

LIBRARY: dict[str, Describe] = {
    "DropPath": lambda layer: "in training leaves the branch out at random; now lets it through",
    "StochasticDepth": lambda layer: "in training leaves the branch out at random; now lets it through",
    "LayerNorm2d": lambda layer: norm("the channels of each pixel")(layer),
    "GlobalAveragePool": lambda layer: "averages each channel over the whole map",
    "MapAverage": lambda layer: "averages each channel over the whole map",
    "TokenAverage": lambda layer: "averages each channel over all tokens",
    "Affine": lambda layer: "scales and shifts each channel by learned numbers",
    "LayerScale": lambda layer: "multiplies each channel by a learned factor, small at first",
    "ChannelShuffle": _shuffle,
    "LocalResponseNorm": lambda layer: "damps a value by the strength of its neighbour channels",
    "BatchNorm2d": lambda layer: norm("each channel")(layer),
    "BatchNormAct2d": lambda layer: f"{norm('each channel')(layer)}; an activation follows",
    "FrozenBatchNorm2d": lambda layer: "scales and shifts each channel by fixed numbers",
    "ScaledTanh": lambda layer: "squeezes values into -1.7159 to 1.7159",
    "Lengths": lambda layer: f"takes the length of each of {layer.output[-1]} capsules as its score",
    "Permute": LAYERS["permute"],
    "Rearrange": LAYERS["rearrange"],
    "GlobalResponseNorm": lambda layer: "lets the channels compete by their strength over the whole map",
    "PadTo": LAYERS["pad"],
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
    if layer.origin == "capsnet" and layer.settings.get("equation") in ROUTING:
        return ROUTING[layer.settings["equation"]]
    if layer.kind == "operation":
        return LAYERS[layer.type](layer) if layer.type in LAYERS else None
    if layer.type in LIBRARY and (in_catalogue(layer) or layer.origin.startswith(FROM_LIBRARIES)):
        return LIBRARY[layer.type](layer)
    if layer.base in LAYERS and not layer.children:
        return LAYERS[layer.base](layer)
    return None

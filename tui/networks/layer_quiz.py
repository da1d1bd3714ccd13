"""Questions about a row of the layer tree: what comes out, and how many parameters it has. No Textual.

A question is asked only where the answer follows from what it tells: of a layer whose rule is written here, and whose
table agrees with it. Each wrong answer is made by a mistake that has a name.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...models.catalogue.notes import shape_text
from .layer_tree import LayerNode
from .quiz import Question, among

Shape = tuple[int, ...]
POOLINGS = ("MaxPool2d", "AvgPool2d")
UNCHANGED = (
    *("BatchNorm2d", "LayerNorm", "GroupNorm", "LocalResponseNorm", "Dropout", "Identity"),
    *("ReLU", "ReLU6", "LeakyReLU", "GELU", "SiLU", "Hardswish", "Sigmoid", "Tanh"),
)
SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups")
SWAPPED = "channels and side are swapped: the channels come first"


@dataclass(frozen=True)
class Prediction:
    """What follows from the settings, and what follows where a mistake is made: (mistake, result)."""

    right: int | Shape
    wrong: Sequence[tuple[str, int | Shape]]


def about_layer(node: LayerNode, rng: random.Random) -> Question | None:
    """Return a question about a row of the layer tree: what leaves it, or how many parameters it has."""
    makers = [_shape_question, _parameter_question]
    rng.shuffle(makers)
    return next((question for maker in makers if (question := maker(node, rng)) is not None), None)


def _shape_question(node: LayerNode, rng: random.Random) -> Question | None:
    rule = SHAPES.get(node.type)
    if node.children or not node.executed or not node.output or not node.inputs or rule is None:
        return None
    found = rule(node)
    if found is None or found.right != node.output:
        return None
    words = ", ".join(filter(None, (node.type, _outputs(node), _settings(node))))
    goes_in = " and ".join(shape_text(shape) for shape in node.inputs)
    goes = "goes" if len(node.inputs) == 1 else "go"
    text = f"{goes_in} {goes} into {node.name or node.type} ({words}). What comes out?"
    wrong = [
        (mistake, shape_text(shape))
        for mistake, shape in found.wrong
        if isinstance(shape, tuple) and shape and min(shape) > 0
    ]
    side = next((formula for formula in node.formulas if formula.what.startswith("output ")), None)
    because = "\n".join(
        filter(None, (node.phrase, f"side: {side.general} = {side.filled} = {side.value}" if side else ""))
    )
    return among(text, shape_text(node.output), wrong, because, rng)


def _outputs(node: LayerNode) -> str:
    word, count = {"Conv2d": ("kernel", node.output[0]), "Linear": ("output", node.output[-1])}.get(node.type, ("", 0))
    return f"{count} {word}{'s' if count != 1 else ''}" if word else ""


def _settings(node: LayerNode) -> str:
    return ", ".join(f"{name} {_plain(node.settings[name])}" for name in SETTINGS if name in node.settings)


def _plain(value: object) -> str:
    """Return a setting of a layer as people write it: (3, 3) as 3."""
    if isinstance(value, list | tuple):
        return str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value))
    return str(value)


def _pair(value: object) -> tuple[int, int] | None:
    """Return a setting along both axes; None where it is not a number, as the padding "same"."""
    first, second = value if isinstance(value, list | tuple) and len(value) == 2 else (value, value)
    return (first, second) if isinstance(first, int) and isinstance(second, int) else None


# What comes out


def _window(node: LayerNode) -> Prediction | None:
    before, told = node.inputs[0], node.settings
    kernel, stride, padding, dilation = (
        _pair(told.get(name, usual))
        for name, usual in (("kernel_size", 0), ("stride", 1), ("padding", 0), ("dilation", 1))
    )
    if len(before) != 3 or len(node.output) != 3 or not kernel or not stride or not padding or not dilation:
        return None
    if min(kernel) < 1 or min(stride) < 1:
        return None
    is_pooling = node.type in POOLINGS
    channels = before[0] if is_pooling else node.output[0]

    def sides(padding: Shape, stride: Shape, dilation: Shape, kernel: Shape) -> Shape:
        rows = zip(before[1:], padding, stride, dilation, kernel, strict=True)
        return tuple((side + 2 * p - d * (k - 1) - 1) // s + 1 for side, p, s, d, k in rows)

    right = sides(padding, stride, dilation, kernel)
    wrong = [
        ("the padding is forgotten", (channels, *sides((0, 0), stride, dilation, kernel))),
        ("the stride is forgotten", (channels, *sides(padding, (1, 1), dilation, kernel))),
        ("the dilation is forgotten", (channels, *sides(padding, stride, (1, 1), kernel))),
        ("the size of the kernel is forgotten", (channels, *sides(padding, stride, (1, 1), (1, 1)))),
        ("the + 1 of the formula is forgotten", (channels, *(side - 1 for side in right))),
        (SWAPPED, (*right, channels)),
    ]
    if is_pooling:
        wrong.append(("the channels are halved like the side, but each is pooled alone", (channels // 2, *right)))
    else:
        wrong.append(("the channels of the input are kept, but each kernel makes one", (before[0], *right)))
    return Prediction((channels, *right), wrong)


def _linear(node: LayerNode) -> Prediction:
    lead, width = node.inputs[0][:-1], node.output[-1]
    wrong: list[tuple[str, int | Shape]] = [
        ("the width of the input is kept, but each output is one weighted sum", node.inputs[0]),
        ("that is the table of the weights, not what comes out", (node.inputs[0][-1], width)),
    ]
    if lead:
        wrong.append(("the places are laid in one row, but each has its own outputs", (math.prod(lead) * width,)))
    return Prediction((*lead, width), wrong)


def _unchanged(node: LayerNode) -> Prediction:
    before = node.inputs[0]
    if len(before) == 3:
        channels, *sides = before
        wrong = [
            ("taken for a pooling: this layer has no stride", (channels, *(side // 2 for side in sides))),
            ("taken for a convolution: this layer has no kernels that make channels", (channels * 2, *sides)),
            (SWAPPED, (*sides, channels)),
        ]
    else:
        wrong = [
            ("taken for a fully connected layer: this layer has no outputs of its own", (*before[:-1], before[-1] * 2)),
            ("values are thought to be left out, but each value stays in its place", (*before[:-1], before[-1] // 2)),
        ]
    return Prediction(before, wrong)


def _flatten(node: LayerNode) -> Prediction:
    before = node.inputs[0]
    wrong = [
        ("taken for a global pooling: here all places stay", before[:1]),
        ("one axis is forgotten", (math.prod(before[:-1]),)),
        ("the axes are kept, but all values are laid in one row", before),
    ]
    return Prediction((math.prod(before),), wrong)


def _global_pool(node: LayerNode) -> Prediction:
    before = node.inputs[0]
    wrong = [
        ("taken for a flattening: the places are averaged", (math.prod(before),)),
        ("averaged over the channels instead of the places", before[1:]),
        ("the axes are kept, but a mean over all places has none", before),
    ]
    return Prediction(before[:1], wrong)


def _sum(node: LayerNode) -> Prediction | None:
    first = node.inputs[0]
    if len(node.inputs) < 2 or any(shape != first for shape in node.inputs):
        return None
    wrong = [
        ("taken for a concatenation: values are added one by one", (first[0] * len(node.inputs), *first[1:])),
        ("taken for a pooling: a sum leaves the side alone", (first[0], *(side // 2 for side in first[1:]))),
    ]
    return Prediction(first, wrong)


def _concat(node: LayerNode) -> Prediction | None:
    first = node.inputs[0]
    if len(first) != 3 or len(node.inputs) < 2 or any(shape[1:] != first[1:] for shape in node.inputs):
        return None
    channels = sum(shape[0] for shape in node.inputs)
    wrong = [
        ("taken for a sum: the channels lie one behind the other", first),
        ("the last branch is forgotten", (channels - node.inputs[-1][0], *first[1:])),
        ("the sides are added as well", (channels, *(side * len(node.inputs) for side in first[1:]))),
    ]
    return Prediction((channels, *first[1:]), wrong)


SHAPES: dict[str, Callable[[LayerNode], Prediction | None]] = {
    "Conv2d": _window,
    **dict.fromkeys(POOLINGS, _window),
    "Linear": _linear,
    **dict.fromkeys(UNCHANGED, _unchanged),
    "Flatten": _flatten,
    "GlobalAveragePool": _global_pool,
    "+": _sum,
    "concat": _concat,
}
"""The layers whose output can be predicted from what is told of them."""


# How many parameters


def _parameter_question(node: LayerNode, rng: random.Random) -> Question | None:
    rule = PARAMETERS.get(node.type)
    if node.children or rule is None or not node.parameters or not node.inputs or not node.output:
        return None
    found = rule(node)
    if found is None or found.right != node.parameters:
        return None
    formula = next((formula for formula in node.formulas if formula.what == "parameters"), None)
    because = f"{formula.general} = {formula.filled}" if formula else f"{node.parameters:,}"
    bias = "" if "bias" not in node.settings else "with bias" if node.settings["bias"] else "no bias"
    told = ", ".join(filter(None, (node.type, _settings(node), bias)))
    shapes = f"{shape_text(node.inputs[0])} → {shape_text(node.output)}"
    text = f"How many parameters has {node.name or node.type} ({told}; {shapes})?"
    wrong = [(mistake, f"{count:,}") for mistake, count in found.wrong if isinstance(count, int) and count > 0]
    return among(text, f"{node.parameters:,}", wrong, because, rng)


def _of_convolution(node: LayerNode) -> Prediction | None:
    kernel, groups = _pair(node.settings.get("kernel_size", 0)), node.settings.get("groups", 1)
    if kernel is None or not isinstance(groups, int) or groups < 1:
        return None
    window, seen, made = math.prod(kernel), node.inputs[0][0] // groups, node.output[0]
    bias = made if node.settings.get("bias") else 0
    weights = window * seen * made
    wrong = [
        _bias_mistake(weights, made, bias),
        ("the groups are ignored: a kernel sees the channels of its group alone", weights * groups + bias),
        ("the kernel is counted along one side only", kernel[0] * seen * made + bias),
        ("a kernel has weights for each channel that it sees, not for one alone", window * made + bias),
        ("only one kernel is counted; each channel out has its own", window * seen + bool(bias)),
    ]
    return Prediction(weights + bias, wrong)


def _bias_mistake(weights: int, outputs: int, bias: int) -> tuple[str, int]:
    """Return the mistake about the bias: forgotten, or counted where there is none."""
    if bias:
        return "the bias is forgotten", weights
    return "a bias is counted, and this layer has none", weights + outputs


def _of_linear(node: LayerNode) -> Prediction:
    inputs, outputs = node.inputs[0][-1], node.output[-1]
    bias = outputs if node.settings.get("bias") else 0
    wrong = [
        _bias_mistake(inputs * outputs, outputs, bias),
        ("inputs and outputs are added, but each output has a weight for each input", inputs + outputs + bias),
        ("the weights are counted once for each place, but all places share them", node.macs + bias),
    ]
    return Prediction(inputs * outputs + bias, wrong)


def _of_norm(node: LayerNode) -> Prediction:
    before, shape = node.inputs[0], node.settings.get("normalized_shape")
    channels = math.prod(shape) if shape else before[0]
    statistics = "layer normalisation keeps none" if shape else "nothing learns them"
    wrong = [
        ("the shift is forgotten", channels),
        (f"running statistics are counted: {statistics}", 4 * channels),
        ("counted for each place, but all places share them", 2 * math.prod(before)),
    ]
    return Prediction(2 * channels, wrong)


PARAMETERS: dict[str, Callable[[LayerNode], Prediction | None]] = {
    "Conv2d": _of_convolution,
    "Linear": _of_linear,
    "BatchNorm2d": _of_norm,
    "LayerNorm": _of_norm,
}
"""The layers whose parameters can be counted from what is told of them."""

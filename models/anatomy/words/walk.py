"""The tensor walk: the steps that an image takes through a network, one phrase each.

The first level are the parts of the network, the next ones the layers of a block and the operations between them; the last
one, the arithmetic of one output value with the real weights and a real image, is in values.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..axes.layout import AxisLayout
from ..rows.layer import Layer
from . import ideas, phrases
from .change import change


@dataclass(frozen=True)
class WalkStep:
    """One step: shapes without the batch axis, what it does, and how far its output sees into the image."""

    name: str
    type: str
    is_module: bool
    phrase: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    receptive_field: int | None
    is_global: bool
    parameters: int
    macs: int
    times: int
    can_enter: bool
    id: int = -1
    reads: tuple[int | None, ...] = ()
    layout: AxisLayout | None = None
    is_minor: bool = False


def within(layer: Layer) -> Layer:
    """Return the row whose children are the steps inside another; wrappers with a single child are seen through."""
    while len(layer.children) == 1 and layer.children[0].children:
        layer = layer.children[0]
    return layer


def steps(layer: Layer) -> list[WalkStep]:
    """Return the steps inside one row of the layer tree, in order."""
    return [_step(child) for child in within(layer).children if child.executed]


def _step(layer: Layer) -> WalkStep:
    before = layer.inputs_of_one[0] if layer.inputs else ()
    return WalkStep(
        name=layer.name,
        type=layer.type,
        is_module=layer.kind == "module",
        phrase=phrase(layer),
        before=before,
        after=layer.output_of_one,
        receptive_field=layer.receptive_field,
        is_global=layer.is_global,
        parameters=layer.parameters,
        macs=layer.macs,
        times=layer.times,
        can_enter=bool(layer.children),
        id=layer.id,
        reads=layer.reads,
        layout=layer.layout,
        is_minor=is_minor(layer),
    )


def phrase(layer: Layer) -> str:
    """Return what a row does, in one phrase, with its own numbers."""
    if not layer.executed:
        return NOT_RUN.get(layer.runs, "does not run in evaluation")
    own = phrases.of_one_row(layer)
    if own is not None:
        return own
    if layer.kind == "operation":
        return f"computes {layer.type}; {change(layer)}"
    inside = [child for child in layer.children if child.executed]
    if len(inside) == 1 and ideas.idea_of(layer) is None:
        return phrase(inside[0])
    return ideas.block_phrase(layer)


NOT_RUN = {"training": "does not run outside training", "never": "never runs"}


def is_minor(layer: Layer) -> bool:
    """Return whether a row is an operation that a reader may skip: a change of layout, an activation, a number multiplied
    by.
    """
    return layer.kind == "operation" and not layer.macs and (layer.type in MINOR or "by" in layer.settings)


MINOR = {
    *("reshape", "permute", "flatten", "rearrange", "slice", "split", "stack", "repeat", "expand", "pad", "assign"),
    *("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "dropout"),
    *(
        "power",
        "sqrt",
        "rsqrt",
        "exp",
        "neg",
        "abs",
        "clamp",
        "where",
        "masked_fill",
        "log_softmax",
        "one_hot",
        "argmax",
    ),
}

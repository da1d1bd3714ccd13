"""Ideas of blocks of any network, recognised by what is inside and by who reads whom.

An average over the map, small layers, a sigmoid and a product with the input are squeeze-and-excitation.
"""

from __future__ import annotations

from ..rows.layer import Layer
from .idea import Idea, attention_idea, mlp_idea, squeeze_idea
from .phrases import of_one_row
from .quantities import shape_size


def recognised(layer: Layer) -> Idea | None:
    """Return the idea of a block by what is inside, None where it is none of those known."""
    return _attention(layer) or _squeeze(layer) or _shuffle(layer) or _perceptron(layer)


def of_operation(layer: Layer) -> Idea | None:
    """Return the idea of a single operation, None where it has none."""
    if layer.type == "attention":
        return Idea("attention", of_one_row(layer) or "attention")
    if layer.type == "linear":
        return token_mixing(layer)
    if layer.settings.get("shuffles"):
        return Idea("channel shuffle", of_one_row(layer) or "shuffles the channels")
    return None


def token_mixing(layer: Layer) -> Idea | None:
    """Return the idea of a linear layer that mixes places, None where it mixes channels."""
    if layer.layout_in is not None and layer.layout_in.mixes_places(-1):
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
                return attention_idea(shares, next((row for row in rows.values() if row.type == "roll"), None))
    return None


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
                return squeeze_idea(gate.layout_in.channels if gate.layout_in else None, [n for n in widths if n])
    return None


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
    return mlp_idea(layer) if rest and rest <= ACTIVATIONS else None


def _shuffle(layer: Layer) -> Idea | None:
    executed = [row for row in layer.children if row.executed]
    if executed and all(row.type in ("rearrange", "reshape", "permute") for row in executed):
        shuffled = next((row for row in executed if row.settings.get("shuffles")), None)
        return None if shuffled is None else of_operation(shuffled)
    return None

"""Phrases of arithmetic without a layer: sums and products of branches, averages over axes, products of matrices."""

from __future__ import annotations

from ..rows.layer import Layer
from .quantities import Describe, shape_size, times_text


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
        "var": "takes the variance of",
        "std": "takes the standard deviation of",
        "logsumexp": "keeps a smooth maximum of",
        "prod": "multiplies",
    }
    word = words.get(layer.type, layer.type)
    before, over = layer.layout_in, layer.settings.get("dim")
    if before is None or over is None or "?" in before.axes:
        return f"{word} {times_text(layer.inputs_of_one[0])} values, {times_text(layer.output_of_one) or '1'} left"
    places = over if isinstance(over, tuple | list) else (over,)
    gone = [before.axes[place] for place in places if -len(before.axes) <= place < len(before.axes)]
    if gone and set(gone) <= {"rows", "columns", "tokens", "frames"}:
        whole = set(gone) >= {"rows", "columns"} or "tokens" in gone
        return f"{word} each channel over {'all places' if whole else 'the ' + ' and '.join(gone)}"
    if gone in (["channels"], ["values"]) and len(before.axes) == 2:
        return f"{word} all {layer.inputs[0][-1]} values"
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
    if "fixed" in layer.settings:
        return "adds a fixed table"
    return "adds a tensor to itself" if len(layer.inputs) < 2 else "adds two branches"


def _difference(layer: Layer) -> str:
    if (number := _by(layer)) is not None:
        return f"subtracts every value from {number}" if "reflected" in layer.settings else f"subtracts {number}"
    for kind in ("learned", "fixed"):
        if kind in layer.settings:
            first = layer.reads[:1] == (None,)
            return f"takes the difference with a {kind} table" if first else f"subtracts a {kind} table"
    return "subtracts one branch from the other"


def _product(layer: Layer) -> str:
    if (number := _by(layer)) is not None:
        return f"multiplies every value by {number}"
    if "learned" in layer.settings:
        return "multiplies by a learned scale"
    if "fixed" in layer.settings:
        return "multiplies by fixed factors"
    if len(layer.inputs) > 1 and layer.inputs[0] != layer.inputs[1]:
        smaller = min(layer.inputs_of_one, key=lambda shape: shape_size(shape))
        return f"multiplies by {times_text(smaller) or '1'} factors"
    return "multiplies two branches, value by value"


def _quotient(layer: Layer) -> str:
    number = _by(layer)
    if number is not None and "reflected" in layer.settings:
        return f"divides {number} by every value"
    return f"divides by {number}" if number is not None else "divides value by value"


def _power(layer: Layer) -> str:
    number = _by(layer)
    if number is None:
        return "raises each value to the power of another"
    if "reflected" in layer.settings:
        return f"raises {number} to the power of every value"
    return "squares every value" if number == "2" else f"raises every value to the power of {number}"


def _whole_quotient(layer: Layer) -> str:
    return f"{_quotient(layer)}, rounded down"


def _remainder(layer: Layer) -> str:
    number = _by(layer)
    if number is not None and "reflected" in layer.settings:
        return f"keeps what is left of {number} after dividing it by every value"
    return (
        f"keeps what is left after dividing by {number}"
        if number
        else "keeps what is left after dividing value by value"
    )


def _matmul(layer: Layer) -> str:
    if layer.layout is not None and "keys" in layer.layout.axes:
        return f"compares {layer.output[-2]} places with {layer.output[-1]}: queries · keys"
    if "learned" in layer.settings:
        return f"weighs values by a learned matrix, {layer.output[-1]} results"
    if "shares" in layer.settings:
        return "adds up the values with these shares"
    return f"multiplies two matrices, {times_text(layer.output[-2:])} results"


def _softmax(layer: Layer) -> str:
    return (
        f"turns every {layer.output[-1]} scores into shares that sum to 1"
        if (layer.settings.get("dim") in (-1, len(layer.output) - 1, None))
        else "turns scores into shares that sum to 1"
    )


PHRASES: dict[str, Describe] = {
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "norm", "var", "std", "logsumexp", "prod"), _mean),
    **dict.fromkeys(("Softmax", "softmax"), _softmax),
    "+": _sum,
    "−": _difference,
    "×": _product,
    "÷": _quotient,
    "power": _power,
    "floor_divide": _whole_quotient,
    "remainder": _remainder,
    "matmul": _matmul,
    "einsum": lambda layer: f"multiplies and adds up by the rule {layer.settings.get('equation', '')}".rstrip(),
}

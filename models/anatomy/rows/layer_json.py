"""The layer table as JSON-able data, and read from it."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from ..axes.layout import AxisLayout
from .layer import Layer

SCHEMA = 1
JOINS = ("+", "×", "concat", "matmul", "einsum", "attention")


def as_dict(layer: Layer) -> dict[str, Any]:
    """Return the tree as JSON-able data."""
    below = [as_dict(child) for child in layer.children]
    own = asdict(replace(layer, children=()))
    return {**own, "children": below, "trainable": layer.trainable}


def from_dict(data: dict[str, Any]) -> Layer:
    """Return the inverse of ``as_dict`` after a way through JSON."""
    layouts = {
        key: AxisLayout(**{**data[key], "axes": tuple(data[key]["axes"])})
        for key in ("layout", "layout_in")
        if data.get(key) is not None
    }
    return Layer(
        **{
            **{name: value for name, value in data.items() if name != "trainable"},
            **layouts,
            "inputs": tuple(tuple(shape) for shape in data["inputs"]),
            "output": tuple(data["output"]),
            "outputs": tuple(tuple(shape) for shape in data.get("outputs", ())),
            "reads": tuple(data.get("reads", ())),
            "children": tuple(from_dict(child) for child in data["children"]),
        }
    )


def as_in_schema_1(layer: Layer) -> Layer:
    """Return the tree with the operations alone that schema 1 of the JSON has: what joins two tensors, and patterns."""
    children = tuple(as_in_schema_1(child) for child in layer.children if child.kind == "module" or _joins(child))
    return replace(layer, children=children)


def _joins(row: Layer) -> bool:
    return (row.type in JOINS and len(row.inputs) > 1) or (row.type == "rearrange" and "pattern" in row.settings)

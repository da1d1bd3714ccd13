"""Networks and their layers as data for an export: numbers and lists, not the words of the tables. No Textual."""

from __future__ import annotations

from typing import Any

from ...models.catalogue.registry import StemCounts, Variant
from .layer_tree import LayerNode


def of_variant(variant: Variant, *, marked: bool = False) -> dict[str, Any]:
    """Return a network of the catalogue, with the counts of each of its stems; null where nobody counted."""
    stems = {"imagenet": variant.paper_stem, "small": variant.small_stem}
    return {
        "name": variant.name,
        "title": variant.title,
        "family": variant.family,
        "year": variant.year,
        "tags": list(variant.tags),
        "stems": {name: _of_counts(counts) for name, counts in stems.items() if counts is not None},
        "marked": marked,
    }


def _of_counts(counts: StemCounts) -> dict[str, Any]:
    return {
        "input": list(counts.input),
        "classes": counts.classes,
        "parameters": counts.parameters or None,
        "multiply_adds": counts.macs or None,
    }


def of_layer(node: LayerNode, level: int = 0) -> dict[str, Any]:
    """Return a row of the layer table, without those below it. Shapes have no batch axis."""
    return {
        "name": node.name,
        "kind": node.kind,
        "type": node.type,
        "level": level,
        "times": node.times,
        "inputs": [list(shape) for shape in node.inputs],
        "output": list(node.output),
        "parameters": node.parameters,
        "frozen": node.frozen,
        "shared": node.shared,
        "macs": node.macs,
        "output_bytes": node.output_bytes,
        "receptive_field": node.receptive_field,
        "is_global": node.is_global,
        "executed": node.executed,
        "settings": node.settings,
    }


def of_step(node: LayerNode, *, hidden: bool = False) -> dict[str, Any]:
    """Return a step of the walk; ``hidden``: what comes out is still to be predicted, and is null."""
    found = of_layer(node) | {"phrase": node.phrase}
    if hidden:
        found |= dict.fromkeys(("output", "output_bytes", "receptive_field", "is_global", "phrase"))
    return found

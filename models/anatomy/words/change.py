"""How a block changes the shape of what goes through: sides, channels, tokens."""

from __future__ import annotations

from ....errors import counted
from ..rows.layer import Layer
from .quantities import times_text


def change(layer: Layer) -> str:
    """Return how a block changes what goes through, told by the layout: sides and channels, never by sizes alone."""
    before, after = layer.layout_in, layer.layout
    old, new = (layer.inputs_of_one[0] if layer.inputs else ()), layer.output_of_one
    if before is None or after is None:
        return f"keeps the shape {_shape(new)}" if old == new else f"{_shape(old)} → {_shape(new)}"
    told = [part for part in (_side_change(layer), _channel_change(layer), _token_change(layer)) if part]
    if not told or (before.rows is None) != (after.rows is None) or not after.channels:
        return f"keeps the shape {_shape(new)}" if old == new else f"{_shape(old)} → {_shape(new)}"
    if len(told) > 1 and told[0].startswith("keeps ") and told[1].startswith("keeps "):
        told[:2] = [f"{told[0]} and {told[1].removeprefix('keeps ')}"]
    return ", ".join(told)


def _shape(shape: tuple[int, ...]) -> str:
    return times_text(shape) or "one value"


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
        return f"keeps {counted(after.channels, 'channel')}"
    return f"channels {before.channels} → {after.channels}"


def _token_change(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or before.extra == after.extra:
        return ""
    if after.extra > before.extra:
        more = after.extra - before.extra
        return f"{more} learned token{'s' if more > 1 else ''} more"
    return "learned tokens left out"

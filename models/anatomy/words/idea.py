"""The idea of a block, and the words for those that are found both by class and by structure."""

from __future__ import annotations

from dataclasses import dataclass

from ..rows.layer import Layer
from .phrases_of_layers import attention_text
from .quantities import times_text


@dataclass(frozen=True)
class Idea:
    """What a block does: ``short`` for the block around it, ``words`` with all numbers for itself."""

    short: str
    words: str


def attention_idea(shares: Layer, roll: Layer | None = None) -> Idea:
    """Return the idea of attention by the row of its shares, and by the one that shifts the windows."""
    *before, queries, keys = shares.output
    heads = before[-1] if len(before) > 1 else None
    layout = shares.layout
    windows = layout.windows if layout is not None else 1
    if layout is not None and "channels" in layout.axes[-2:]:
        words = f"attention among the {keys} channels" + (f", {heads} heads" if heads and heads > 1 else "")
        return Idea("attention among channels", words)
    apart = layout.apart if layout is not None else 1
    words = attention_text(queries, keys, heads, windows, apart)
    if windows > 1 and roll is not None and roll.settings.get("shifts"):
        by = times_text([abs(number) for number in roll.settings["shifts"]])
        return Idea("attention in shifted windows", f"{words}; the windows are shifted by {by} places")
    if windows > 1:
        return Idea("attention in grids" if apart > 1 else "attention in windows", words)
    return Idea("attention", words)


def squeeze_idea(channels: int | None, widths: list[int]) -> Idea:
    """Return the idea of squeeze-and-excitation with the widths of its layers."""
    told = " → ".join(str(width) for width in [channels, *widths] if width)
    words = "squeeze-and-excitation: averages each channel over the map, and multiplies it by a gate between 0 and 1"
    return Idea("squeeze-and-excitation", words + (f" ({told})" if widths else ""))


def mlp_idea(layer: Layer) -> Idea:
    """Return the idea of an MLP: over the places of each channel, or on each place."""
    widths = [layer.inputs[0][-1]]
    widths += [row.output[-1] for row in layer.children if row.base == "Linear"]
    told = " → ".join(map(str, widths))
    if layer.layout_in is not None and layer.layout_in.mixes_places(-1):
        return Idea("token mixing", f"token mixing: an MLP over the places of each channel, {told}")
    return Idea("MLP", f"an MLP on each place, {told}")

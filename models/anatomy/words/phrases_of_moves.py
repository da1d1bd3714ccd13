"""Phrases of what moves values and computes none: other axes, windows, parts, borders, tensors side by side."""

from __future__ import annotations

import math

from ..axes.layout import AxisLayout, without_axis
from ..rows.layer import Layer
from .quantities import Describe, pair, sides, times_text


def _reorder(layer: Layer) -> str:
    if layer.settings.get("shuffles"):
        return f"shuffles the {layer.output[1] if len(layer.output) == 4 else layer.output[-1]} channels"
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or "?" in (*before.axes, *after.axes):
        return _read_as(layer)
    if len(layer.inputs[0]) > len(layer.output) == 2 and after.axes in (("batch", "values"), ("batch", "one")):
        return "lays all values out in one row"
    if before.axes == ("batch", "channels") and sum(side > 1 for side in layer.output[1:]) > 1:
        return _laid_out(layer)
    is_map, becomes_map = ({"rows", "columns"} <= set(layout.axes) for layout in (before, after))
    if before.windows > 1 and becomes_map and after.windows == 1 and len(after.axes) == 4:
        kind = "grids" if before.apart > 1 else "windows"
        return f"puts {before.windows} {kind} together to a map of {after.rows}×{after.columns}"
    if before.axes.count("channels") < after.axes.count("channels"):
        return f"divides the channels: {_axes_text(layer.output, after)}"
    if before.axes.count("channels") > after.axes.count("channels") > 0 and after.channels == before.channels:
        return f"joins the parts of the channels to {after.channels}"
    if (before.channels or 1) < (after.channels or 1) and (before.rows or 0) > (after.rows or 0):
        return f"reads neighbours as one place: {sides(before, after)}, {before.channels} → {after.channels} channels"
    if after.windows > 1 and before.windows == 1 and is_map:
        inside = after.rows * after.columns // after.windows if after.rows and after.columns else 0
        kind = "grids" if after.apart > 1 else "windows"
        told = f" of {inside} places" + (f" that lie {after.apart} apart" if after.apart > 1 else "") if inside else ""
        return f"cuts the map into {after.windows} {kind}{told}"
    if is_map and after.axes.count("tokens") == 1 and "tokens" not in before.axes and not becomes_map:
        return f"reads the {before.rows}×{before.columns} map as {(before.rows or 1) * (before.columns or 1)} tokens"
    if "tokens" in before.axes and becomes_map:
        return f"reads the tokens as a map of {after.rows}×{after.columns}"
    if sorted(before.axes) == sorted(after.axes) and before.axes != after.axes:
        return f"reorders axes: {', '.join(word for word in after.axes if word != 'batch')}"
    return _read_as(layer)


def _read_as(layer: Layer) -> str:
    """Tell both shapes, those of one image; where they are equal, what happens to the axis of the batch."""
    before, after = layer.inputs_of_one[0], layer.output_of_one
    if before != after or layer.inputs[0] == layer.output:
        return f"reads {times_text(before)} as {times_text(after)}"
    if len(layer.inputs[0]) == len(layer.output):
        return "moves the axis of the batch"
    return f"{'joins the batch with' if len(layer.output) < len(layer.inputs[0]) else 'parts the batch from'} the first axis"


def _laid_out(layer: Layer) -> str:
    """Say as what the values of one row are read: as an image where two sides of one length are left."""
    values, shape = layer.inputs[0][1], layer.output[1:]
    if len(shape) == 3 and layer.layout is not None and layer.layout.axes[2:] == ("rows", "columns"):
        count = f"{shape[0]} channel{'s' if shape[0] > 1 else ''}"
        return f"lays the values out as a {times_text(shape[1:])} {'image' if shape[0] in (1, 3) else 'map'} of {count}"
    return f"lays the {values} values out as {times_text(shape)}"


def _axes_text(shape: tuple[int, ...], layout: AxisLayout) -> str:
    return "×".join(
        f"{size} {word}" for size, word in zip(shape, layout.axes, strict=False) if word not in ("batch", "one")
    )


def _flatten(layer: Layer) -> str:
    return "lays all values out in one row" if len(layer.output_of_one) == 1 else _reorder(layer)


def _pattern(layer: Layer) -> str:
    if layer.settings.get("shuffles"):
        return _reorder(layer)
    told = _reorder(layer)
    pattern = layer.settings.get("pattern")
    return (
        told
        if pattern is None or not told.startswith("reads ") or " map " in told or " tokens " in told
        else (f"reorders axes: {pattern}")
    )


def _concat(layer: Layer) -> str:
    axis = layer.settings.get("dim", 0)
    axes = layer.layout.axes if layer.layout is not None else ()
    if isinstance(axis, int) and axes and axis in (0, -len(axes)) and axes[0] == "batch":
        return f"lays {len(layer.inputs)} tensors one after the other in the batch"
    what = axes[axis] if axes and -len(axes) <= axis < len(axes) and axes[axis] in ("channels", "tokens") else ""
    if not isinstance(axis, int) or not layer.inputs or axis >= len(layer.inputs[0]):
        return f"lays {len(layer.inputs)} tensors side by side"
    sizes = " + ".join(str(shape[axis]) for shape in layer.inputs) if len(layer.inputs) <= 4 else ""
    if "learned" in layer.settings and what == "tokens":
        return f"puts learned tokens beside the others, {sizes} tokens"
    told = f", {sizes} {what}" if what and sizes else ""
    return f"lays {len(layer.inputs)} tensors side by side{told}"


def _split(layer: Layer) -> str:
    parts = [without_axis(shape, layer.batch_axis) for shape in layer.outputs or (layer.output,)]
    if _is_of_the_batch(layer):
        return f"divides the batch into {len(parts)} parts"
    if layer.layout_in is not None and layer.layout_in.axes[:1] == ("batch",) and layer.output == layer.inputs[0][1:]:
        return "takes each image out of the batch"
    return (
        f"divides it into {len(parts)} parts of {times_text(parts[0])}"
        if len(set(parts)) == 1
        else ("divides it into parts of " + " and ".join(times_text(part) for part in parts[:4]))
    )


def _is_of_the_batch(layer: Layer) -> bool:
    """Return whether a part was taken along the batch axis: each image is whole."""
    before, after = layer.inputs[0], layer.output
    is_batch = layer.layout_in is not None and layer.layout_in.axes[0] == "batch"
    return is_batch and len(before) == len(after) and before[0] != after[0] and before[1:] == after[1:]


def _slice(layer: Layer) -> str:
    if _is_of_the_batch(layer):
        return f"takes a part of the batch, {layer.output[0]} of {layer.inputs[0][0]}"
    before, after = layer.layout_in, layer.layout
    if before is not None and after is not None:
        if before.extra and before.axes.count("tokens") == 1 and after.axes.count("tokens") == 0:
            return "takes one token out: the first"
        if before.extra and not after.extra and after.rows:
            return f"leaves out {before.extra} learned token{'s' if before.extra > 1 else ''}"
        if before.rows and after.rows and before.channels == after.channels and before.rows != after.rows:
            return f"takes a part of the map: {sides(before, after)}"
    told = f"{times_text(layer.inputs_of_one[0])} → {times_text(layer.output_of_one)}"
    return (
        f"picks values by an index: {told}"
        if math.prod(layer.output) > math.prod(layer.inputs[0])
        else f"takes a part: {told}"
    )


def _roll(layer: Layer) -> str:
    shifts = layer.settings.get("shifts")
    told = times_text([abs(by) for by in pair(shifts, 1)]) if shifts is not None else ""
    return f"rolls the map by {told} places; what leaves at one edge comes in at the other"


def _unfold(layer: Layer) -> str:
    before, after = layer.inputs[0], layer.output
    if len(after) != len(before) + 1:
        return "lays the window around each place out as channels"
    cut = next((place for place, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), 0)
    axes = layer.layout_in.axes if layer.layout_in is not None else ()
    what = (
        f"the {axes[cut]}" if axes and axes[cut] in ("rows", "columns", "frames", "tokens", "channels") else "one axis"
    )
    overlapping = "overlapping " if after[cut] * after[-1] > before[cut] else ""
    return f"cuts {what} into {after[cut]} {overlapping}strips of {after[-1]}"


def _pad(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is not None and after is not None and before.channels != after.channels:
        return f"adds channels of zeros, {before.channels} → {after.channels}"
    what = {"reflect": "mirrored values", "replicate": "the border's values", "circular": "the other side's values"}
    told = sides(before, after)
    return f"pads with {what.get(layer.settings.get('mode', ''), 'zeros')}" + (f", {told}" if told else "")


def _up(layer: Layer) -> str:
    told = sides(layer.layout_in, layer.layout)
    return f"resamples the map{', ' + told if told else ''}"


PHRASES: dict[str, Describe] = {
    **dict.fromkeys(("Flatten", "flatten"), _flatten),
    **dict.fromkeys(("reshape", "permute", "Unflatten"), _reorder),
    "rearrange": _pattern,
    "concat": _concat,
    "split": _split,
    "slice": _slice,
    "roll": _roll,
    "unfold": _unfold,
    **dict.fromkeys(("pad", "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "ConstantPad2d"), _pad),
    **dict.fromkeys(("interpolate", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"), _up),
}

"""Phrases of what moves values and computes none: other axes, windows, parts, borders, tensors side by side."""

from __future__ import annotations

from ..axes.layout import Layout
from ..rows.layer import Layer
from .quantities import Describe, pair, sides, times_text


def _reorder(layer: Layer) -> str:
    if layer.settings.get("shuffles"):
        return f"shuffles the {layer.output[1] if len(layer.output) == 4 else layer.output[-1]} channels"
    before, after = layer.layout_in, layer.layout
    if before is None or after is None or "?" in (*before.axes, *after.axes):
        return f"reads {times_text(layer.inputs[0])} as {times_text(layer.output)}"
    if before.axes.count("channels") < after.axes.count("channels"):
        return f"divides the channels: {_axes_text(layer.output, after)}"
    if before.axes.count("channels") > after.axes.count("channels") and after.channels == before.channels:
        return f"joins the parts of the channels to {after.channels}"
    if (before.channels or 1) < (after.channels or 1) and (before.rows or 0) > (after.rows or 0):
        return f"reads neighbours as one place: {sides(before, after)}, {before.channels} → {after.channels} channels"
    is_map, becomes_map = ({"rows", "columns"} <= set(layout.axes) for layout in (before, after))
    if after.windows > 1 and before.windows == 1 and is_map:
        inside = after.rows * after.columns // after.windows if after.rows and after.columns else 0
        return f"cuts the map into {after.windows} windows" + (f" of {inside} places" if inside else "")
    if before.windows > 1 and becomes_map and after.windows == 1 and len(after.axes) == 4:
        return f"puts {before.windows} windows together to a map of {after.rows}×{after.columns}"
    if is_map and after.axes.count("tokens") == 1 and "tokens" not in before.axes and not becomes_map:
        return f"reads the {before.rows}×{before.columns} map as {(before.rows or 1) * (before.columns or 1)} tokens"
    if "values" in after.axes and "values" not in before.axes and len(after.axes) == 2:
        return "lays all values out in one row"
    if "tokens" in before.axes and becomes_map:
        return f"reads the tokens as a map of {after.rows}×{after.columns}"
    if sorted(before.axes) == sorted(after.axes) and before.axes != after.axes:
        return f"reorders axes: {', '.join(word for word in after.axes if word != 'batch')}"
    return f"reads {times_text(layer.inputs[0])} as {times_text(layer.output)}"


def _axes_text(shape: tuple[int, ...], layout: Layout) -> str:
    return "×".join(
        f"{size} {word}" for size, word in zip(shape, layout.axes, strict=False) if word not in ("batch", "one")
    )


def _flatten(layer: Layer) -> str:
    return "lays all values out in one row" if len(layer.output) == 2 else _reorder(layer)


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
    what = axes[axis] if axes and -len(axes) <= axis < len(axes) and axes[axis] in ("channels", "tokens") else ""
    if not isinstance(axis, int) or not layer.inputs or axis >= len(layer.inputs[0]):
        return f"lays {len(layer.inputs)} tensors side by side"
    sizes = " + ".join(str(shape[axis]) for shape in layer.inputs) if len(layer.inputs) <= 4 else ""
    if "learned" in layer.settings and what == "tokens":
        return f"puts learned tokens beside the others, {sizes} tokens"
    told = f", {sizes} {what}" if what and sizes else ""
    return f"lays {len(layer.inputs)} tensors side by side{told}"


def _split(layer: Layer) -> str:
    parts = layer.outputs or (layer.output,)
    return (
        f"divides it into {len(parts)} parts of {times_text(parts[0][1:])}"
        if len(set(parts)) == 1
        else ("divides it into parts of " + " and ".join(times_text(part[1:]) for part in parts[:4]))
    )


def _slice(layer: Layer) -> str:
    before, after = layer.layout_in, layer.layout
    if before is not None and after is not None:
        if before.extra and before.axes.count("tokens") == 1 and after.axes.count("tokens") == 0:
            return "takes one token out: the first"
        if before.extra and not after.extra and after.rows:
            return f"leaves out {before.extra} learned token{'s' if before.extra > 1 else ''}"
        if before.rows and after.rows and before.channels == after.channels and before.rows != after.rows:
            return f"takes a part of the map: {sides(before, after)}"
    return f"takes a part: {times_text(layer.inputs[0][1:])} → {times_text(layer.output[1:])}"


def _roll(layer: Layer) -> str:
    shifts = layer.settings.get("shifts")
    told = times_text([abs(by) for by in pair(shifts, 1)]) if shifts is not None else ""
    return f"rolls the map by {told} places; what leaves at one edge comes in at the other"


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
    **dict.fromkeys(("pad", "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "ConstantPad2d"), _pad),
    **dict.fromkeys(("interpolate", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"), _up),
}

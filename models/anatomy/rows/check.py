"""Hold the layer table of a network against what must be true of every one: rows chain, and sums are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..axes.layout import AxisLayout
from .layer import Layer

GROWS = frozenset(
    [
        "interpolate",
        "upsample",
        "Upsample",
        "UpsamplingBilinear2d",
        "UpsamplingNearest2d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "ConvTranspose1d",
        "ConvTranspose2d",
        "ConvTranspose3d",
        "pixel_shuffle",
        "PixelShuffle",
        "pad",
        "ZeroPad2d",
        "ReflectionPad2d",
        "grid_sample",
        "repeat",
        "repeat_interleave",
        "fold",
        "Fold",
        "expand",
    ]
)
"""Rows that may make a map larger."""


@dataclass(frozen=True)
class Problem:
    """Something wrong: ``rule`` ("reads", "unread", "sum", "grows"), the row, and what is wrong with it."""

    rule: str
    row: str
    words: str


def problems(tree: Layer) -> list[Problem]:
    """Return what is wrong in a layer tree, folded or not; nothing where all rows chain."""
    found: list[Problem] = []
    for _, row in tree.walk():
        if row.executed and row.children:
            found += _level(row)
        if row.executed:
            found += _sides(row)
    return found


def _outputs(row: Layer) -> tuple[tuple[int, ...], ...]:
    return row.outputs or (row.output,)


def _level(around: Layer) -> Iterator[Problem]:
    rows = [row for row in around.children if row.executed]
    made = {around.id: around.inputs}
    read: set[int] = set()
    for row in rows:
        where = f"{row.name or 'network'} {row.type}"
        if len(row.reads) != len(row.inputs):
            yield Problem("reads", where, f"{len(row.inputs)} inputs, {len(row.reads)} rows read")
        for shape, source in zip(row.inputs, row.reads, strict=False):
            if source is None:
                continue
            read.add(source)
            if source not in made:
                yield Problem("reads", where, f"reads row {source}, which does not come before it")
            elif shape not in made[source]:
                yield Problem("reads", where, f"reads {shape}, row {source} makes {made[source]}")
        made[row.id] = _outputs(row)
    for row in rows[:-1]:
        if row.id not in read and not row.returned:
            yield Problem("unread", f"{row.name or 'network'} {row.type}", "nobody reads it")
    work = sum(row.macs * row.times for row in rows)
    if rows and work != around.macs:
        yield Problem("sum", around.name or "network", f"{work} MACs below, {around.macs} in all")


def _sides(row: Layer) -> Iterator[Problem]:
    before, after = row.layout_in, row.layout
    if before is None or after is None or _reads_values_as_places(before, after):
        return
    if any(_may_grow(below) for _, below in row.walk()):
        return
    for name, old, new in _grown(before, after):
        yield Problem("grows", f"{row.name or 'network'} {row.type}", f"{name} {old} → {new}")


def _reads_values_as_places(before: AxisLayout, after: AxisLayout) -> bool:
    """Return whether a row takes for places what stood side by side as values, such as the pixels of a patch."""
    pairs = zip(before.axes, after.axes, strict=False)
    return len(before.axes) == len(after.axes) and any(
        old == "channels" and new in ("rows", "columns") for old, new in pairs
    )


def _grown(before: AxisLayout, after: AxisLayout) -> list[tuple[str, int, int]]:
    sides = (("rows", before.rows, after.rows), ("columns", before.columns, after.columns))
    return [(name, old, new) for name, old, new in sides if old and new and new > old]


def _moves_apart(before: AxisLayout | None, after: AxisLayout | None) -> bool:
    """Return whether channels became places, as in a pixel shuffle: the map grew, and no value came in."""
    if before is None or after is None:
        return False
    return bool(_grown(before, after)) and _values(before) == _values(after)


def _values(layout: AxisLayout) -> int:
    """Return how many values a map has, without those beside its grid."""
    return (layout.rows or 1) * (layout.columns or 1) * (layout.frames or 1) * (layout.channels or 1)


def _may_grow(row: Layer) -> bool:
    if row.type in GROWS:
        return True
    if row.kind == "operation" and _moves_apart(row.layout_in, row.layout):
        return True
    if row.kind == "operation" and len(row.inputs) > 1 and row.output not in row.inputs:
        return True  # a column times a row
    padding, kernel = row.settings.get("padding", 0), row.settings.get("kernel_size", 1)
    if isinstance(padding, str):
        return False
    sides = (padding,) if isinstance(padding, int) else padding
    kernels = (kernel,) if isinstance(kernel, int) else kernel
    dilation = row.settings.get("dilation", 1)
    gap = dilation if isinstance(dilation, int) else max(dilation)
    return 2 * max(sides) > gap * (min(kernels) - 1)

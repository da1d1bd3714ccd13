"""The rows of a run put in order: those whose result nobody reads left out, chains of changes of the layout joined."""

from __future__ import annotations

from .node import Node


def tidy(root: Node) -> None:
    """Leave out operations whose result nobody reads, and join chains that only change the layout."""
    for child in root.children:
        if child.children:
            tidy(child)
    rows = root.children
    readers: dict[int, int] = {}
    for row in rows:
        for source in row.reads:
            if source is not None:
                readers[source.number] = readers.get(source.number, 0) + 1
    kept: list[Node] = []
    for row in reversed(rows):
        if row.is_module or row.macs or row.returned or readers.get(row.number):
            kept.append(row)
            continue
        for source in row.reads:
            if source is not None:
                readers[source.number] -= 1
    kept.reverse()
    joined: list[Node] = []
    for row in kept:
        before = row.reads[0] if row.is_layout and len(row.reads) == 1 else None
        if before is not None and before.is_layout and not before.returned and readers[before.number] == 1:
            _join(before, row)
            joined.remove(before)
        joined.append(row)
    root.children = joined


def _join(first: Node, second: Node) -> None:
    """Make one row of two that change the layout one after the other; the second stays."""
    second.inputs, second.reads = first.inputs, first.reads
    second.layouts = (first.layouts[0], second.layouts[1])
    if first.type != second.type:
        second.type = "rearrange"
        second.settings = {}

"""Shorter layer tables: equal neighbours folded into one row, rows left out, levels cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .layer import Layer


def fold(layer: Layer) -> Layer:
    """Fold neighbouring equal blocks into one row with ``times``, which keeps the last one's receptive field.

    Parameters, work and output bytes of a folded row stay those of *one* block.
    """
    return _folded(layer)[0]


def _folded(layer: Layer) -> tuple[Layer, tuple]:
    children: list[Layer] = []
    signatures: list[tuple] = []
    now: dict[int, int] = {}  # the row that a folded one has become
    last = None
    for child in layer.children:
        folded, signature = _folded(child)
        if folded.reads and now:
            folded = replace(folded, reads=tuple(now.get(read, read) if read else read for read in folded.reads))
        first = children[-1] if children else None
        if first is not None and last is not None and folded.children and signatures[-1] == signature:
            in_turn = _reads_the_one_before(child, last, first)
            if in_turn is not None and (first.times == 1 or first.in_turn == in_turn):
                now[child.id] = first.id
                last = child
                children[-1] = replace(
                    first,
                    times=first.times + 1,
                    receptive_field=child.receptive_field,
                    is_global=child.is_global,
                    global_along=child.global_along,
                    depth=child.depth,
                    returned=first.returned or child.returned,
                    in_turn=in_turn,
                )
                continue
        last = child
        children.append(folded)
        signatures.append(signature)
    return (replace(layer, children=tuple(children)) if layer.children else layer), _signature(layer, tuple(signatures))


def _signature(layer: Layer, below: tuple) -> tuple:
    """Return what two neighbours must share to be folded into one row: everything but their names, reads and receptive
    fields; ``below`` are the signatures of their children.
    """
    settings = tuple((key, str(value)) for key, value in layer.settings.items() if key != "rate")
    return (
        layer.kind,
        layer.type,
        layer.inputs,
        layer.output,
        layer.parameters,
        layer.macs,
        settings,
        layer.executed,
        layer.frozen,
        layer.shared,
        below,
    )


def _reads_the_one_before(row: Layer, before: Layer, first: Layer) -> bool | None:
    """Return True where ``row`` reads its neighbour in the place of what that one read, False where both read the same,
    None where they cannot be one row.
    """
    if row.reads == before.reads:
        return False
    pairs = zip(row.reads, before.reads, strict=True)
    return True if all(now in (before.id, was) for now, was in pairs) else None


def prune(layer: Layer, keep: Callable[[Layer], bool]) -> Layer:
    """Return the tree without leaves that ``keep`` rejects; a row with surviving children survives."""
    children = tuple(prune(child, keep) for child in layer.children)
    return replace(layer, children=tuple(c for c in children if c.children or keep(c)))


def cut(layer: Layer, depth: int) -> Layer:
    """Return the tree down to ``depth`` levels below this row."""
    if depth <= 0:
        return replace(layer, children=())
    return replace(layer, children=tuple(cut(child, depth - 1) for child in layer.children))

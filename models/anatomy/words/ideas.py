"""What a block does, named for its meaning: attention in windows, token mixing, squeeze-and-excitation, routing.

Blocks of the catalogue are known by their class, blocks of other networks by what is inside. What is not recognised is
told by its parts, or by the change of shape: neutral words that are true.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ..rows.layer import Layer
from .change import change
from .idea import Idea
from .ideas_by_class import CATALOGUE, Said
from .ideas_by_structure import of_operation, recognised, token_mixing
from .phrases import in_catalogue, of_one_row
from .quantities import kernel_of, times_text

MOST_IDEAS, MOST_PARTS, MOST_WINDOWS = 3, 6, 4
NUMBERS = {2: "two", 3: "three", 4: "four"}


def idea_of(layer: Layer) -> Idea | None:
    """Return the idea of one block, None where nothing is recognised on this level."""
    if layer.kind == "operation":
        return of_operation(layer)
    if not layer.executed or not layer.output:
        return None
    if in_catalogue(layer):
        known = CATALOGUE.get((layer.origin, layer.type)) or CATALOGUE.get(("", layer.type))
        if known is not None:
            return _said(known, layer) if isinstance(known, Said) else known(layer)
    if layer.base == "MultiheadAttention":
        words = of_one_row(layer) or "attention"
        return Idea("attention", words)
    if layer.base == "Linear" and not layer.children:
        return token_mixing(layer)
    if not layer.children:
        return None
    return recognised(layer)


def ideas_in(layer: Layer) -> list[str]:
    """Return the short names of the ideas in a block, each once, in the order in which they run."""
    own = idea_of(layer)
    if own is not None:
        return [own.short] if own.short else []
    found: list[str] = []
    for child in layer.children:
        if child.executed:
            found += [short for short in ideas_in(child) if short not in found]
    return found


def _said(said: Said, layer: Layer) -> Idea:
    """Return the idea of a block in fixed words, with the ideas inside it and the change of shape where it has them."""
    inside: list[str] = []
    for child in layer.children if said.with_change else ():
        inside += [name for name in ideas_in(child) if name not in (*inside, said.short)]
    told = f"{said.words}, {', '.join(inside)}" if inside else said.words
    names = ", ".join(filter(None, (said.short, *inside)))
    return Idea(names, f"{told}; {change(layer)}" if said.with_change else told)


def block_phrase(layer: Layer) -> str:
    """Return the phrase of a block: its idea, or those inside it and the change of shape."""
    own = idea_of(layer)
    if own is not None:
        return own.words
    inside = ideas_in(layer)
    if not inside:
        return _parts(layer) + change(layer)
    if len(layer.children) <= MOST_PARTS:
        inside = [_parts(layer).removesuffix("; "), *inside] if _parts(layer) else inside
    more = f" and {len(inside) - MOST_IDEAS} more" if len(inside) > MOST_IDEAS else ""
    return f"{', '.join(inside[:MOST_IDEAS])}{more}; {change(layer)}"


def _parts(layer: Layer) -> str:
    """Return the convolutions and poolings of a small block in words, "" where there is more to it."""
    told = [part for part in map(_part, _leaves(layer)) if part]
    if not any(part.endswith("convolution") for part in told) or len(told) > MOST_WINDOWS:
        return ""
    groups = [(part, len(list(equal))) for part, equal in groupby(told)]
    words = [part if count == 1 else f"{NUMBERS[count]} {part}s" for part, count in groups]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) + "; "


def _leaves(layer: Layer) -> Iterator[Layer]:
    """Yield the rows inside a block without parts of their own; what has an idea of its own is told by that."""
    for row in layer.children:
        if row.executed and not row.children:
            yield row
        elif row.executed and idea_of(row) is None:
            yield from _leaves(row)


def _part(row: Layer) -> str:
    kind = row.base or row.type
    if kind.lower().startswith("conv"):
        return f"{times_text(kernel_of(row))} convolution"
    if kind.lower().startswith(("maxpool", "max_pool", "avgpool", "avg_pool")):
        return f"{times_text(kernel_of(row))} pooling"
    return ""

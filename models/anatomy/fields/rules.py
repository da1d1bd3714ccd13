"""What all rules share: how they are registered, and how what they say is put together.

A rule is called as ``rule(fields, call)`` and returns what the outputs of the operation depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import spans
from .spans import Span
from .terms import Seen, Term, joined, reduced
from .tracked import Tracked

aten = torch.ops.aten


class Call(NamedTuple):
    """One operation as it ran: ``packet`` with its arguments, the tensors among them, and the tensors that it made."""

    packet: Any
    args: Any  # a tuple
    kwargs: dict
    inputs: list[Tensor]
    outputs: list[Tensor]


Rule = Callable[[Tracked, Call], "Seen | list[Seen | None]"]
RULES: dict[Any, Rule] = {}
WEIGHTED = {aten.convolution, aten.addmm, aten.mm, aten.bmm, aten.baddbmm}
BY_VALUE = "picks places by their values"


def rule(*packets: Any) -> Callable[[Rule], Rule]:
    """Register a rule for some operations."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(packets, function))
        return function

    return register


def operation(*names: str) -> list[Any]:
    """Return the operations of PyTorch with these names, as far as the installed version has them."""
    return [getattr(aten, name) for name in names if hasattr(aten, name)]


NO_IMAGE = "its input is no image"
"""Why no field is told of what a network makes of a vector or a signal. What is made of an image as well has that field."""


def made(
    sources: Sequence[Seen], terms: Iterable[Sequence[Term]], weighted: bool = False, everywhere: bool = False
) -> Seen:
    """Return what values depend on that are made of ``sources`` through ``terms``; ``everywhere``: of all places, too.

    Where something local remains, what has none (a gate) is no part of the depth.
    """
    found, reached = joined(terms)
    is_global = everywhere or reached or any(seen.is_global for seen in sources)
    main = [seen for seen in sources if seen.terms] or sources
    depth = max(seen.depth for seen in main) + weighted
    unknown = next((seen.unknown for seen in sources if seen.unknown not in ("", NO_IMAGE)), "")
    if not unknown and sources and all(seen.unknown == NO_IMAGE for seen in sources):
        unknown = NO_IMAGE
    before = () if any(term.is_local for term in found) else main
    return Seen(found, is_global, depth, before, unknown)


def unknown(sources: Sequence[Seen], reason: str) -> Seen:
    """Return what can be said of values whose places are not known."""
    first = next((seen.unknown for seen in sources if seen.unknown), reason)
    return Seen((), any(s.is_global for s in sources), max(s.depth for s in sources), unknown=first)


def name_of(packet: Any) -> str:
    """Return the name of an operation without its library: "grid_sampler_2d"."""
    return packet._qualified_op_name.split("::")[-1]


def moved(seen: Seen, function: Callable[..., Span], *args: Any) -> Seen:
    """Return what values depend on that were only moved; ``function(span, *args)`` tells where they are now."""
    terms = []
    for term in seen.terms:
        rows = None if term.rows is None else function(term.rows, *args)
        columns = None if term.columns is None else function(term.columns, *args)
        terms.append(Term(rows, term.row_line, columns, term.column_line))
    if all(new.rows is old.rows and new.columns is old.columns for new, old in zip(terms, seen.terms, strict=True)):
        return seen
    return Seen(tuple(terms), seen.is_global, seen.depth, (seen,), seen.unknown)


def without_empty(seen: Seen) -> Seen:
    """Return the same without terms of which no value is left: after a slice, say, that takes the class token."""

    def is_left(span: Span | None) -> bool:
        return span is None or span.last is span.first or spans.ends(span) is not None

    terms = tuple(term for term in seen.terms if is_left(term.rows) and is_left(term.columns))
    if len(terms) == len(seen.terms):
        return seen
    return Seen(terms, seen.is_global, seen.depth, seen.before, seen.unknown)


def with_axes(seen: Seen, tensor: Tensor, dimensions: int) -> tuple[Term, ...]:
    """Return the terms of an operand for a result with ``dimensions`` axes, as broadcasting lines them up."""
    if tensor.ndim == dimensions or not seen.terms:
        return seen.terms
    return moved(seen, spans.lifted, dimensions).terms


def normal(axes: Any, dimensions: int) -> tuple[int, ...]:
    """Return axes as sorted numbers from 0; all where none are named."""
    if axes is None or (isinstance(axes, list | tuple) and not axes):
        return tuple(range(dimensions))
    axes = (axes,) if isinstance(axes, int) else axes
    return tuple(sorted({axis % dimensions for axis in axes})) if dimensions else ()


def has_place(seen: Seen, axes: tuple[int, ...]) -> bool:
    """Return whether places lie along one of the axes."""
    return any(
        span is not None and any(axis in axes for axis in span.axes)
        for term in seen.terms
        for span in (term.rows, term.columns)
    )


def over(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on that are made of all values along ``axes``, which stay with length 1."""
    if not has_place(seen, axes):
        return seen
    return made([seen], [[less for term in seen.terms if (less := reduced(term, axes)) is not None]])


def without_grids(less: Seen, seen: Seen) -> Seen:
    """Return ``less`` without terms that go from end to end of the map, where another term reaches all of it.

    Such a term has gaps, as attention in grids makes them. All values together fill them, which no term tells.
    """

    def has_gaps(term: Term) -> bool:
        axes = ((term.rows, term.row_line), (term.columns, term.column_line))
        return all(
            span is not None and line is not None and (found := spans.ends(span)) is not None
            and found[0] <= 0 and found[1] >= line.places - 1
            for span, line in axes
        )  # fmt: skip

    kept = tuple(term for term in less.terms if not has_gaps(term)) if less.is_global else less.terms
    if len(kept) == len(less.terms):
        return less
    return Seen(kept, True, less.depth, () if any(term.is_local for term in kept) else (seen,), less.unknown)


def beside_all(seen: Seen, axes: tuple[int, ...]) -> Seen:
    """Return what values depend on that are made of the value at their position and of all along ``axes``: a norm."""
    if not has_place(seen, axes):
        return seen
    less = over(seen, axes)
    return made([seen], [seen.terms, less.terms], everywhere=less.is_global)

"""What a tensor depends on: terms, each a way through places of the image, and how they join and grow.

Terms stay apart where their values must not be mixed: in the product of queries and keys one term tells the place of the
query and one that of the key, so that the sum over all keys reaches every place and still belongs to its query.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import lines, spans
from .lines import Line
from .spans import Span


class Term(NamedTuple):
    """One way in which values depend on the image: through which places, and what these see, along both its axes.

    An axis has neither span nor line where all of its places are reached.
    """

    rows: Span | None
    row_line: Line | None
    columns: Span | None
    column_line: Line | None

    @property
    def is_local(self) -> bool:
        """Whether no axis of the image is reached as a whole."""
        return self.rows is not None and self.columns is not None


class Seen:
    """What the values of one tensor depend on: the sum of its ``terms``.

    ``is_global``: besides, some path reached every place. ``before``: what entered the operation; its field stays where
    no local term is left. ``told``: the same in figures, once somebody asked.
    """

    __slots__ = ("_field", "before", "depth", "is_global", "terms", "told", "unknown")

    def __init__(
        self, terms: tuple[Term, ...], is_global: bool, depth: int, before: Sequence[Seen] = (), unknown: str = ""
    ) -> None:
        self.terms, self.is_global, self.depth, self.before, self.unknown = terms, is_global, depth, before, unknown
        self._field: tuple[int, int] | None = None
        self.told: Any = None

    @property
    def field(self) -> tuple[int, int]:
        """Height and width of the widest local view; where all paths reach one axis alone as a whole, along the other.

        An axis along which no view is left keeps what entered.
        """
        if self._field is None:
            along_one = () if self.is_global else self.terms
            terms = [term for term in self.terms if term.is_local] or along_one
            before = [seen.field for seen in self.before] or [(1, 1)]
            heights = [extent(term.rows, term.row_line) for term in terms if term.rows is not None]
            widths = [extent(term.columns, term.column_line) for term in terms if term.columns is not None]
            self._field = (
                max(heights or [height for height, _ in before]),
                max(widths or [width for _, width in before]),
            )
        return self._field

    @property
    def global_along(self) -> str:
        """The axes of the image that are reached as a whole, each by itself, where not every place is reached."""
        if self.is_global or self.unknown:
            return ""
        whole = {"height": any(t.rows is None for t in self.terms), "width": any(t.columns is None for t in self.terms)}
        return " and ".join(axis for axis, is_whole in whole.items() if is_whole)


def extent(span: Span, line: Line | None) -> int:
    """Return how many pixels the value with the widest view sees along one axis."""
    assert line is not None, "an axis with places has a line"
    return lines.size(line) if spans.is_single(span) else _extent(span, line)


@lru_cache(4096)
def _extent(span: Span, line: Line) -> int:
    real = span.first <= span.last
    first, last = span.first[real], span.last[real]
    shift, period = line.shift, line.period
    lo, hi = np.array(line.lo), np.array(line.hi)
    if shift < 0:
        first, last = last, first
    low = lo[first % period] + first // period * shift
    high = hi[last % period] + last // period * shift
    return int((high - low).max()) + 1 if low.size else 1


def joined(sources: Iterable[Sequence[Term]]) -> tuple[tuple[Term, ...], bool]:
    """Return the terms of values that depend on all of ``sources``, and whether together they reach every place."""
    every = [term for terms in sources for term in terms]
    found = _merged(every)
    if len(found) > 1 and len(every) > 2:
        # A map that was rolled joins another rolled one, but not what a plain map and a third have become.
        again = _merged(sorted(every, key=_is_plain))
        found = again if len(again) < len(found) else found
    reaches_all = False
    if any(term.rows is None and term.columns is None for term in found):
        found = [term for term in found if term.rows is not None or term.columns is not None]
        reaches_all = True
    return tuple(found), reaches_all


def _merged(terms: Iterable[Term]) -> list[Term]:
    found: list[Term] = []
    for term in terms:
        for i, other in enumerate(found):
            one = _one_term(other, term)
            if one is not None:
                found[i] = one
                break
        else:
            found.append(term)
    return found


def _is_plain(term: Term) -> bool:
    return all(span is None or span.plain >= 0 for span in (term.rows, term.columns))


def _one_term(a: Term, b: Term) -> Term | None:
    """Return one term for two; None where they have to stay apart."""
    if a is b:
        return a
    is_square = a.row_line is a.column_line and b.row_line is b.column_line  # as nearly always
    if is_square and a.rows is b.rows and a.columns is b.columns and a.row_line and b.row_line:
        line = lines.hull(a.row_line, b.row_line)
        return None if line is None else Term(a.rows, line, a.columns, line)
    if (a.rows is None) != (b.rows is None) or (a.columns is None) != (b.columns is None):
        return None
    rows = _one_axis(a.rows, a.row_line, b.rows, b.row_line)
    if rows is None:
        return None
    columns = _one_axis(a.columns, a.column_line, b.columns, b.column_line)
    return None if columns is None else Term(*rows, *columns)


Axis = tuple[Span | None, Line | None]


def _one_axis(a: Span | None, line_a: Line | None, b: Span | None, line_b: Line | None) -> Axis | None:
    if a is None or b is None or line_a is None or line_b is None:
        return None, None
    if a is b:
        line = lines.hull(line_a, line_b)
        return None if line is None else (a, line)
    if line_a == line_b:
        span = spans.union(a, b)
        if span is None:
            return None
        for one in (a, b):
            if one.axes and one.axes == span.axes and spans.is_single(one) and (taps := spans.seen_from(one, span)):
                return one, lines.through(line_a, taps, line_a.places)
        return as_map(span, line_a)
    a, line_a = as_map(a, line_a)
    b, line_b = as_map(b, line_b)
    if a is not b or a is None or line_a is None or line_b is None:
        return None
    line = lines.hull(line_a, line_b)
    return None if line is None else (a, line)


def as_map(span: Span | None, line: Line | None) -> Axis:
    """Return the same as a plain map, where it is one: its places see what the values that were there saw.

    Where no place is left besides, all of them may have been reached.
    """
    if span is None or line is None or span.plain >= 0:
        return span, line
    axis = next(iter(span.axes), None)
    if axis is None:
        ends = spans.ends(span)
        if ends and ends[0] != ends[1] and lines.covers(line, *ends, 1):
            return None, None
        return span, line
    if len(span.axes) > 1 or span.first.size > 4 * line.places:  # no axis of a map: tokens in rows, say
        return span, line
    taps = spans.pattern(span, line.places)
    if taps is None or taps.step <= 0:
        return span, line
    if span.first.min() >= taps.step or span.last.max() <= line.places - 1 - taps.step:
        return span, line
    places = span.first.size
    return spans.grid(span.dimensions, axis, places), lines.through(line, taps, places)


def reduced(term: Term, axes: tuple[int, ...]) -> Term | None:
    """Return the term of values that are made of all values along ``axes``, which stay with length 1.

    None where nothing along them belongs to a place.
    """
    rows, row_line = _reduced_axis(term.rows, term.row_line, axes)
    columns, column_line = _reduced_axis(term.columns, term.column_line, axes)
    if any(span is not None and span.last is not span.first and spans.ends(span) is None for span in (rows, columns)):
        return None
    if rows is None and columns is not None and not columns.axes:
        columns, column_line = as_map(columns, column_line)
    elif columns is None and rows is not None and not rows.axes:
        rows, row_line = as_map(rows, row_line)
    return Term(rows, row_line, columns, column_line)


def over_channels(term: Term, axis: int) -> Term | None:
    """Return the term of values that are made of all channels, along which places lie.

    Rows alone as channels are a window as high as they are: the columns stay apart. So the extent is kept, all or not.
    """
    rows, columns = term.rows, term.columns
    if rows is None or columns is None or (axis in rows.axes) == (axis in columns.axes):
        return reduced(term, (axis,))
    if axis in rows.axes:
        return Term(spans.reduced(rows, (axis,)), term.row_line, columns, term.column_line)
    return Term(rows, term.row_line, spans.reduced(columns, (axis,)), term.column_line)


def _reduced_axis(span: Span | None, line: Line | None, axes: tuple[int, ...]) -> Axis:
    if span is None or line is None or not any(axis in axes for axis in span.axes):
        return span, line
    along = tuple(axis for axis in span.axes if axis in axes)
    less = spans.reduced(span, along)
    ends = spans.ends(less)
    if ends and 2 * (ends[1] - ends[0] + 1) >= line.places and lines.covers(line, *ends, spans.gap(span, along)):
        return None, None
    return less, line

"""Draws a chart with plotext: for the overview of a run and the form of the app, and for the plain terminal.

Callers pass plain data; a gap in a curve is a NaN. Whatever comes in, the numbers that go to the library can be plotted.
No Textual and no numpy; plotext is imported when the first chart is drawn.
"""

from __future__ import annotations

import math
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...models.catalogue.share_text import share_text
from ...trainer.common.text_safe import clean, width
from . import markers, ticks

SIGNS = {
    "raw": "·.",
    "train": "⠤#",
    "validation": "•o",
    "test": f"{markers.sign('test')}{markers.sign('test', ascii=True)}",
    "best": f"{markers.sign('best')}{markers.sign('best', ascii=True)}",
    "diverged": f"{markers.sign('diverged')}{markers.sign('diverged', ascii=True)}",
}
"""The sign of each kind of line, and what it is in ASCII. Lines differ by more than colour."""
POINTS = ("validation", "test", "best", "diverged")
"""Each value of these is marked with its sign."""
UNJOINED = ("test", "best", "diverged")
"""Single values, through which no line goes."""
BRAILLE = "braille"
SMALLEST = (16, 4)
FRAME_ROWS = 2
"""Of the x axis and its numbers."""
LEGEND_PART = 4
"""at most one line in so many of a chart is for its legend."""
SIGN_COLUMNS = 4
"""The signs on a line are at least about so many columns apart, so that the line between them is seen."""
GAP = math.nan
LEAST, LEAST_SHARE = 1e-6, 0.01
"""How far an axis reaches, at least, to both sides of a single value."""
_IN_ASCII = str.maketrans("─│┌┐└┘├┤┬┴┼·…›", "-|+++++++++.~>")
_CODES = re.compile(r"\x1b\[[0-9;]*m")
_PALETTE_CODE = re.compile(r"(?<=\x1b\[)38;5;(\d|1[0-5])(?=m)")

Colour = tuple[int, int, int] | int
"""Red, green and blue; or the number of one of the terminal's own sixteen colours."""
TERMINAL_COLOURS: Mapping[str, Colour] = {
    "raw": 8,
    "train": 6,
    "validation": 3,
    "test": 2,
    "best": 5,
    "diverged": 1,
}
TERMINAL_RUNS: tuple[Colour, ...] = (6, 3, 2, 5, 4, 1)


@dataclass(frozen=True)
class PlottedLine:
    """One curve. ``role`` says how it is drawn: a key of SIGNS. "raw" lies behind the others.

    ``slot`` is the number of the run where there are several, whose sign and colour the line then has.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    role: str = "train"
    slot: int | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(math.isfinite(y) for y in self.ys)

    def sign(self, ascii: bool) -> str:
        """Return the sign of the line, that of its run where there are several."""
        if self.slot is not None and self.role in ("train", "validation"):
            return markers.marker(self.slot, self.role, ascii)
        return SIGNS[self.role][ascii]

    def place_sign(self, ascii: bool) -> str:
        """Return the sign as it stands in the legend for one place: with the marker of its run, where there are several."""
        run = markers.marker(self.slot or 0, "train", ascii) if self.is_shared_sign else ""
        return self.sign(ascii) + run

    @property
    def is_shared_sign(self) -> bool:
        """Whether the legend names the sign for all runs: each has it with its own marker beside."""
        return self.slot is not None and self.role in UNJOINED


Behind = dict[int, int]
"""The numbers of lines whose sign is not drawn, and of each the line whose sign stands in its cell."""


@dataclass(frozen=True)
class ChartData:
    """What one chart shows. ``log`` asks for a logarithmic y axis, ``shares`` for one in per cent.

    ``log_x``: the places on the x axis are log10 of what its numbers say.
    ``y_range`` fixes the axis. ``empty`` is shown instead of a chart without values.
    """

    title: str
    x_label: str
    lines: tuple[PlottedLine, ...]
    log: bool = False
    log_x: bool = False
    shares: bool = False
    y_range: tuple[float, float] | None = None
    note: str = ""
    empty: str = "no values"


@dataclass(frozen=True)
class ChartStyle:
    """How a chart looks. ``colours`` by role and ``runs`` by slot are empty where none are wanted."""

    ascii: bool = False
    colours: Mapping[str, Colour] | None = None
    runs: tuple[Colour, ...] = ()

    def colour(self, line: PlottedLine) -> Colour | None:
        """Return the colour of a line; None without colours."""
        if self.colours is None:
            return None
        if line.slot is not None and self.runs:
            return self.runs[line.slot % len(self.runs)]
        return self.colours.get(line.role)


def new_figure() -> Any:  # Any: plotext is without types
    """Return a figure of plotext of one's own: the functions of the library share one that is global."""
    from plotext._figure import _figure_class

    return _figure_class()


def canvas_columns(width: int) -> int:
    """Return how many columns of cells the curves have in a chart of that width."""
    return max(width - markers.GUTTER, 1)


def draw(figure: Any, data: ChartData, size: tuple[int, int], style: ChartStyle) -> str:
    """Return a chart as lines of text with ANSI colours, without them where the style has none. Never raises.

    There are as many lines as ``size`` has rows, or fewer; none is longer than it is wide.
    """
    columns, rows = size
    if columns < SMALLEST[0] or rows < SMALLEST[1]:
        return "no room"[: max(columns, 0)]
    lines = [line for line in (_prepared(line, data.log) for line in data.lines) if not line.empty]
    if not lines:
        title = _title(data, lines, style, columns, max(rows // LEGEND_PART, 1))
        return "\n".join([*title, *textwrap.wrap(_why_empty(data), columns)][:rows])
    title, plot_rows = _laid_out(data, lines, size, style)
    try:
        plotted = _plotted(figure, data, lines, (columns, plot_rows), style)
    except Exception:  # the library raises what it likes, and that must not end the program
        plotted = "the library that draws charts cannot draw these values"[:columns]
    return "\n".join([*title, plotted])


def _laid_out(
    data: ChartData, lines: Sequence[PlottedLine], size: tuple[int, int], style: ChartStyle
) -> tuple[list[str], int]:
    """Return the title, and how many rows are left for the curves.

    The title says which signs of places are behind others, and that depends on the rows that it leaves.
    """
    columns, rows = size
    behind: Behind = {}
    count = 0
    while True:
        title = _title(data, lines, style, columns, max(rows // LEGEND_PART, 1), behind)
        if len(title) <= count:
            return title, rows - count
        count = len(title)
        behind = _behind(data, lines, (columns, rows - count))


def _prepared(line: PlottedLine, log: bool) -> PlottedLine:
    ys = log_values(line.ys) if log else sanitise(line.ys)
    return PlottedLine(line.label, line.xs, ys, line.role, line.slot)


def _why_empty(data: ChartData) -> str:
    if data.log and any(not line.empty for line in data.lines):
        return "no positive value, so no logarithmic axis"
    return data.empty


def _title(
    data: ChartData,
    lines: Sequence[PlottedLine],
    style: ChartStyle,
    columns: int,
    max_count: int,
    behind: Behind | None = None,
) -> list[str]:
    """Return name, axis and legend in up to ``max_count`` lines: ``loss (log) over epochs  ⠤ train  • validation``.

    A sign that is not seen because another one stands in its cell comes early, as nothing else tells of it. Where not all
    has room, first the name of the axis is left out, then what is last in the legend, with a sign for it.
    """
    name = data.title + (" (log)" if data.log else "")
    legend = [(_cut(data.note, columns - 2), "1;7")] if data.note else []
    hidden = [
        (_place_text(data, lines[number], lines[other], style.ascii), "") for number, other in (behind or {}).items()
    ]
    shown = [line for number, line in enumerate(lines) if line.is_shared_sign or number not in (behind or {})]
    named = [
        (f"{line.sign(style.ascii)} {line.label}", "" if line.is_shared_sign else _code(style.colour(line)))
        for line in sorted(shown, key=lambda line: (line.role == "raw", line.is_shared_sign))
        if line.label
    ]
    # Of several runs the names come before: without them no marker says anything.
    names = sum(line.slot is not None and not line.is_shared_sign for line in shown if line.label)
    legend += [*named[:names], *hidden, *named[names:]]
    legend = [(_ascii(label) if style.ascii else label, code) for label, code in legend]
    if data.x_label:
        long = f"{name} over {data.x_label}"
        rows, whole = _packed([(_cut(long, columns), "1"), *legend], style, columns, max_count)
        if whole:
            return rows
    parts = [(_cut(name, columns), "1"), *legend]
    rows, whole = _packed(parts, style, columns, max_count)
    if whole:
        return rows
    more = f" {markers.sign('more', style.ascii)}"
    rows = _packed(parts, style, columns - len(more), max_count)[0]
    return [*rows[:-1], rows[-1] + more] if rows else []


def _place_text(data: ChartData, line: PlottedLine, other: PlottedLine, ascii: bool) -> str:
    """Return the words for a sign behind another one: ``✚ test 0.25 at ★``; of several runs ``✚◆ 0.25 at ★●``."""
    value = 10 ** line.ys[0] if data.log else line.ys[0]
    said = share_text(value, 1) if data.shares else f"{value:.4g}"
    if line.slot is None and line.label:
        said = line.label
    return f"{line.place_sign(ascii)} {said} at {other.place_sign(ascii)}"


def _packed(
    parts: Sequence[tuple[str, str]], style: ChartStyle, columns: int, max_count: int
) -> tuple[list[str], bool]:
    """Return texts with their colour codes in up to ``max_count`` lines, and whether all had room."""
    rows, room, whole = [""], columns, True
    for text, code in parts:
        gap = "  " if rows[-1] else ""
        if width(gap + text) > room and len(rows) < max_count:
            rows.append("")
            gap, room = "", columns
        if width(gap + text) > room:
            whole = False
            continue
        rows[-1] += gap + (text if style.colours is None or not code else f"\x1b[{code}m{text}\x1b[0m")
        room -= width(gap + text)
    return [row for row in rows if row], whole


def _cut(text: str, columns: int) -> str:
    text = clean(text)
    return text if len(text) <= columns else text[: max(columns, 0)]


def _code(colour: Colour | None) -> str:
    """Return the numbers of the escape sequence for a colour."""
    if colour is None:
        return ""
    return _palette_code(colour) if isinstance(colour, int) else "38;2;{};{};{}".format(*colour)


def _palette_code(number: int) -> str:
    """Return the numbers for one of sixteen colours as each terminal knows them: 36, or 96 for a bright one."""
    return str(30 + number if number < 8 else 82 + number)


def _plotted(
    figure: Any, data: ChartData, lines: Sequence[PlottedLine], size: tuple[int, int], style: ChartStyle
) -> str:
    columns, rows = size
    figure.clear_figure()
    figure.plotsize(columns, rows)
    figure._set_size(columns, rows)  # plotsize alone is limited to the terminal that plotext finds
    for paint in (figure.canvas_color, figure.axes_color, figure.ticks_color):
        paint("default")
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    behind = _behind(data, lines, size)
    x_limits, y_limits = _x_limits(lines), _y_limits(data, lines)
    # The signs of places come last, so that no curve hides them.
    seen = [line for number, line in enumerate(lines) if number not in behind]
    for line in sorted(seen, key=lambda line: (line.role != "raw", line.role in UNJOINED)):
        xs, ys = [_part(x, x_limits) for x in line.xs], [_part(y, y_limits) for y in line.ys]
        _plot_line(figure, replace(line, xs=xs, ys=ys), style, max(columns // SIGN_COLUMNS, 1))
    _axes(figure, data, (x_limits, y_limits), size)
    drawn = figure.build().rstrip("\n")
    if style.ascii:
        drawn = _ascii(drawn)
    if style.colours is None:
        return _CODES.sub("", drawn)
    # plotext writes them as numbers of 256 colours, which a terminal with sixteen does not know.
    return _PALETTE_CODE.sub(lambda found: _palette_code(int(found[1])), drawn)


def _behind(data: ChartData, lines: Sequence[PlottedLine], size: tuple[int, int]) -> Behind:
    """Return which signs of places are not drawn, since another one stands in their cell: that other one of each.

    A sign is never moved, because in another row or column it would tell another value or another epoch. The star is
    drawn first. A sign with the marker of its run beside it needs the cells of both, and one that parts it from the next.
    """
    if sum(line.role in UNJOINED for line in lines) < 2:
        return {}
    x_limits, y_limits = _x_limits(lines), _y_limits(data, lines)
    labels = _y_ticks(data, y_limits, size[1])[1]
    across = size[0] - 1 - max((len(label) for label in labels), default=0)
    taken: dict[tuple[int, int], int] = {}
    behind: Behind = {}
    for number, line in sorted(enumerate(lines), key=lambda pair: pair[1].role != "best"):
        if line.role not in UNJOINED:
            continue
        part = _part(line.xs[0], x_limits)
        column, row = _cell(part, across), _cell(_part(line.ys[0], y_limits), size[1] - FRAME_ROWS)
        inwards = 1 if part <= 0.5 else -1
        cells = [(column, row), (column + inwards, row), (column + 2 * inwards, row)][: 3 if line.is_shared_sign else 1]
        other = next((taken[cell] for cell in cells if cell in taken), None)
        if other is None:
            taken.update(dict.fromkeys(cells, number))
        else:
            behind[number] = other
    return behind


def _cell(part: float, cells: int) -> int:
    """Return the cell, of so many, in which plotext sets a part of an axis, 0 to 1."""
    return math.floor(round(0.5 + (cells - 1) * part, 8))


def _part(value: float, limits: tuple[float, float]) -> float:
    """Return where a value is on an axis, 0 to 1. Halves, because the span of an axis can be too large for a number."""
    low, high = limits
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def _plot_places(figure: Any, line: PlottedLine, style: ChartStyle) -> None:
    """Set the sign of a place with the marker of its run beside it, towards the middle of the chart."""
    sign, run = line.sign(style.ascii), markers.marker(line.slot or 0, "train", style.ascii)
    for x, y in zip(line.xs, line.ys, strict=True):
        text, side = (sign + run, "left") if x <= 0.5 else (run + sign, "right")
        figure.text(text, x=x, y=y, color=style.colour(line), alignment=side)


def _plot_line(figure: Any, line: PlottedLine, style: ChartStyle, max_signs: int) -> None:
    xs, ys = list(line.xs), list(line.ys)
    sign, colour = line.sign(style.ascii), style.colour(line)
    several = line.slot is not None
    stroke = BRAILLE
    if line.role == "raw":
        stroke = sign
    elif style.ascii:
        # Between the values of a run that is alone; of several, each has its own letter all along.
        stroke = "-" if line.role == "validation" and not several else sign
    if line.role not in UNJOINED:
        figure.plot(xs, ys, marker=stroke, color=colour)
    if line.is_shared_sign:
        _plot_places(figure, line, style)
    elif line.role in POINTS or several:
        every = -(-len(xs) // max_signs)
        figure.scatter(xs[::every], ys[::every], marker=sign, color=colour)


def _axes(
    figure: Any, data: ChartData, limits: tuple[tuple[float, float], tuple[float, float]], size: tuple[int, int]
) -> None:
    """Set the axes. plotext is given parts of them, 0 to 1: it cannot hold the distance of numbers as large as 1e308."""
    columns, rows = size
    for limit, set_limits, set_ticks, (places, labels) in (
        (limits[1], figure.ylim, figure.yticks, _y_ticks(data, limits[1], rows)),
        (limits[0], figure.xlim, figure.xticks, ticks.value_ticks(*limits[0], max(columns // 12, 2), log=data.log_x)),
    ):
        set_limits(0.0, 1.0)
        set_ticks([_part(place, limit) for place in places], labels)


def _y_ticks(data: ChartData, limits: tuple[float, float], rows: int) -> tuple[list[float], list[str]]:
    # With more, two would be in one row of cells, and one of them would not be seen.
    max_count = max(min(max(rows // 3, 3), rows - FRAME_ROWS - 2), 1)
    return ticks.value_ticks(*limits, max_count, log=data.log, shares=data.shares)


def _x_limits(lines: Sequence[PlottedLine]) -> tuple[float, float]:
    xs = [x for line in lines for x in line.xs if math.isfinite(x)]
    return _widened((min(xs), max(xs)))


def _y_limits(data: ChartData, lines: Sequence[PlottedLine]) -> tuple[float, float]:
    """Return the limits of the y axis, which go where values can be: nothing is over 100 %, no loss below 0 by itself."""
    given = data.y_range or finite_range(lines) or (0.0, 1.0)
    low, high = _widened(given, LEAST_SHARE if data.shares and not data.log else LEAST)
    if not data.log:
        low = max(low, 0.0) if given[0] >= 0 else low
        high = min(high, 1.0) if data.shares and given[1] <= 1 else high
    return low, high


def _ascii(text: str) -> str:
    return text.translate(_IN_ASCII).encode("ascii", "replace").decode()


def _widened(limits: tuple[float, float], least: float = LEAST) -> tuple[float, float]:
    """Widen limits that are equal: an axis needs some extent, even for a single value."""
    low, high = limits
    margin = max(abs(low) * 0.1, least) if high - low < 1e-12 else 0.0
    return max(low - margin, -sys.float_info.max), min(high + margin, sys.float_info.max)


def sanitise(values: Sequence[float]) -> list[float]:
    """Return the values with infinities as gaps, since no axis can hold them."""
    return [value if math.isfinite(value) else GAP for value in values]


def log_values(values: Sequence[float]) -> list[float]:
    """Return log10 of the positive values; zero, negative and infinite ones become gaps."""
    return [math.log10(value) if 0 < value < math.inf else GAP for value in values]


def finite_range(lines: Sequence[PlottedLine]) -> tuple[float, float] | None:
    """Return the smallest and largest finite y of all lines; None where there is none."""
    values = [y for line in lines for y in line.ys if math.isfinite(y)]
    return (min(values), max(values)) if values else None

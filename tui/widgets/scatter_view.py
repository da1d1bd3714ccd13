"""Networks as points on two axes; the cursor goes from point to point."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from ...models.catalogue.registry import Variant
from ..core import key_bindings
from ..networks import catalogue_list, scatter
from ..networks.scatter import PAIRS, Plot
from .repaint import LineDrawn

LABEL_CELLS = 8
FOOT_LINES = 2
POINT, SEVERAL, CURSOR, MARKED = "·", "•", "◉", "◆"


class ScatterView(LineDrawn, can_focus=True):
    """``pair`` names the axes. A cell with several networks shows a bigger point."""

    BINDINGS: ClassVar = key_bindings.bindings("chart")
    PLACES: ClassVar = ("chart",)
    TERMS: ClassVar = ("year", "MACs", "params", "published", POINT, SEVERAL, CURSOR, MARKED)
    COMPONENT_CLASSES: ClassVar = {"scatter--axis", "scatter--cursor", "scatter--point"}

    @dataclass
    class Moved(Message):
        """The cursor is on another network."""

        key: str

    @dataclass
    class Chosen(Message):
        """Enter was pressed."""

        key: str

    def __init__(self) -> None:
        super().__init__(id="scatter")
        self.key = ""
        self.pair = next(iter(PAIRS))
        self._variants: tuple[Variant, ...] = ()
        self._marked: frozenset[str] = frozenset()
        self._plot: tuple[Size, Plot] | None = None

    def show(self, variants: Sequence[Variant], cursor: str, marked: Collection[str]) -> None:
        """Show these networks."""
        self._variants, self._marked = tuple(variants), frozenset(marked)
        self._plot = None
        self.key = cursor
        self.refresh()

    @property
    def plot(self) -> Plot:
        """The points as they are placed now."""
        if self._plot is None or self._plot[0] != self.size:
            columns, rows = self.size.width - LABEL_CELLS - 2, self.size.height - FOOT_LINES - 1
            self._plot = (self.size, scatter.place(self._variants, self.pair, columns, rows))
        return self._plot[1]

    def action_go(self, across: int, down: int) -> None:
        self._go(scatter.neighbour(self.plot, self.key, (across, down)))

    def _go(self, name: str) -> None:
        if name and name != self.key:
            self.key = name
            self.refresh()
            self.post_message(self.Moved(name))

    def action_axes(self) -> None:
        """Change to the next pair of axes."""
        self.pair = catalogue_list.following(self.pair, PAIRS)
        self._plot = None
        self.refresh()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.key))

    def on_click(self, event) -> None:
        nearest = min(
            self.plot.points,
            key=lambda p: (p.column + LABEL_CELLS + 1 - event.x) ** 2 + 4 * (p.row + 1 - event.y) ** 2,
            default=None,
        )
        if nearest is not None:
            self._go(nearest.name)

    def render_line(self, y: int) -> Strip:
        base, width, height = self.base_style, self.size.width, self.size.height
        plot, rows = self.plot, height - FOOT_LINES - 1
        axis = base + self.get_component_rich_style("scatter--axis")
        x_axis, y_axis = PAIRS[self.pair]
        if y == 0:
            missing = f"  ({plot.missing} without a figure)" if plot.missing else ""
            return Strip([Segment(f"{y_axis.title} over {x_axis.title}{missing}", axis)]).adjust_cell_length(
                width, base
            )
        if y == height - 2:
            return self._ticks_line(plot, axis, width)
        if y == height - 1 or not plot.points:
            text = self.key if plot.points else "no network has all these words"
            return Strip([Segment(text if y in (1, height - 1) else "", axis)]).adjust_cell_length(width, base)
        label = next((text for row, text in plot.y_ticks if row == y - 1), "")
        segments = [Segment(f"{label:>{LABEL_CELLS}}│", axis)]
        cells = self._cells(plot, y - 1)
        last = -1
        for column in sorted(cells):
            sign, kind = cells[column]
            segments.append(Segment(" " * (column - last - 1), base))
            segments.append(Segment(sign, base + self.get_component_rich_style(f"scatter--{kind}")))
            last = column
        assert rows >= 0
        return Strip(segments).adjust_cell_length(width, base)

    def _cells(self, plot: Plot, row: int) -> dict[int, tuple[str, str]]:
        """Return sign and style of each filled cell of a row."""
        cells: dict[int, tuple[str, str]] = {}
        for point in plot.points:
            if point.row != row:
                continue
            if point.name == self.key:
                cells[point.column] = (CURSOR, "cursor")
            elif cells.get(point.column, ("",))[0] != CURSOR:
                sign = MARKED if point.name in self._marked else SEVERAL if point.column in cells else POINT
                cells[point.column] = (sign, "point")
        return cells

    def _ticks_line(self, plot: Plot, style, width: int) -> Strip:
        line = [" "] * width
        for column, text in plot.x_ticks:
            start = min(LABEL_CELLS + 1 + column, width - len(text))
            if start >= 0 and all(cell == " " for cell in line[max(start - 1, 0) : start + len(text)]):
                line[start : start + len(text)] = text
        return Strip([Segment("".join(line), style)])

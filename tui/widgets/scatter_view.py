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

FOOT_LINES = 3
"""The numbers of the x axis, the legend, and what the cursor is on."""
POINT, SEVERAL, CURSOR, MARKED = "·", "•", "◉", "◆"
LEGEND = f"{POINT} one  {SEVERAL} several  {CURSOR} cursor  {MARKED} marked"


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
        self._label_cells = 0

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
            rows = self.size.height - FOOT_LINES - len(self._title_of(self._missing()))
            narrow = scatter.place(self._variants, self.pair, self.size.width, rows)
            self._label_cells = max((len(text) for _, text in narrow.y_ticks), default=0)
            columns = self.size.width - self._label_cells - 2
            self._plot = (self.size, scatter.place(self._variants, self.pair, columns, rows))
        return self._plot[1]

    def _missing(self) -> int:
        return scatter.place(self._variants, self.pair, 2, 2).missing

    def _title_of(self, missing: int) -> list[str]:
        """Return the lines above the points: what the axes are, and how many networks have no figure."""
        x_axis, y_axis = PAIRS[self.pair]
        words = [f"{y_axis.title} over {x_axis.title}"] + ([f"({missing} without a figure)"] if missing else [])
        line = "  ".join(words)
        return [line] if len(line) <= self.size.width else words

    def _cursor_words(self) -> str:
        """Return what the cursor is on, or why it is not to be seen."""
        if not self._variants:
            return "no network has all these words"
        variant = next((variant for variant in self._variants if variant.name == self.key), None)
        why = scatter.without_figure(self.pair, variant) if variant is not None else ""
        return f"{self.key}: {why}" if why else self.key

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.key) if action == "choose" else super().check_action(action, parameters)

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.key))

    def on_click(self, event) -> None:
        top = len(self._title_of(self.plot.missing))
        nearest = min(
            self.plot.points,
            key=lambda p: (p.column + self._label_cells + 1 - event.x) ** 2 + 4 * (p.row + top - event.y) ** 2,
            default=None,
        )
        if nearest is not None:
            self._go(nearest.name)

    def render_line(self, y: int) -> Strip:
        base, width, height = self.base_style, self.size.width, self.size.height
        plot = self.plot
        title = self._title_of(plot.missing)
        axis = base + self.get_component_rich_style("scatter--axis")
        if y == height - 3:
            return self._ticks_line(plot, axis, width)
        words = {height - 2: LEGEND, height - 1: self._cursor_words(), **dict(enumerate(title))}
        if y in words or not plot.points:
            return Strip([Segment(words.get(y, ""), axis)]).adjust_cell_length(width, base)
        label = next((text for row, text in plot.y_ticks if row == y - len(title)), "")
        segments = [Segment(f"{label:>{self._label_cells}}│", axis)]
        cells = self._cells(plot, y - len(title))
        last = -1
        for column in sorted(cells):
            sign, kind = cells[column]
            segments.append(Segment(" " * (column - last - 1), base))
            segments.append(Segment(sign, base + self.get_component_rich_style(f"scatter--{kind}")))
            last = column
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
            start = min(self._label_cells + 1 + column, width - len(text))
            if start >= 0 and all(cell == " " for cell in line[max(start - 1, 0) : start + len(text)]):
                line[start : start + len(text)] = text
        return Strip([Segment("".join(line), style)])

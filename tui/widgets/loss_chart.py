"""A chart of curves on the screen, through textual-plotext. The drawing itself is in charts/plotext_chart.py."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from rich.text import Text
from textual.app import RenderResult
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual_plotext import PlotextPlot

from ..charts import plotext_chart
from ..charts.plotext_chart import ChartData, ChartStyle, Colour

COLOURS = {
    "train": "primary",
    "raw": "secondary",
    "validation": "warning",
    "test": "success",
    "best": "accent",
    "diverged": "error",
}
"""The colour of each kind of line in a theme."""
FALLBACK = 8


class LossChart(PlotextPlot):
    """Draws a chart again only when its data, its size or the theme changed, and never raises.

    With :meth:`show_drawn` it shows what was drawn elsewhere, and draws nothing itself.
    """

    @dataclass
    class Resized(Message):
        """The chart has another size than the one for which it was drawn."""

        chart: LossChart

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ascii = ascii
        self._data = ChartData("", "", ())
        self._drawn: tuple[object, Text] | None = None
        self._given: Text | None = None

    def draw_in_letters(self, letters: bool) -> None:
        """Draw with letters in the place of markers and dots, or with these again."""
        self._ascii = letters
        self._drawn = None
        self.refresh()

    @property
    def data(self) -> ChartData:
        """What is shown."""
        return self._data

    @property
    def chart_style(self) -> ChartStyle:
        """How charts look in the theme of the app."""
        variables = self.app.theme_variables
        return ChartStyle(self._ascii, {role: _colour(variables.get(name, "")) for role, name in COLOURS.items()})

    def show(self, data: ChartData) -> None:
        """Show other data."""
        if data != self._data:
            self._data = data
            self.refresh()

    def show_drawn(self, text: Text) -> None:
        """Show a chart that is drawn already; only the lines that differ are painted again."""
        before, self._given = self._given, text
        if before is None:
            self.refresh()
            return
        width = self.size.width
        pairs = enumerate(zip_longest(before.split(), text.split()))
        changed = [Region(0, row, width, 1) for row, (old, new) in pairs if old != new]
        if changed:
            self.refresh(*changed)

    @property
    def plain(self) -> str:
        """What was shown last with :meth:`show_drawn`, without colours."""
        return self._given.plain if self._given is not None else ""

    def on_resize(self) -> None:
        self.post_message(self.Resized(self))

    def render(self) -> RenderResult:
        if self._given is not None:
            return self._given
        key = (id(self._data), self.size, self.app.theme)
        if self._drawn is None or self._drawn[0] != key:
            size = (self.size.width, self.size.height)
            self._drawn = (key, drawn_text(plotext_chart.draw(self.plt, self._data, size, self.chart_style)))
        return self._drawn[1]


def drawn_text(drawn: str) -> Text:
    """Return a drawn chart as text for the screen."""
    text = Text.from_ansi(drawn, no_wrap=True)
    text.overflow = "crop"
    return text


def _colour(name: str) -> Colour:
    """Return a colour of the theme; where that is one of the terminal's own, its number."""
    try:
        colour = Color.parse(name)
    except Exception:
        return FALLBACK
    return colour.ansi if colour.ansi is not None and colour.ansi >= 0 else colour.rgb

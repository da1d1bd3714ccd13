"""One chart of curves on the screen, and the line above the charts that says which run is which.

What a chart shows was drawn elsewhere; here it gets its colours, and the cursor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import RenderResult
from textual.color import Color
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ...models.catalogue.share_text import share_text
from ..charts import markers
from ..charts.markers import AXIS, BADGE, BLANK, FIRST_LINE_TONE, MUTED, TITLE, Chart, ChartRow
from ..charts.view import AXIS_LABELS, TITLES, ChartedRun, View
from ..core import themes
from .edges import MORE_RIGHT
from .repaint import LineDrawn

CURSOR, CURSOR_ASCII = "│", "|"


class ChartView(LineDrawn):
    """Repaints the cells that changed and no others: over SSH every one of them costs."""

    class Resized(Message):
        """The view has another size than the one for which its image was drawn."""

    @dataclass
    class Pointed(Message):
        """The mouse is over a cell; ``pressed`` when its button went down there, ``twice`` for a double click."""

        view: ChartView
        cell: int
        pressed: bool = False
        twice: bool = False

    @dataclass
    class Dragged(Message):
        """The mouse was pressed on one cell and released on another one."""

        view: ChartView
        begin: int
        end: int

    @dataclass
    class Turned(Message):
        """The wheel was turned over a cell: 1 away from the person, which is closer, or -1."""

        view: ChartView
        cell: int
        way: int

    @dataclass
    class PointerLeft(Message):
        """The mouse went elsewhere."""

    def __init__(self, metric: str) -> None:
        super().__init__(id=f"chart-{metric}")
        self.metric = metric
        self.chart: Chart | None = None
        self.chosen = False
        self.cursor: int | None = None
        self._readout: tuple[tuple[str, int], ...] = ()
        self._styles: tuple[str, dict[int, Style]] = ("", {})
        self._pressed: int | None = None

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def show(self, chart: Chart | None) -> None:
        """Show another image of the chart."""
        before, self.chart = self.chart, chart
        if before is None or chart is None or len(before.rows) != len(chart.rows) or before.width != chart.width:
            self.refresh()
            return
        rows = enumerate(zip(before.rows, chart.rows, strict=True))
        regions = [Region(begin, y, end - begin, 1) for y, (old, new) in rows if y for begin, end in changes(old, new)]
        if before.rows[0] != chart.rows[0]:
            regions.append(Region(0, 0, self.size.width, 1))
        if regions:
            self.refresh(*regions)

    def choose(self, chosen: bool) -> None:
        """Mark the chart as the one that commands concern."""
        if chosen != self.chosen:
            self.chosen = chosen
            self.refresh(Region(0, 0, self.size.width, 1))

    def point(self, cell: int | None, readout: Sequence[tuple[str, int]] = ()) -> None:
        """Put the cursor on a cell across, or take it away; ``readout`` stands in the title meanwhile."""
        height = self.size.height
        for column in (self.cursor, cell) if cell != self.cursor else ():
            if column is not None:
                self.refresh(Region(column, 1, 1, max(height - 2, 1)))
        if tuple(readout) != self._readout:
            self.refresh(Region(0, 0, self.size.width, 1))
        self.cursor, self._readout = cell, tuple(readout)

    @property
    def readout_width(self) -> int:
        """Cells of the title for the values under the cursor, behind the sign of the chosen chart and the name."""
        return self.size.width - len(TITLES[self.metric]) - 2

    # Drawing

    def render_line(self, y: int) -> Strip:
        base, width = self.base_style, self.size.width
        if self.chart is None:
            text = (f"{'▸' if self.chosen else ' '}{TITLES[self.metric]}  reading …") if y == 0 else ""
            return Strip([Segment(text, base)]).adjust_cell_length(width, base)
        if y >= len(self.chart.rows):
            return Strip.blank(width, base)
        row = self.chart.rows[y]
        text, tones = row.text, row.tones
        if y == 0:
            text, tones = self._title(text, tones)
        styles = self._tone_styles()
        segments: list[Segment] = []
        start = 0
        for tone, group in groupby(tones):
            end = start + sum(1 for _ in group)
            style = base + styles.get(tone, base)
            # Blanks look the same in any colour of writing: with that of the curve before them no change need be sent.
            if tone == BLANK and segments and not (segments[-1].style or base).reverse:
                style = segments[-1].style or base
            segments.append(Segment(text[start:end], style))
            start = end
        strip = Strip(segments).adjust_cell_length(width, base).simplify()
        if self.cursor is not None and 0 < y < len(self.chart.rows) - 1 and self.cursor < width:
            strip = self._with_cursor(strip, text, base)
        return strip

    def _title(self, text: str, tones: bytes) -> tuple[str, bytes]:
        """Return the title line, with a sign when the chart is chosen; with a cursor, the values there instead of the
        legend.
        """
        sign = "▸" if self.chosen else " "
        width = self.size.width
        if self._readout:
            spans = [(f"{TITLES[self.metric]} ", TITLE), *self._readout]
            text = "".join(part for part, _ in spans)
            tones = b"".join(bytes([tone]) * len(part) for part, tone in spans)
        text = (sign + text).rstrip()
        text = text[: width - 1] + MORE_RIGHT if len(text) > width else text.ljust(width)
        tones = (bytes([TITLE]) + tones)[:width].ljust(width, b"\0")
        return text, tones

    def _with_cursor(self, strip: Strip, text: str, base: Style) -> Strip:
        column = self.cursor or 0
        ascii = text.isascii()
        character = text[column] if column < len(text) else " "
        if character == " ":
            character = CURSOR_ASCII if ascii else CURSOR
            style = base + Style(bold=True)
        else:
            style = base + Style(reverse=True)
        return Strip.join([strip.crop(0, column), Strip([Segment(character, style)]), strip.crop(column + 1)])

    def _tone_styles(self) -> dict[int, Style]:
        theme = self.app.theme
        if self._styles[0] != theme:
            self._styles = (theme, line_styles(theme))
        return self._styles[1]

    # The mouse

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._pressed = event.x
        self.post_message(self.Pointed(self, event.x, pressed=True))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._pressed is not None and abs(event.x - self._pressed) > 1:
            self.post_message(self.Dragged(self, self._pressed, event.x))
        self._pressed = None

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.post_message(self.Pointed(self, event.x, twice=True))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self.post_message(self.Pointed(self, event.x))

    def on_leave(self) -> None:
        self.post_message(self.PointerLeft())

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Turned(self, event.x, 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Turned(self, event.x, -1))


class ChartLegend(Widget):
    """One line: how the curves are shown, and which run has which marker."""

    def __init__(self, ascii: bool) -> None:
        super().__init__(id="chart-legend")
        self.text = Text()
        self.ascii = ascii

    def update_legend(self, runs: Sequence[ChartedRun], view: View, progress: float, places: Sequence[str]) -> None:
        """Describe these runs, of which the part ``progress`` has been read; ``places``: of the cursor, of the page."""
        words = [f"over {AXIS_LABELS[view.axis]}", *places[:1]]
        words += [f"smoothing {view.smoothing:g}"] if view.smoothing else []
        words += [view.window.text] if view.window.text else []
        words += [f"reading {share_text(progress)}"] if progress < 1 else []
        words += places[1:]
        text = Text(" " + " · ".join(filter(None, words)), no_wrap=True, overflow="ellipsis")
        styles = line_styles(self.app.theme)
        for run in runs if len(runs) > 1 else ():
            signs = markers.marker(run.slot, "train", self.ascii) + markers.marker(run.slot, "validation", self.ascii)
            style = styles[markers.line_tone(run.slot, "train")]
            text.append("  ")
            text.append(f"{signs} {run.label}{' (pinned)' if run.pinned else ''}", style=style)
        if text != self.text:
            self.text = text
            self.refresh()

    def render(self) -> RenderResult:
        return self.text


def line_styles(theme: str) -> dict[int, Style]:
    """Return what the tones of markers.py look like in a theme."""
    dim, title, badge = Style(dim=True), Style(bold=True), Style(bold=True, reverse=True)
    styles = {AXIS: dim, TITLE: title, BADGE: badge, MUTED: dim}
    for number, name in enumerate(themes.curve_colours(theme)):
        colour = Color.parse(name).rich_color
        styles[FIRST_LINE_TONE + 2 * number] = Style(color=colour)
        styles[FIRST_LINE_TONE + 2 * number + 1] = Style(color=colour, dim=True)
    return styles


def changes(old: ChartRow, new: ChartRow) -> list[tuple[int, int]]:
    """Return the stretches of cells in which two rows differ; none where they are equal. Stretches that are close are
    joined.
    """
    if old == new:
        return []
    positions = [
        place
        for place, (a, b, c, d) in enumerate(zip(old.text, new.text, old.tones, new.tones, strict=True))
        if a != b or c != d
    ]
    stretches: list[tuple[int, int]] = []
    for place in positions:
        # Moving the terminal's cursor costs about as much as these cells do.
        if stretches and place - stretches[-1][1] < 6:
            stretches[-1] = (stretches[-1][0], place + 1)
        else:
            stretches.append((place, place + 1))
    return stretches

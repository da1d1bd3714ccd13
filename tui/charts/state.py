"""What a person sees of the charts, and the operations of keys and mouse on it. Plain values, no Textual, no numpy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from . import markers
from .markers import Chart
from .view import AXES, METRICS, SHORT, SMOOTHINGS, SPLITS, TITLES, WINDOWS, Limits, Readout, View, Window

CLOSEST = 1e-9
"""The smallest part of the data that can be zoomed into."""
WIDEST, LEAST_WIDTH, LEAST_HEIGHT = 3, 34, 8
ROLES = ("train", *SPLITS)
GAPS = (" · ", " ")
"""What stands between the values under the cursor: where they have room, and where they have not."""


@dataclass(frozen=True)
class Grid:
    """Charts in columns and rows; what does not fit goes to further pages."""

    columns: int
    rows: int
    pages: int

    @property
    def per_page(self) -> int:
        """Charts on a page."""
        return self.columns * self.rows

    def page_of(self, place: int) -> int:
        """Return the page on which a chart is."""
        return place // self.per_page


def grid(width: int, height: int, count: int) -> Grid:
    """Arrange ``count`` charts in ``width`` × ``height`` cells, each of them large enough to be read."""
    if count < 1:
        return Grid(1, 1, 1)
    columns = min(max(width // LEAST_WIDTH, 1), WIDEST, count)
    rows = min(max(height // LEAST_HEIGHT, 1), -(-count // columns))
    # Fewer columns, where the last row would be emptier than it need be.
    while columns > 1 and rows * (columns - 1) >= count:
        columns -= 1
    return Grid(columns, rows, -(-count // (columns * rows)))


@dataclass(frozen=True)
class ChartState:
    """What is shown and how: every operation returns the state after it.

    ``charts`` are the metrics that have a chart, ``metric`` the one that commands concern, which has all the room when it is
    ``alone``. ``cursor`` is a place on the x axis; ``hovering`` says that the mouse put it there and takes it away again.
    """

    axis: str = AXES[0]
    smoothing: float = 0.0
    log: frozenset[str] = frozenset()
    charts: tuple[str, ...] = METRICS
    metric: str = METRICS[0]
    alone: bool = False
    window: Window = field(default_factory=Window)
    cursor: float | None = None
    hovering: bool = False

    def preferring(self, axis: str, smoothing: float, log: str, charts: str) -> ChartState:
        """Take what a person prefers from saved words; unknown ones count as the defaults."""
        chosen = tuple(name for name in METRICS if name in charts.split()) or METRICS
        metric = self.metric if self.metric in chosen else chosen[0]
        return replace(
            self,
            axis=axis if axis in AXES else AXES[0],
            smoothing=smoothing,
            log=frozenset(log.split()),
            charts=chosen,
            metric=metric,
        )

    @property
    def preferences(self) -> tuple[str, float, str, str]:
        """Axis, smoothing, charts on a logarithmic axis and charts shown, as :meth:`preferring` takes them."""
        charts = "" if self.charts == METRICS else " ".join(self.charts)
        return self.axis, self.smoothing, " ".join(sorted(self.log)), charts

    def view(self, ascii: bool = False) -> View:
        """Return how the curves are to be drawn."""
        return View(self.axis, self.smoothing, self.log, self.window, ascii)

    def other_runs(self) -> ChartState:
        """Forget cursor and zoom, which belong to the runs that were shown; a window at the end stays."""
        return replace(self, cursor=None, hovering=False, window=self._window_at_end)

    @property
    def _window_at_end(self) -> Window:
        return Window() if self.window.fixed or self.window.span else self.window

    # Charts and pages

    def arrangement(self, width: int, height: int) -> Grid:
        """Divide the room, in cells, among the charts."""
        return grid(width, height, 1 if self.alone else len(self.charts))

    def page(self, found: Grid) -> int:
        """Return the page on which the chosen chart is, from 0."""
        return found.page_of(self.charts.index(self.metric))

    def in_sight(self, found: Grid) -> tuple[str, ...]:
        """Return the metrics whose charts are in sight."""
        if self.alone:
            return (self.metric,)
        page = self.page(found)
        return self.charts[page * found.per_page : (page + 1) * found.per_page]

    def pick(self, metric: str) -> ChartState:
        """Choose the chart of a metric."""
        return replace(self, metric=metric)

    def next_chart(self, by: int) -> ChartState:
        """Choose the chart ``by`` places on, round and round."""
        return self.pick(self.charts[(self.charts.index(self.metric) + by) % len(self.charts)])

    def next_page(self, by: int, found: Grid) -> ChartState:
        """Choose the first chart of the page ``by`` pages on, round and round."""
        return self.pick(self.charts[(self.page(found) + by) % found.pages * found.per_page])

    def show(self, charts: Collection[str]) -> ChartState:
        """Show these charts and no others, in their usual order; all of them where none is named."""
        chosen = tuple(name for name in METRICS if name in charts) or METRICS
        return replace(self, charts=chosen, metric=self.metric if self.metric in chosen else chosen[0])

    def toggle_alone(self) -> ChartState:
        """Give the chosen chart all the room, or every chart its own again."""
        return replace(self, alone=not self.alone)

    # How curves are drawn

    def next_axis(self) -> ChartState:
        """Draw over the next axis. Places on the axis of before mean nothing there."""
        axis = AXES[(AXES.index(self.axis) + 1) % len(AXES)]
        return replace(self, axis=axis, cursor=None, window=self._window_at_end)

    def smoother(self, by: int) -> ChartState:
        """Smooth ``by`` steps more, or fewer where it is negative."""
        place = SMOOTHINGS.index(self.smoothing) if self.smoothing in SMOOTHINGS else 0
        return replace(self, smoothing=SMOOTHINGS[min(max(place + by, 0), len(SMOOTHINGS) - 1)])

    def no_log(self, chart: Chart | None) -> str:
        """Return why the chosen chart cannot go to a logarithmic axis; "" where it can, or is there."""
        if self.metric in self.log or chart is None or not chart.left or chart.positive:
            return ""
        return f"{TITLES[self.metric]}: no value above zero, so no logarithmic axis"

    def toggle_log(self) -> ChartState:
        """Draw the chosen chart on a logarithmic axis, or on a linear one again."""
        return replace(self, log=self.log ^ {self.metric})

    # The part of the x axis

    def next_window(self) -> ChartState:
        """Show the next of the usual windows; everything after one that was zoomed or frozen."""
        place = (WINDOWS.index(self.window) + 1) % len(WINDOWS) if self.window in WINDOWS else 0
        return replace(self, window=WINDOWS[place])

    def freeze(self, shown: Limits) -> ChartState:
        """Hold still what is shown; show everything again when it was held."""
        return replace(self, window=Window() if self.window.frozen else _between(*shown, frozen=True))

    def zoom(self, shown: Limits, extent: Limits | None, factor: float, around: float | None) -> ChartState:
        """Show ``factor`` times the part that is ``shown`` of the data's ``extent``, with ``around`` kept where it is."""
        return self if extent is None else replace(self, window=zoomed(shown, extent, factor, around))

    def zoom_into(self, chart: Chart, begin: int, end: int) -> ChartState:
        """Show what lies between two cells of a chart, as they were dragged over in either direction."""
        low, high = sorted((chart.place_of(begin), chart.place_of(end)))
        return replace(self, cursor=None, window=Window(low=low, high=high))

    def pan(self, shown: Limits, extent: Limits | None, part: float) -> ChartState:
        """Move by a part of what is shown."""
        return self if extent is None else replace(self, window=panned(shown, extent, part))

    def whole(self) -> ChartState:
        """Show the whole x axis."""
        return replace(self, window=Window())

    # The cursor

    def point(self, chart: Chart, cell: int, extent: Limits | None, hovering: bool = False) -> ChartState:
        """Put the cursor on a cell of a chart, or on the end of the data where the chart has room beyond."""
        low, high = extent or chart.x
        return replace(self, cursor=min(max(chart.place_of(cell), low), high), hovering=hovering)

    def move(self, chart: Chart, cells: int, extent: Limits | None) -> ChartState:
        """Move the cursor by cells of a chart; the first time it appears at the right end."""
        here = chart.cell_of(self.cursor) if self.cursor is not None else None
        return self.point(chart, (chart.width if here is None else here) + cells, extent)

    def without_cursor(self) -> ChartState:
        """Take the cursor away."""
        return replace(self, cursor=None, hovering=False)


def _between(low: float, high: float, frozen: bool = False) -> Window:
    """Return a fixed part of the axis; everything, where there is no extent."""
    return Window(low=low, high=high, frozen=frozen) if high > low else Window()


def zoomed(shown: Limits, extent: Limits, factor: float, around: float | None) -> Window:
    """Return ``factor`` times the extent that is shown, with the place ``around`` kept where it is.

    Without a place, or at the end of the data, the end is kept and followed. As much as all data, or more, is everything.
    """
    low, high = shown
    whole = extent[1] / 2 - extent[0] / 2
    span = (high / 2 - low / 2) * factor
    if span >= whole or whole <= 0:
        return Window()
    span = max(span, whole * CLOSEST)
    if around is None:
        return Window(span=2 * span)
    part = (around / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    return _within(around - 2 * span * part, 2 * span, extent)


def panned(shown: Limits, extent: Limits, part: float) -> Window:
    """Return what is shown moved by a part of it; at the end of the data the window follows them again."""
    low, high = shown
    if low <= extent[0] and high >= extent[1]:
        return Window()
    return _within(low + (high - low) * part, high - low, extent)


def _within(start: float, span: float, extent: Limits) -> Window:
    """Return a part of the axis, moved so that it lies over the data."""
    if start + span >= extent[1]:
        return Window(span=span)
    start = max(start, extent[0])
    return _between(start, start + span)


def readout(
    found: Sequence[Readout], cursor: float, chart: Chart, view: View, several: bool, width: int
) -> list[tuple[str, int]]:
    """Return the values under the cursor as words and tones, in ``width`` cells of the title of a chart.

    ``several``: of more than one run. A test has a value in its own cell alone: there is none beside it.
    """
    here = chart.cell_of(cursor)
    shown = [one for one in found if one.role != "test" or chart.cell_of(one.x) == here]
    shown.sort(key=lambda one: ROLES.index(one.role))
    apart, close = (list(_entries(shown, chart.name, view.ascii, several, gap)) for gap in GAPS)
    fits = sum(len(text) for text, _ in apart) <= width
    return apart if fits else markers.fitted(close, width, view.ascii)


def _entries(shown: Sequence[Readout], metric: str, ascii: bool, several: bool, gap: str) -> Iterator[tuple[str, int]]:
    """Yield each value with its word, which the first of several runs has for all: ``train ●0.21 ◆0.3 · val. ○0.4``."""
    role = ""
    for one in shown:
        word = "" if one.role == role else f"{gap if role else ''}{SHORT.get(one.role, one.role)}"
        sign = markers.run_sign(one.slot, one.role, ascii) + " " * ascii if several else ""
        weights = "" if one.weights_epoch is None else f" (weights of epoch {one.weights_epoch:g})"
        text = f"{word} {sign}{markers.value_text(one.value, metric)}{weights}"
        yield text, markers.line_tone(one.slot, one.role, several)
        role = one.role


def cursor_text(found: Sequence[Readout], cursor: float, axis: str) -> str:
    """Return where the values under the cursor lie: the nearest of their places in words."""
    nearest = min((one.x for one in found if one.role != "test"), key=lambda x: abs(x - cursor), default=cursor)
    return f"at {markers.place_text(nearest, axis)}"

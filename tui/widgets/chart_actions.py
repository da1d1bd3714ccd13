"""What the keys do with the charts: cursor, pages, axes, smoothing, windows, and which charts there are."""

from __future__ import annotations

from ..charts import zoom
from ..charts.view import AXES, METRICS, SMOOTHINGS, TITLES, Window
from .chart_board import ChartBoard


class ChartActions(ChartBoard):
    """The charts with the commands of the places "grid" and "charts"."""

    def action_cursor(self, cells: int) -> None:
        """Move the cursor; the first time it appears at the right end."""
        chart = self._shown_chart()
        if chart is None or not chart.left:
            return
        here = chart.cell_of(self.x) if self.x is not None else None
        cell = (chart.width if here is None else here) + cells
        self._point(chart, cell, hovering=False)

    # Charts and pages

    def action_other(self, by: int) -> None:
        """Choose another chart."""
        names = self.charts
        self.metric = names[(names.index(self.metric) + by) % len(names)]
        self._arrange()

    def action_page(self, by: int) -> None:
        """Go to another page of charts."""
        found, names = self.arrangement, self.charts
        page = (found.page_of(names.index(self.metric)) + by) % found.pages
        self.metric = names[page * found.per_page]
        self._arrange()

    def go_back(self) -> bool:
        """Take the cursor away, else give all charts their room back; False where there is nothing to undo."""
        if self.x is not None:
            self.x = None
            self._show_cursor()
            return True
        if self.alone:
            self.action_chart("one")
            return True
        return False

    # Commands

    def action_chart(self, what: str) -> None:
        """One of the commands of the place "charts"."""
        getattr(self, f"_do_{what}")()

    def _say(self, text: str) -> None:
        self.app.notify(text, markup=False)

    def _do_one(self) -> None:
        self.alone = not self.alone
        if self.alone:  # what had the focus may be hidden now
            self.focus()
        self.post_message(self.OneChart(self, self.alone))
        self._arrange()

    def _do_axis(self) -> None:
        self.memory.axis = AXES[(AXES.index(self.view.axis) + 1) % len(AXES)]
        self.x = None
        if self._window.fixed or self._window.span:
            self._window = Window()
        self._ask()

    def _do_log(self) -> None:
        chosen, chart = set(self.view.log), self._shown_chart()
        if self.metric not in chosen and chart is not None and chart.left and not chart.positive:
            self._say(f"{TITLES[self.metric]}: no value above zero, so no logarithmic axis")
            return
        chosen ^= {self.metric}
        self.memory.log_charts = " ".join(sorted(chosen))
        self._ask()

    def _do_smoother(self) -> None:
        self._smooth(1)

    def _do_rougher(self) -> None:
        self._smooth(-1)

    def _smooth(self, by: int) -> None:
        memory = self.memory
        place = SMOOTHINGS.index(memory.smoothing) if memory.smoothing in SMOOTHINGS else 0
        memory.smoothing = SMOOTHINGS[min(max(place + by, 0), len(SMOOTHINGS) - 1)]
        self._ask()

    def _do_window(self) -> None:
        self._set_window(zoom.following(self._window))

    def _do_freeze(self) -> None:
        self._set_window(zoom.frozen(self._window, self.drawn.x))

    def _do_closer(self) -> None:
        self._zoom(0.5)

    def _do_wider(self) -> None:
        self._zoom(2.0)

    def _zoom(self, factor: float) -> None:
        if self.drawn.extent is not None:
            self._set_window(zoom.zoomed(self.drawn.x, self.drawn.extent, factor, self.x))

    def _do_whole(self) -> None:
        self._set_window(Window())

    def _do_earlier(self) -> None:
        self._pan(-0.25)

    def _do_later(self) -> None:
        self._pan(0.25)

    def _pan(self, part: float) -> None:
        if self.drawn.extent is not None:
            self._set_window(zoom.panned(self.drawn.x, self.drawn.extent, part))

    def _set_window(self, window: Window) -> None:
        self._window = window
        self._ask()

    def _do_choose(self) -> None:
        from ..screens.choose_charts import ChooseChartsScreen

        self.app.push_screen(ChooseChartsScreen(self.charts), self._choose)

    def _choose(self, chosen: tuple[str, ...] | None) -> None:
        if chosen:
            self.memory.charts = "" if chosen == METRICS else " ".join(chosen)
            self._arrange()

"""The overview of a run: its loss and its accuracy, drawn live by plotext. A thread reads and draws; here it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from ..charts.followers import Followers
from ..charts.view import ChartedRun, Curves
from ..core.screen_export import Export
from .loss_chart import LossChart, drawn_text

if TYPE_CHECKING:
    from ..charts.overview_reader import DrawnOverview, OverviewReader

METRICS = ("loss", "accuracy")
SIDE_BY_SIDE = 110
"""From so many columns on the charts stand beside one another."""


class OverviewPane(Widget, can_focus=True):
    """Shows the run of :meth:`show`. ``followers`` are those of the app, which reads each run once for all who show it."""

    TERMS: ClassVar = ("loss", "accuracy", "epoch", "raw", "⠤", "•", "★", "✚", "✗")
    DEFAULT_CSS = """
    OverviewPane { height: 1fr; width: 1fr; layout: vertical; }
    OverviewPane.-wide { layout: horizontal; }
    OverviewPane LossChart { height: 1fr; width: 1fr; }
    OverviewPane.-wide #overview-accuracy { margin-left: 1; }
    """

    @dataclass
    class Painted(Message):
        """The thread has drawn the charts anew."""

        drawn: DrawnOverview
        texts: dict[str, Text]

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, OverviewPane.Painted)

    @dataclass
    class Read(Message):
        """The run was read further."""

        known: Curves

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, OverviewPane.Read)

    def __init__(self, followers: Followers, *, ascii: bool = False, id: str = "overview") -> None:
        super().__init__(id=id)
        self.followers = followers
        self.known: Curves | None = None
        self.paints = 0
        """How often the charts were painted anew so far."""
        self._charts = {metric: LossChart(ascii=ascii, id=f"overview-{metric}") for metric in METRICS}
        self._run: ChartedRun | None = None
        self._reader: OverviewReader | None = None
        self._paused = False
        self._over = False

    def compose(self) -> ComposeResult:
        yield from self._charts.values()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._ask())
        for chart in self._charts.values():
            chart.show_drawn(Text("reading …"))
        self._follow()

    def on_unmount(self) -> None:
        self._over = True
        if self._reader is not None:
            self._reader.stop()

    def draw_in_letters(self, letters: bool) -> None:
        """Draw with letters in the place of markers and dots, or with these again."""
        for chart in self._charts.values():
            chart.draw_in_letters(letters)
        self._ask()

    def show(self, runs: Sequence[ChartedRun]) -> None:
        """Show the first of these runs."""
        run = runs[0] if runs else None
        if run != self._run:
            self._run = run
            self._ask()

    def pause(self, paused: bool) -> None:
        """Draw nothing for the time being, or go on."""
        self._paused = paused
        self._ask()

    def on_hide(self) -> None:
        self._ask()

    def on_show(self) -> None:
        self._ask()

    def on_resize(self) -> None:
        self.set_class(self.size.width >= SIDE_BY_SIDE, "-wide")

    @on(LossChart.Resized)
    def _chart_resized(self) -> None:
        self._ask()

    @work(thread=True, exclusive=True, group="overview", exit_on_error=False, description="reads and draws a run")
    def _follow(self) -> None:
        # numpy is loaded when there is something to draw, and not in the screen's thread.
        from ..charts.overview_reader import OverviewReader

        figures = {metric: chart.plt for metric, chart in self._charts.items()}
        self._reader = reader = OverviewReader(self._post_drawn, self.followers, figures)
        self.app.call_later(self._ask)
        if not self._over:
            reader.run()

    def _post_drawn(self, drawn: DrawnOverview) -> None:
        self.post_message(self.Painted(drawn, {metric: drawn_text(text) for metric, text in drawn.charts.items()}))

    def _ask(self) -> None:
        """Tell the thread what is wanted now."""
        if self._reader is None or self._over or not self.is_attached:
            return
        from ..charts.overview_reader import WantedOverview

        sizes = {metric: (chart.size.width, chart.size.height) for metric, chart in self._charts.items()}
        shown = (
            ()
            if self._paused or not self.display
            else tuple((metric, size) for metric, size in sizes.items() if all(size))
        )
        path = self._run.path if self._run else None
        self._reader.want(WantedOverview(path, shown, self._charts["loss"].chart_style))

    def on_overview_pane_painted(self, message: Painted) -> None:
        if self._run is None or message.drawn.wanted.path != self._run.path:
            return
        self.known = message.drawn.known
        self.paints += bool(message.texts)
        for metric, text in message.texts.items():
            self._charts[metric].show_drawn(text)
        self.post_message(self.Read(self.known))

    def export(self) -> Export:
        """Return the charts as text, and their curves as data."""
        drawings = [chart.plain.rstrip() for chart in self._charts.values()]
        return Export("curves", "\n\n".join(drawings) + "\n", self._reader.data if self._reader else None)

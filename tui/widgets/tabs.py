"""A row of numbered tabs over panes that are made when they are first looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.app import ComposeResult, RenderResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget


class TabLine(Widget):
    """The names of the tabs with their numbers; the current one stands in brackets and reversed."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(classes="tab-line")
        self._names = dict(names)
        self._current = next(iter(self._names))

    def show(self, current: str) -> None:
        """Mark the current tab."""
        if current != self._current:
            self._current = current
            self.refresh()

    def _labels(self) -> list[tuple[str, str]]:
        return [
            (key, f"[{number} {name}]" if key == self._current else f" {number} {name} ")
            for number, (key, name) in enumerate(self._names.items(), start=1)
        ]

    def render(self) -> RenderResult:
        text = Text(no_wrap=True)
        for key, label in self._labels():
            text.append(label, style="bold reverse" if key == self._current else "")
        return text

    def on_click(self, event: events.Click) -> None:
        place = 0
        for key, label in self._labels():
            place += len(label)
            if event.x < place:
                self.post_message(Tabs.Picked(key))
                return


class Tabs(Vertical):
    """``makers`` gives each tab its name and the function that makes its pane, called once, when it is first shown.

    ``companion`` names the tab that stands beside the current one where there is room for two.
    """

    @dataclass
    class Picked(Message):
        """A tab was clicked."""

        key: str

    @dataclass
    class Shown(Message):
        """The panes are on the screen and have their size."""

        key: str

    def __init__(self, makers: Mapping[str, tuple[str, Callable[[], Widget]]], current: str, *, id: str) -> None:
        super().__init__(id=id)
        self._makers = dict(makers)
        self._panes: dict[str, Widget] = {}
        self.current = current if current in self._makers else next(iter(self._makers))
        self.companion = ""
        self._companion_cells = 0

    def compose(self) -> ComposeResult:
        yield TabLine({key: name for key, (name, _) in self._makers.items()})
        yield Horizontal(classes="tab-panes")

    def on_mount(self) -> None:
        # What a pane needs is imported after the first paint, not before it.
        self.call_after_refresh(lambda: self.show(self.current))

    @property
    def pane(self) -> Widget | None:
        """The pane of the current tab."""
        return self._panes.get(self.current)

    @property
    def shown(self) -> list[Widget]:
        """The visible panes, the current one first."""
        keys = [self.current, self.companion]
        return [self._panes[key] for key in keys if key in self._panes and self._panes[key].is_mounted]

    def pane_of(self, key: str) -> Widget | None:
        """Return the pane of a tab, when it was made."""
        return self._panes.get(key)

    def show(self, key: str, companion: str | None = None, cells: int = 0) -> None:
        """Show a tab; :class:`Shown` follows when it is on the screen. The companion has ``cells`` columns."""
        self.current = key
        if companion is not None:
            self.companion, self._companion_cells = companion, cells
        self.query_one(TabLine).show(key)
        self.call_next(self._bring)

    async def _bring(self) -> None:
        """Make the visible panes, as far as they are missing, and hide the others."""
        key, row = self.current, self.query_one(".tab-panes")
        for wanted in filter(None, (key, self.companion)):
            if wanted not in self._panes:
                self._panes[wanted] = self._makers[wanted][1]()
                await row.mount(self._panes[wanted])
        for name, pane in self._panes.items():
            pane.display = name in (key, self.companion)
            pane.styles.width = self._companion_cells if name == self.companion else None
        if self.companion and len(row.children) > 1:
            row.move_child(self._panes[key], before=0)
        # A pane that was made just now has its size, and can be filled, after the next refresh.
        self.call_after_refresh(self.post_message, self.Shown(key))

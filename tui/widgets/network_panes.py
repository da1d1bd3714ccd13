"""All there is to know of one network, in numbered tabs: note, layers, walk, code, diff, runs."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from ...trainer.runs.run import RunSnapshot
from ..core.pane_widths import has_room
from ..core.screen_export import Export
from ..networks.selection import NetworkSelection
from .pane import Pane
from .tabs import Tabs

NAMES = {"note": "Note", "layers": "Layers", "walk": "Walk", "code": "Code", "diff": "Diff", "runs": "Runs"}
NOTHING = "No network has all these words; escape drops the filter."
BESIDE = {"note": "layers"}
"""What stands beside a tab where there is room for two; the note, beside all others."""
NEEDED = {"note": 69, "layers": 84, "walk": 120, "code": 126, "diff": 84, "runs": 94}
"""The columns in which each of them shows all that it has."""


def make(key: str) -> Pane:
    """Return the pane of a tab. Each is imported when it is first looked at."""
    if key == "note":
        from .note_pane import NotePane

        return NotePane()
    if key == "layers":
        from .layers_pane import LayersPane

        return LayersPane()
    if key == "walk":
        from .walk_pane import WalkPane

        return WalkPane()
    if key == "code":
        from .code_pane import CodePane

        return CodePane()
    if key == "diff":
        from .diff_pane import DiffPane

        return DiffPane()
    from .network_runs_pane import NetworkRunsPane

    return NetworkRunsPane()


class NetworkPanes(Tabs):
    """The tabs of a network."""

    def __init__(self, current: str, *, id: str) -> None:
        super().__init__({key: (name, lambda key=key: make(key)) for key, name in NAMES.items()}, current, id=id)

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Static(NOTHING, id="no-network", markup=False)

    def companion_of(self, key: str, room: int) -> str:
        """Return what stands beside a tab in ``room`` columns; "" where there is not enough for both."""
        beside = BESIDE.get(key, "note")
        return beside if has_room(room, NEEDED, key, beside) else ""

    def companion_in(self, room: int) -> str:
        """Return what is to stand beside the current tab."""
        return self.companion_of(self.current, room)

    def show_tab(self, key: str, room: int) -> None:
        """Show a tab, and beside it another where ``room`` columns are enough for both."""
        companion = self.companion_of(key, room)
        self.show(key, companion, NEEDED.get(companion, 0))

    def show_selection(self, selection: NetworkSelection) -> None:
        """Fill the visible panes with a network."""
        self.remove_class("-nothing")
        for pane in self.shown:
            if isinstance(pane, Pane):
                pane.show(selection)
        title = f"{selection.variant.title} · {selection.network} · {selection.variant.year}"
        if (self.border_title, self.border_subtitle) != (title, selection.facts()):
            self.border_title, self.border_subtitle = title, selection.facts()

    def show_nothing(self) -> None:
        """Cover the panes: there is no network of which they could speak. What they show stays for its return."""
        self.add_class("-nothing")
        self.border_title, self.border_subtitle = "", ""

    @property
    def is_empty(self) -> bool:
        """Whether no network is shown."""
        return self.has_class("-nothing")

    @property
    def target(self) -> Widget | None:
        """The widget of the current pane that takes the keyboard."""
        return self.pane.target if isinstance(self.pane, Pane) and not self.is_empty else None

    def go_back(self) -> bool:
        """Go one step back inside the current pane; return whether there was one."""
        return isinstance(self.pane, Pane) and self.pane.go_back()

    def helper_changed(self) -> None:
        """Update what is shown: the helper process started, got ready or ended."""
        for pane in self.shown:
            if isinstance(pane, Pane):
                pane.helper_changed()

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        """Update what is shown: the runs on this machine changed."""
        pane = self.pane_of("runs")
        if isinstance(pane, Pane) and pane.is_mounted:
            pane.runs_changed(runs)

    def export(self) -> Export | None:
        """Return what the current pane shows."""
        return self.pane.export() if isinstance(self.pane, Pane) and not self.is_empty else None

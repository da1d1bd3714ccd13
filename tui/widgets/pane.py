"""What the panes of a network have in common: they show a selected network, and most of them wait for the helper process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from textual.containers import Vertical
from textual.widget import Widget

from ...trainer.runs.run import RunSnapshot
from ..core.protocol import AppProtocol
from ..core.screen_export import Export
from ..networks import layer_tree
from ..networks.layer_tree import LayerNode
from ..networks.selection import NetworkSelection
from ..worker.requests import Parser, Reply


def parse_tree(value: dict[str, Any]) -> LayerNode:
    """Return the answer to "layers"."""
    return layer_tree.of_network(value)


class Pane(Vertical):
    """Base of all panes. ``fill`` shows ``selection``; it is called again only for another selection."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.selection: NetworkSelection | None = None
        self.waiting = False
        self._wanted: dict[str, object] = {}
        self._failed = False

    @property
    def explorer(self) -> AppProtocol:
        """The app, as far as it concerns its screens."""
        return cast(AppProtocol, self.app)

    @property
    def target(self) -> Widget | None:
        """The widget that takes the keyboard."""
        return next((widget for widget in self.query("*") if widget.focusable), None)

    def show(self, selection: NetworkSelection) -> None:
        """Show a selection, unless it is shown already. Questions without an answer are asked again."""
        if selection != self.selection or self._failed:
            self.selection = selection
            self._failed = self.waiting = False
            self.fill(selection)

    def fill(self, selection: NetworkSelection) -> None:
        """Show the selection on the screen."""

    def go_back(self) -> bool:
        """Undo one step inside the pane; False where there is none."""
        return False

    def export(self) -> Export | None:
        """Return what is shown, for a file or the clipboard."""
        return None

    # Answers of the helper process

    def ask(self, question: str, details: dict[str, Any], parse: Parser, *, beside: bool = False) -> None:
        """Ask the helper process; :meth:`ready`, :meth:`failed` or, until then, :meth:`wait` is called.

        ``beside``: the answer completes what is shown already, which stays as it is until then. Of two questions of one
        kind only the later one counts, whichever answer comes first.
        """
        selection = self.selection
        self.waiting = self.waiting or not beside
        ticket = self._wanted[question] = object()

        def listener(reply: Reply) -> None:
            if self.selection is not selection or self._wanted[question] is not ticket:
                return
            if not (self.is_attached and self.app.is_running):  # the screen or the app is being taken down
                return
            if not beside:  # what completes the pane changes nothing in whether the pane itself has its answer
                self.waiting, self._failed = False, bool(reply.problem)
            if reply.problem:
                self.failed(question, reply.problem)
            else:
                self.ready(question, reply.value)

        if not self.explorer.questions.ask(question, details, parse, listener) and not beside:
            self.wait(self.explorer.questions.waiting_words())

    def helper_changed(self) -> None:
        """Update what is shown as pending: the helper process started, got ready or ended."""
        if self.waiting:
            self.wait(self.explorer.questions.waiting_words())

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        """Update what is shown: the runs on this machine changed."""

    def wait(self, words: str) -> None:
        """Show that the answer is on its way."""

    def ready(self, question: str, value: Any) -> None:
        """Show the answer."""

    def failed(self, question: str, problem: str) -> None:
        """Show in one line why there will be no answer."""
        self.wait(problem)

"""The note of a network's family."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from ...models.catalogue import registry
from ..core.screen_export import Export
from ..networks import catalogue_list
from ..networks.selection import NetworkSelection
from .pane import Pane
from .text_view import TextView


class NotePane(Pane):
    """The text, with its links."""

    TERMS: ClassVar = ("architecture", "variant", "stage", "block", "stem", "head", "deviation", "published")

    def __init__(self) -> None:
        super().__init__("note")

    def compose(self) -> ComposeResult:
        yield TextView()

    @property
    def view(self) -> TextView:
        """The text itself."""
        return self.query_one(TextView)

    @property
    def target(self) -> Widget:
        return self.view

    def fill(self, selection: NetworkSelection) -> None:
        self.view.show(catalogue_list.note(registry.family(selection.variant.family)))

    def export(self) -> Export | None:
        return None if self.selection is None else Export(f"note-{self.selection.variant.family}", self.view.source)

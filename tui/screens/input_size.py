"""Changing the image that a network is taken apart for, and the batch of the memory figures."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...errors import UsageError
from ..networks.selection import NetworkSelection, changed
from .dialog import Dialog

FIELDS = (("size", "side of the image in pixels"), ("channels", "channels"), ("batch", "batch of the memory figures"))


class InputSizeScreen(Dialog[NetworkSelection]):
    """Asks for another image; returns the changed selection."""

    HEADING = "Image"

    def __init__(self, selection: NetworkSelection) -> None:
        super().__init__()
        self._selection = selection

    def compose_dialog(self) -> ComposeResult:
        channels, side, _ = self._selection.image
        values = {"size": side, "channels": channels, "batch": self._selection.batch}
        yield Static(
            f"{self._selection.network}, {self._selection.stem} stem; an empty field means its own value",
            markup=False,
        )
        for name, words in FIELDS:
            yield Static(words, markup=False)
            yield Input(str(values[name]), id=f"image-{name}", compact=True, restrict=r"[0-9]*", max_length=7)
        yield Static("", id="image-problem", classes="problem", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#image-size", Input).focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        typed = [self.query_one(f"#image-{name}", Input).value for name, _ in FIELDS]
        try:
            self.dismiss(changed(self._selection, *typed))
        except UsageError as error:
            self.query_one("#image-problem", Static).update(str(error))

"""Asks once before something is done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Static

from ..core import key_bindings
from .dialog import Dialog


class ConfirmScreen(Dialog[bool]):
    """Ends with True when ``word`` was agreed to, by the letter alone: Enter is pressed without reading."""

    BINDINGS: ClassVar = key_bindings.bindings("confirm")
    PLACES: ClassVar = ("confirm", "dialog")

    def __init__(self, question: str, detail: str, word: str) -> None:
        super().__init__()
        self._question, self._detail, self._word = question, detail, word

    def compose_dialog(self) -> ComposeResult:
        yield Static(self._question, markup=False)
        yield Static(self._detail, markup=False)
        yield Static(f"\ny: {self._word}    enter, n or esc: leave it as it is", markup=False)

    def action_submit(self) -> None:
        self.dismiss(False)

    def action_agree(self) -> None:
        self.dismiss(True)

"""Asks a question, then shows the answer with its numbers. The score is kept locally.

Until one has answered, the screen behind is covered but for its name: what is asked stands there in figures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from textual import on
from textual.app import ComposeResult
from textual.widgets import Static

from ..core.key_bindings import Command
from ..core.protocol import AppProtocol
from ..networks.quiz import Question
from ..widgets.rows import Column, ListRow, RowList
from ..widgets.shell import TopLine
from .base import BaseScreen
from .dialog import Dialog


class QuestionScreen(Dialog[bool]):
    """Ends with whether the prediction was right; None when it was not made."""

    HEADING = "Predict"

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._answered: bool | None = None
        self.add_class("-covering")

    def compose(self) -> ComposeResult:
        behind = [screen for screen in self.app.screen_stack if isinstance(screen, BaseScreen)]
        yield TopLine(behind[-1].HEADING if behind else "")
        yield from super().compose()

    def compose_dialog(self) -> ComposeResult:
        yield Static(self._question.text, markup=False)
        yield Static("", markup=False)
        if self._question.drawing:
            yield Static("\n".join((*self._question.drawing, "")), markup=False)
        rows = [
            ListRow(str(place), (f"{chr(97 + place)}  {text}",)) for place, text in enumerate(self._question.options)
        ]
        yield RowList((Column(""),), rows, titles=False, id="options")
        yield Static("", id="verdict", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#options").styles.height = len(self._question.options)
        self.query_one(RowList).focus()

    def active_commands(self) -> tuple[Command, ...]:
        if self._answered is not None:
            return tuple(
                replace(command, foot="close") for command in super().active_commands() if command.action == "submit"
            )
        feet = {"submit": "answer", "cancel": "close without an answer"}
        return tuple(replace(found, foot=feet.get(found.action, found.foot)) for found in super().active_commands())

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        if self._answered is None:
            self._reveal(int(message.key))
        else:
            self.dismiss(self._answered)

    def _reveal(self, place: int) -> None:
        question, saved_state = self._question, cast(AppProtocol, self.app).saved_state
        self._answered = place == question.right
        self.remove_class("-covering")
        saved_state.asked += 1
        saved_state.right += self._answered
        said = "right" if self._answered else f"no, the answer is {question.options[question.right]}"
        if not self._answered:
            said += f"\n{question.options[place]}: {question.mistakes[place]}"
        score = f"{saved_state.right} of {saved_state.asked} right so far"
        self.query_one("#verdict", Static).update(f"\n{said}\n{question.because}\n{score}; enter closes")
        rows = [
            ListRow(
                row.key, (f"{'✓' if number == question.right else '✗' if number == place else ' '} {row.cells[0]}",)
            )
            for number, row in enumerate(self.query_one(RowList).rows)
        ]
        self.query_one(RowList).set_rows(rows)
        self.update_keys()

    def key_a(self) -> None:
        self._letter(0)

    def key_b(self) -> None:
        self._letter(1)

    def key_c(self) -> None:
        self._letter(2)

    def key_d(self) -> None:
        self._letter(3)

    def _letter(self, place: int) -> None:
        if self._answered is None and place < len(self._question.options):
            self._reveal(place)

    def action_submit(self) -> None:
        if self._answered is not None:
            self.dismiss(self._answered)

    def action_cancel(self) -> None:
        self.dismiss(self._answered)

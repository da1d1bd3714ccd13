"""What threads and widgets tell the app and its screens. Data only; each message says one thing."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from ..trainer.run import Run
from .helper import Answer, HelperState


@dataclass
class RunsRead(Message):
    """The runs folder was read and something changed; ``problem`` says why it could not be read."""

    runs: tuple[Run, ...]
    problem: str = ""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RunsRead)


@dataclass
class HelperChanged(Message):
    """The helper process started, got ready or ended."""

    state: HelperState


@dataclass
class Answered(Message):
    """The helper process answered a question, or could not."""

    answer: Answer


@dataclass
class TrainStarted(Message):
    """`train --detach` came back with the id of a run."""

    run_id: str


@dataclass
class TrainRefused(Message):
    """`train --detach` ended with an error; ``problem`` is its one line."""

    problem: str


@dataclass
class RunCommandDone(Message):
    """A stop or resume went through (``problem`` empty) or not; ``text`` says what happened."""

    text: str
    problem: str = ""


@dataclass
class TerminalGone(Message):
    """The terminal under the app was closed, or the app was told to end."""

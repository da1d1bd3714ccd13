"""What threads and widgets tell the app and its screens. Data only; each message says one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual.message import Message

from ...trainer.runs.run import RunSnapshot
from ..launch.commands import CommandCall, Device, Preview
from ..worker.process import Answer, HelperState

if TYPE_CHECKING:
    from ...errors import UsageError
    from ...trainer.data.dataset_info import DataInfo
    from ..runs.machine import Readings
    from ..runs.run_previews import RunPreview
    from ..runs.run_tail import RunNews


@dataclass
class RunsRead(Message):
    """The runs folder was read and something changed; ``problem`` says why it could not be read."""

    runs: tuple[RunSnapshot, ...]
    problem: str = ""

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RunsRead)


@dataclass
class MachineRead(Message):
    """The machine was sampled."""

    readings: Readings

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, MachineRead)


@dataclass
class RunPreviewsRead(Message):
    """Some of the runs that are listed went on."""

    previews: dict[str, RunPreview]


@dataclass
class RunNewsRead(Message):
    """One run went on: what its curve says, its figures per class, its log."""

    news: RunNews


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
    """`train --detach` came back with the ids of runs."""

    run_ids: tuple[str, ...]


@dataclass
class TrainLogged(Message):
    """`train --detach` tells what it is doing: a download, a check."""

    text: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TrainLogged)


@dataclass
class PlanRead(Message):
    """`train --plan` came back from a call."""

    preview: Preview
    call: CommandCall


@dataclass
class DevicesFound(Message):
    """The GPUs were looked at."""

    devices: tuple[Device, ...]


@dataclass
class FolderRead(Message):
    """A folder of images was looked at: what the data set ``dataset`` is, or what is wrong with it."""

    dataset: str
    found: DataInfo | UsageError


@dataclass
class TrainRefused(Message):
    """`train --detach` ended with an error; ``problem`` is its one line."""

    problem: str


@dataclass
class BinRead(Message):
    """The bin was read: its runs by their ids, each with the time until which it is kept, or what is wrong with it."""

    runs: Mapping[str, tuple[RunSnapshot, datetime]]
    problem: str = ""


@dataclass
class AskForName(Message):
    """A widget wants one of ``names``. The app shows the dialog and calls ``answer``, with None where it is left."""

    heading: str
    names: Sequence[str]
    current: str
    answer: Callable[[str | None], None]


@dataclass
class AskForCharts(Message):
    """A widget wants to know which charts to show; ``shown`` are those of now. Answered like :class:`AskForName`."""

    shown: tuple[str, ...]
    answer: Callable[[tuple[str, ...] | None], None]


@dataclass
class AskForColumns(Message):
    """A widget wants to know which columns to show, of those in ``titles``. Answered like :class:`AskForName`."""

    titles: Mapping[str, str]
    shown: tuple[str, ...]
    answer: Callable[[tuple[str, ...] | None], None]


@dataclass
class TerminalGone(Message):
    """The terminal under the app was closed, or the app was told to end."""

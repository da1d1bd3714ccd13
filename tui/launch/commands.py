"""Asks `cnn-explorer train …`, the same command that a person would type: what it would do, and to do it. No Textual."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ... import machine
from ...models.catalogue.notes import memory_text
from ...trainer.common import text_safe
from ..worker.process import python_module

LONGEST_TEXT = 1 << 20


@dataclass(frozen=True)
class LaunchCommand:
    """What to train: the words after `cnn-explorer`, and the folders of the app."""

    words: tuple[str, ...]
    runs: Path
    data: Path

    def command(self, *more: str) -> list[str]:
        """Return the whole command."""
        folders = ["--runs", str(self.runs), "--data", str(self.data)]
        return [*python_module("cnn_explorer"), *self.words, *folders, *more]


@dataclass(frozen=True)
class CommandOutcome:
    """The ids of the runs that were started, or ``problem`` in one line."""

    run_ids: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Preview:
    """What `train --plan` says: its JSON object, or ``problem`` in one line."""

    plan: dict[str, Any] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Device:
    """A GPU under the name that `train --device` takes, and in words how much of it is free and who uses it."""

    name: str
    words: str


def devices() -> tuple[Device, ...]:
    """Return the GPUs that a training started from here sees, under CUDA's numbers; empty without NVML.

    CUDA numbers them from the fastest on, NVML by their place on the bus. Where nobody decided about that, `environment`
    makes CUDA follow the bus; where somebody did and the GPUs differ, no number is certain, and none is given.
    """
    found = machine.gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if _decided() and len({gpu.name for gpu in found}) > 1:
        return ()
    if visible is not None:
        found = [gpu for word in visible.split(",") for gpu in found if _is_meant(gpu, word.strip())]
    return tuple(Device(f"cuda:{number}", _words(gpu)) for number, gpu in enumerate(found))


def environment() -> dict[str, str]:
    """Return the environment of the command."""
    return dict(os.environ) if _decided() else os.environ | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def _decided() -> bool:
    """Return whether the environment of the app decides which GPUs CUDA sees, or how it numbers them."""
    return any(name in os.environ for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"))


def _is_meant(gpu: machine.Gpu, word: str) -> bool:
    return word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))


def _words(gpu: machine.Gpu) -> str:
    free = "N/A" if gpu.memory_free is None else memory_text(gpu.memory_free)
    users = sorted({machine.owner(pid) for pid, _ in gpu.processes})
    return f"{gpu.name}, {free} free, " + (f"used by {', '.join(users)}" if users else "nobody uses it")


LET_GO = " is trained in process "
"""What `train --detach` says of each run that no longer needs it."""


class CommandCall:
    """One run of the command, which another thread may end. What it says on stderr goes to ``hear``, piece by piece."""

    def __init__(self, command: Sequence[str], hear: Callable[[str], None] = lambda text: None) -> None:
        self._command = list(command)
        self._hear = hear
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = threading.Lock()
        self.cancelled = False
        self.let_go: list[str] = []
        """The runs that the command has let go of: they go on even if it is ended before it can name them."""

    def cancel(self) -> None:
        """End the process, or keep it from being started."""
        with self._guard:
            self.cancelled = True
            if self._process is not None:
                self._process.kill()

    def run(self) -> tuple[int, str, str]:
        """Exit code, stdout, and the last line of stderr. OSError where it cannot be started."""
        with self._guard:
            if self.cancelled:
                return -1, "", ""
            self._process = subprocess.Popen(
                self._command,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        process = self._process
        assert process.stdout is not None and process.stderr is not None
        said = _Collected(process.stdout)
        last = self._listen(process.stderr)
        text = said.text()
        return process.wait(), text, last

    def _listen(self, stream: IO[bytes]) -> str:
        """Pass on what is said, a carriage return ending a piece as a line end does; returns the last piece."""
        last = ""
        with contextlib.closing(stream):
            while piece := stream.read1(4096):  # pyright: ignore[reportAttributeAccessIssue] buffered, as a pipe of bytes is
                lines = [clean for line in _text(piece).splitlines() if (clean := text_safe.clean(line).strip())]
                self.let_go += [line.split()[0] for line in lines if LET_GO in line]
                if lines:
                    last = lines[-1]
                    self._hear(last)
        return last


class _Collected:
    """What a stream gives until its end, read in a thread so that two pipes cannot block each other."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._data = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.closing(self._stream):
            self._data = self._stream.read(LONGEST_TEXT)

    def text(self) -> str:
        self._thread.join()
        return _text(self._data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def call_start(request: LaunchCommand, hear: Callable[[str], None]) -> CommandCall:
    """Return the call that starts a run, or a queue of runs, in the background."""
    return CommandCall(request.command("--detach"), hear)


def call_plan(request: LaunchCommand) -> CommandCall:
    """Return the call that tells what would be trained and how long it would take."""
    return CommandCall(request.command("--plan", "--json"))


def start(call: CommandCall) -> CommandOutcome:
    """Run it and wait until the command has checked what it can and let go of the runs. Never raises."""
    try:
        code, said, complained = call.run()
    except OSError as error:
        return CommandOutcome(problem=f"`train` cannot be started: {error.strerror}")
    ids = tuple(clean for line in said.splitlines() if (clean := text_safe.clean(line).strip()))
    if code == 0 and ids:
        return CommandOutcome(ids)
    if call.cancelled and call.let_go:
        return CommandOutcome(tuple(call.let_go))
    return CommandOutcome(problem=_problem(complained, code))


def plan(call: CommandCall) -> Preview:
    """Run it and read its answer. Never raises."""
    try:
        code, said, complained = call.run()
    except OSError as error:
        return Preview(problem=f"`train` cannot be started: {error.strerror}")
    if code:
        return Preview(problem=_problem(complained, code))
    try:
        found = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    return Preview(found) if isinstance(found, dict) else Preview(problem="`train --plan` gave no plan")


def _problem(complained: str, code: int) -> str:
    return complained.removeprefix("cnn-explorer: ") or f"`train` ended with exit code {code}"

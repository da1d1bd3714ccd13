"""Starts `cnn-explorer train … --detach`, the same command that a person would type, and reads its answer. No Textual."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..trainer import datainfo, textsafe
from ..trainer.datainfo import DataInfo
from .helper import python_module

MOST_EPOCHS = 100_000
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Request:
    """What to train: a network of the catalogue, a data set and a number of epochs."""

    network: str
    dataset: str
    epochs: int
    runs: Path
    data: Path

    def words(self) -> list[str]:
        """The words after `cnn-explorer`."""
        return [
            "train",
            self.network,
            "--dataset",
            self.dataset,
            "--epochs",
            str(self.epochs),
            "--runs",
            str(self.runs),
            "--data",
            str(self.data),
            "--detach",
        ]


@dataclass(frozen=True)
class Outcome:
    """``run_id`` of the run that was started, or ``problem`` in one line."""

    run_id: str = ""
    problem: str = ""


def check_epochs(text: str) -> tuple[int | None, str]:
    """The number of epochs, or what is wrong with the text, to be shown at the field."""
    try:
        value = int(text.strip())
    except ValueError:
        return None, "a whole number is needed" if text.strip() else "how many epochs?"
    if not 1 <= value <= MOST_EPOCHS:
        return None, f"between 1 and {MOST_EPOCHS}"
    return value, ""


def check_dataset(name: str, data_folder: Path, cache_folder: Path | None = None) -> tuple[DataInfo | None, str]:
    """What the data set is, or what is wrong with its name or folder, to be shown at the field."""
    if not name.strip():
        return None, "which data set?"
    try:
        return datainfo.describe(name.strip(), data_folder, cache_folder=cache_folder), ""
    except UsageError as error:
        return None, textsafe.clean(f"{error.given!r} {error.hint}" if error.given is not None else error.hint)


def start(request: Request) -> Outcome:
    """Run the command and wait until it has checked what it can and let go of the run. Never raises."""
    command = [*python_module("cnn_explorer"), *request.words()]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"`train` did not come back within {TIMEOUT_S:.0f} s")
    except OSError as error:
        return Outcome(problem=f"`train` cannot be started: {error.strerror}")
    said, complained = _last_line(done.stdout), _last_line(done.stderr)
    if done.returncode == 0 and said:
        return Outcome(run_id=said)
    problem = complained.removeprefix("cnn-explorer: ")
    return Outcome(problem=problem or f"`train` ended with exit code {done.returncode}")


def _last_line(text: str) -> str:
    lines = [cleaned for line in text.splitlines() if (cleaned := textsafe.clean(line).strip())]
    return lines[-1] if lines else ""

"""A run as Python code holds it: wait, stop, resume, read its records, load its weights. Loads torch late."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, cast

from ...errors import UsageError, WorkError, nearest
from ..runs import requests
from ..runs.reader import MetricsTail, last_log_lines, read_run
from ..runs.run_writer import checkpoint_paths
from ..runs.states import STATES
from . import spawn

if TYPE_CHECKING:
    import pandas
    import torch
    from torch import nn

RunState = Literal["queued", "starting", "training", "testing", "finished", "stopped", "failed", "diverged", "crashed"]
"""How a run stands; docs/run-directory.md tells what each means."""

POLL_S = 0.1
STOP_S = 60.0
CHECKPOINTS = ("best", "last")


class Records(list[dict[str, Any]]):
    """The records of a run in order of time; the keys of each are described in docs/run-directory.md."""

    def to_pandas(self) -> pandas.DataFrame:
        """Return the records as a DataFrame, with NaN where a record lacks a key. WorkError where pandas is missing."""
        from ...models.catalogue.frames import data_frame

        return data_frame(self)


@dataclass(frozen=True)
class Curve:
    """One quantity over the training: ``values[i]`` at optimiser step ``steps[i]``, after ``epochs[i]`` epochs.

    ``name`` and ``split`` say what it is. Iterating gives pairs (step, value), which is what ``zip(*curve)`` plots.
    """

    name: str
    split: str
    steps: list[int]
    epochs: list[float]
    values: list[float]

    def __repr__(self) -> str:
        match self.steps:
            case []:
                points = "no points"
            case [step]:
                points = f"1 point, step {step}, {self.values[0]:.6g}"
            case [first, *_, last]:
                points = f"{len(self):,} points, steps {first} to {last}, last {self.values[-1]:.6g}"
        return f"<Curve {self.name} of {self.split}: {points}>"

    def __iter__(self) -> Iterator[tuple[int, float]]:
        return iter(zip(self.steps, self.values, strict=True))

    def __len__(self) -> int:
        return len(self.values)

    def to_pandas(self) -> pandas.DataFrame:
        """Return the columns step, epoch and the quantity as a DataFrame. WorkError where pandas is not installed."""
        from ...models.catalogue.frames import data_frame

        columns = zip(self.steps, self.epochs, self.values, strict=True)
        return data_frame([{"step": step, "epoch": epoch, self.name: value} for step, epoch, value in columns])


@dataclass(frozen=True)
class Best:
    """The evaluation on the validation split whose weights are kept: accuracy 0 to 1, loss in nats."""

    epoch: float
    step: int
    accuracy: float
    loss: float


class Run:
    """One training run. It lives in a process of its own; this object reads its directory anew at each question.

    ``run.state`` is ``queued``, ``starting``, ``training``, ``testing``, ``finished``, ``stopped``, ``failed``,
    ``diverged`` or ``crashed``.
    """

    def __init__(self, path: str | Path) -> None:
        if not isinstance(path, str | os.PathLike):
            raise UsageError("path", path, "is not the directory of a run; cnn_explorer.run takes ids and tags too")
        self._path = Path(path)

    @property
    def id(self) -> str:
        """The name of the run: time, network, data set and four characters."""
        return self._path.name

    @property
    def path(self) -> Path:
        """The directory of the run."""
        return self._path

    @property
    def state(self) -> RunState:
        """How it stands now."""
        return cast(RunState, read_run(self._path).state)

    @property
    def config(self) -> dict[str, Any]:
        """What run.json says: network, data, recipe, engine, seed. Empty where it cannot be read."""
        return read_run(self._path).config

    @property
    def status(self) -> dict[str, Any]:
        """What status.json says: phase, progress, seconds left. Empty where it cannot be read."""
        return read_run(self._path).status

    @property
    def error(self) -> str:
        """Why it failed or diverged, in one line; "" where it did not."""
        return read_run(self._path).error

    @property
    def test_accuracy(self) -> float | None:
        """Accuracy of the best weights on the test split, 0 to 1; None before the end."""
        return read_run(self._path).test_accuracy

    def wait(self, timeout: float | None = None) -> Run:
        """Wait until the run has ended, and return it.

        Raises TimeoutError after ``timeout`` seconds, WorkError with the reason where it failed, diverged or crashed,
        UsageError where ``timeout`` is not a number. Interrupting the wait leaves the run alone.
        """
        _check_seconds(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            run = read_run(self._path)
            if not run.live:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"run {self.id}: is {run.state} after {timeout:g} s; it goes on")
            time.sleep(POLL_S)
        if not STATES[run.state].good:
            raise WorkError(f"run {self.id}: {run.state}: {run.error or run.reason or 'its log says more'}")
        return self

    def stop(self, timeout: float | None = STOP_S) -> Run:
        """Ask the run to write a checkpoint and end, wait until it has, and return it; ``resume`` goes on from there.

        Raises UsageError where it has ended already or ``timeout`` is not a number, TimeoutError where it has not ended
        within ``timeout`` seconds (None: any time).
        """
        _check_seconds(timeout)
        answer = requests.request_stop(self._path, float("inf") if timeout is None else timeout)
        if not answer.ended:
            raise TimeoutError(f"run {self.id}: was asked to stop and has not ended after {timeout:g} s")
        return self

    def resume(self) -> Run:
        """Go on from the last checkpoint in a process of its own, and return at once.

        Raises UsageError for a run that is finished or still alive, WorkError where no process can be started.
        """
        spawn.resume(self._path, detach=True)
        return self

    def metrics(self, kind: Literal["train", "eval", "event"] | None = None) -> Records:
        """Return the records so far: all, or those of one ``kind``: "train", "eval" or "event"."""
        if kind not in (None, "train", "eval", "event"):
            raise UsageError("kind", kind, "is unknown; choose one of train, eval, event")
        tail = MetricsTail(self._path)
        found = Records()
        more = True
        while more:
            batch = tail.read()
            if batch.reset:
                found.clear()
            found += [record for record in batch.records if kind in (None, record.get("kind"))]
            more = batch.more
        return found

    def curve(self, name: str = "loss", split: Literal["train", "validation", "test"] = "train") -> Curve:
        """Return one quantity over the training: "loss", "accuracy", of the training split also "lr", "grad_norm" …

        ``split`` is "train", "validation" or "test". Raises UsageError for a quantity that no record of it has.
        """
        if split not in ("train", "validation", "test"):
            raise UsageError("split", split, "is unknown; choose one of train, validation, test")
        records = [record for record in self.metrics() if split == _split(record)]
        known = {key for record in records for key, value in record.items() if _is_number(value)}
        if not isinstance(name, str):
            raise UsageError("curve", name, f"is not the name of a quantity; {nearest('', known)}")
        if records and name not in known:
            raise UsageError("curve", name, f"is in no record of the {split} split; {nearest(name, known)}")
        kept = [record for record in records if _is_number(record.get(name))]
        steps = [int(record["step"]) for record in kept]
        return Curve(name, split, steps, [float(r["epoch"]) for r in kept], [float(r[name]) for r in kept])

    def best(self) -> Best | None:
        """Return the evaluation whose weights are best.pt; None where there was none yet."""
        epoch = (self.status.get("best") or {}).get("epoch")
        if not isinstance(epoch, int | float):
            return None
        for record in reversed(self.metrics("eval")):
            if record.get("split") == "validation" and record.get("epoch") == epoch:
                return Best(float(epoch), int(record["step"]), float(record["accuracy"]), float(record["loss"]))
        return None

    def load(self, checkpoint: Literal["best", "last"] = "best") -> nn.Module:
        """Build the network and put the weights of ``checkpoint`` ("best" or "last") into it: in eval mode, on the CPU.

        A network of your own is built by running the code in the run's directory: load only runs that you trust. Random
        states stay as they were. Raises WorkError where there is no such checkpoint yet or it cannot be read.
        """
        from ...models.anatomy.forward.untouched import random_state_kept
        from ..weights.weight_files import load_network

        with random_state_kept():
            return load_network(self._checkpoint(checkpoint)).network

    def inputs(self, images: torch.Tensor) -> torch.Tensor:
        """Return images (B, C, H, W) with values 0 to 255 as the network takes them: normalised, at its size.

        Raises UsageError for what is no such tensor, WorkError where the run has no best checkpoint yet.
        """
        import torch

        from ..weights.weight_files import input_transform_of

        transform = input_transform_of(self._checkpoint("best"))
        if not isinstance(images, torch.Tensor):
            raise UsageError("images", type(images).__name__, "is not a tensor; torch.as_tensor makes one")
        if images.ndim != 4 or images.shape[1] not in (1, transform.channels):
            takes = "1 channel" if transform.channels == 1 else f"{transform.channels} channels, or 1"
            raise UsageError("images", tuple(images.shape), f"must be of shape (B, C, H, W) with {takes}")
        return transform.sized(transform.normalised(images))

    def log(self, lines: int = 20) -> list[str]:
        """Return the last lines of train.log, at most ``lines``. UsageError where that is not a whole number."""
        if not isinstance(lines, SupportsIndex):
            raise UsageError("lines", lines, "must be a whole number")
        return last_log_lines(self._path, lines.__index__())

    def _checkpoint(self, which: str) -> Path:
        if which not in CHECKPOINTS:
            raise UsageError("checkpoint", which, f"is unknown; {nearest(str(which), CHECKPOINTS)}")
        path: Path = getattr(checkpoint_paths(self._path), which)
        if not path.exists():
            raise WorkError(f"run {self.id}: has no {which} checkpoint yet; it is {self.state}")
        return path

    def __repr__(self) -> str:
        run = read_run(self._path)
        words = ", ".join(filter(None, (run.state, run.phase)))
        return f"<Run {self.id}: {run.network or '?'} on {run.dataset or '?'}, {words}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and other.path.absolute() == self.path.absolute()

    def __hash__(self) -> int:
        return hash(self._path.absolute())


def _check_seconds(timeout: object) -> None:
    """Raise UsageError for a time to wait that is neither a number nor None."""
    if timeout is not None and (not isinstance(timeout, Real) or math.isnan(timeout)):
        raise UsageError("timeout", timeout, "must be a number of seconds, or None for any time")


def _split(record: dict[str, Any]) -> object:
    return "train" if record.get("kind") == "train" else record.get("split")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

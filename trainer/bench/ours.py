"""The engine as a run uses it, Trainer, Updater, TrainingBatches and Report with a run directory, for a number of steps.

What is left out is what the other loops do not do either: there is no validation split, and no checkpoints are written.
"""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from ..batches.batches import Epoch, TrainingBatches
from ..common.progress import ProgressReporter
from ..config.run_config import RunConfig
from ..data.datasets import DataSet
from ..loop.checkpointer import NullCheckpointer
from ..loop.compile_warmup import warm_up
from ..loop.reporter import Report
from ..loop.session import build_session
from ..loop.train_step import StepMetrics, Updater
from ..loop.trainer import Session, Stopped, Trainer
from ..planning import planner
from ..runs.run_writer import RunWriter
from .canonical import Loader


class EngineLoop:
    """A session in a run directory of its own below ``runs``; when its recipe is through it begins anew."""

    least_steps = 1

    def __init__(self, session: Session, config: RunConfig, runs: Path) -> None:
        self.session = session
        path, self._lock = planner.create(config, runs, ["bench", config.network.name])
        self._writer = RunWriter.open(path, self._lock)
        report = Report(self._writer, ProgressReporter(lambda line: None))
        checkpointer = NullCheckpointer(
            self._writer.checkpoints, report, config.checkpoints
        )  # writes none, as the other loops do not
        self._trainer = Trainer(session, report, checkpointer, self._stop_wanted)
        self._left = 0
        warm_up(session, config.engine, report, 0, alone=False)

    def prepare(self) -> None:
        """Do nothing: all is on the device."""

    def run(self, steps: int) -> None:
        """Train for ``steps`` steps, with the records and the status that a run of that length would write."""
        self._left = steps
        while self._left:
            try:
                self._trainer.run()
            except Stopped:
                continue
            self._trainer.step = self._trainer.evaluated = 0

    def _stop_wanted(self) -> bool:
        """Return whether to stop; the trainer asks after each step."""
        self._left -= 1
        return self._left == 0

    def close(self) -> None:
        """Let the run directory go."""
        self._writer.close()
        self._lock.release()


class BatchesOnly:
    """The data path of the engine alone: batches are made, and nothing is done with them."""

    least_steps = 1

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches
        self._number = 0
        self._position = 0
        self._epoch: Epoch | None = None

    def prepare(self) -> None:
        """Do nothing: nothing is made in advance."""

    def run(self, steps: int) -> None:
        """Make ``steps`` batches."""
        for _ in range(steps):
            if self._epoch is None or self._position == self._batches.steps_per_epoch:
                self._epoch = self._batches.epoch(self._number)
                self._number, self._position = self._number + 1, 0
            self._batches.batch(self._epoch, self._position)
            self._position += 1


def session_of(config: RunConfig, data: DataSet, existing: TrainingBatches | None = None) -> Session:
    """Return a session for ``config``, without validation split. It uses the images that ``existing`` already holds."""
    session = build_session(config, data, torch.device(config.engine.device))
    if existing is None:
        return session
    batches = copy.copy(existing)
    batches.input_transform = session.input_transform
    return dataclasses.replace(session, batches=batches)


def without_fused_kernels(session: Session) -> Session:
    """Let torch choose the implementation of the optimiser: a loop on a CPU, a kernel for many tensors on a GPU."""
    for group in session.updater.optimizer.param_groups:
        group["fused"] = False
        group["foreach"] = None
    return session


def with_a_loader(session: Session, loader: Loader) -> Session:
    """Return the batches of a DataLoader instead of resident images."""
    return dataclasses.replace(session, batches=_FromLoader(session.batches, loader))


class _FromLoader:
    """Stands for the engine's batches, and gives what a DataLoader gives, whatever place is asked for."""

    def __init__(self, batches: TrainingBatches, loader: Loader) -> None:
        self.steps_per_epoch = batches.steps_per_epoch
        self.batch_size = batches.batch_size
        self._layout = batches.input_transform.layout
        self._loader = loader

    def epoch(self, number: int) -> None:
        """Do nothing: the DataLoader shuffles by itself."""

    def batch(self, epoch: None, position: int) -> tuple[Tensor, Tensor]:
        """Return the next batch."""
        images, targets = next(self._loader)
        return images.contiguous(memory_format=self._layout), targets


def with_waiting(session: Session) -> Session:
    """Fetch loss and hits after every step, as the loops of tutorials do."""
    return dataclasses.replace(session, updater=_Waiting(session.updater))


class _Waiting:
    """An updater that waits for the device after each step."""

    def __init__(self, updater: Updater) -> None:
        self._updater = updater

    def __call__(self, images: Tensor, targets: Tensor, rate: float) -> StepMetrics:
        figures = self._updater(images, targets, rate)
        figures.loss.item()
        figures.correct.item()
        return figures

    def __getattr__(self, name: str) -> object:
        return getattr(self._updater, name)

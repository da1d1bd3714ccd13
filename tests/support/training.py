"""A network small enough to be trained many times, and short ways to train it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from cnn_explorer.cli import main
from cnn_explorer.cli.train_command import TrainCommand
from cnn_explorer.cli.train_options import request_of
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.common.progress import ProgressReporter
from cnn_explorer.trainer.config import run_config
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.loop.checkpointer import Checkpointer
from cnn_explorer.trainer.loop.reporter import Report
from cnn_explorer.trainer.loop.session import build_session, load_data
from cnn_explorer.trainer.loop.trainer import Session, Trainer
from cnn_explorer.trainer.planning import planner
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.run_writer import RunWriter, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint

NOTE = """+++
title = "Tiny"
year = 2026
input = [1, 28, 28]
classes = 10

[recipe]
epochs = 3
batch_size = 64
lr = 0.05
augment = ["translate", "cutout"]

[variants.tiny]

[variants.tiny_broken]

[variants.tiny_slow]

[variants.tiny_hungry]

[variants.tiny_plain]
+++
A network for tests.
"""

CODE = '''
import os
import time
import torch
from torch import nn


class Tiny(nn.Module):
    """A convolution, batch norm, dropout, a linear layer: something of each kind that a resumed run must get right."""

    def __init__(self, num_classes, in_channels, image_size):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 5, stride=4)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(4 * ((image_size - 5) // 4 + 1) ** 2, num_classes)

    def forward(self, x):
        return self.head(self.dropout(torch.relu(self.norm(self.conv(x)))).flatten(1))


class Broken(Tiny):
    def forward(self, x):
        if self.training and len(x) > 2:
            raise ZeroDivisionError("the network cannot go on")
        return super().forward(x)


class Plain(nn.Module):
    """Nothing in it treats an image otherwise because of its neighbours in the batch, or at random.

    One parameter is never used, as it happens in networks of one's own.
    """

    def __init__(self, num_classes, in_channels, image_size):
        super().__init__()
        self.spare = nn.Parameter(torch.ones(3))
        self.conv = nn.Conv2d(in_channels, 4, 5, stride=4)
        self.head = nn.Linear(4 * ((image_size - 5) // 4 + 1) ** 2, num_classes)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).flatten(1))


class Slow(Tiny):
    def forward(self, x):
        if self.training:
            time.sleep(0.02)
        return super().forward(x)


class Hungry(Tiny):
    """Has memory for as many images at a time as TRAINED_AT_ONCE and JUDGED_AT_ONCE say."""

    def forward(self, x):
        room = int(os.environ.get("TRAINED_AT_ONCE" if self.training else "JUDGED_AT_ONCE", 1000))
        y = super().forward(x[:room])
        if len(x) > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return y


def tiny(num_classes, in_channels, image_size):
    return Tiny(num_classes, in_channels, image_size)


def tiny_broken(num_classes, in_channels, image_size):
    return Broken(num_classes, in_channels, image_size)


def tiny_plain(num_classes, in_channels, image_size):
    return Plain(num_classes, in_channels, image_size)


def tiny_slow(num_classes, in_channels, image_size):
    return Slow(num_classes, in_channels, image_size)


def tiny_hungry(num_classes, in_channels, image_size):
    return Hungry(num_classes, in_channels, image_size)
'''


def write_models(folder: Path) -> None:
    """The pair of files of the networks tiny, tiny_broken, tiny_hungry, tiny_plain and tiny_slow."""
    folder.mkdir()
    (folder / "tiny.md").write_text(NOTE)
    (folder / "tiny.py").write_text(CODE)


def tiny_networks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the networks tiny … into the catalogue, and yield the folder of the runs."""
    write_models(folder / "models")
    monkeypatch.setenv("CNN_EXPLORER_MODELS", str(folder / "models"))
    monkeypatch.setenv("CNN_EXPLORER_RUNS", str(folder / "runs"))
    registry.forget()
    yield folder / "runs"
    registry.forget()


def asked(
    network: str | None = "tiny",
    *,
    recipe: Mapping[str, object] = MappingProxyType({}),
    checkpoints: Mapping[str, object] = MappingProxyType({}),
    **settings: object,
) -> TrainRequest:
    """A request for a network, with one thread on the CPU where nothing else is said."""
    values = {"threads": 1, "device": "cpu"} | settings | dict(recipe) | dict(checkpoints)
    return TrainRequest.of(*([] if network is None else [network]), **values)


def create_run(runs: Path, network: str | None = "tiny", **options: Any) -> tuple[Path, RunLock]:
    """A queued run with its lock held, with one thread and seed 0 where nothing else is given."""
    said: list[str] = []
    config = planner.plan(asked(network, **options), said.append).config
    return planner.create(config, runs, ["train", config.network.name])


def command(*words: str, **options: Any) -> subprocess.Popen[str]:
    """The program in a process of its own, with its output caught as text."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "env": environment,
    } | options
    return subprocess.Popen([sys.executable, "-m", "cnn_explorer", *words], **pipes)


def status_of(path: Path) -> dict:
    return json.loads((path / "status.json").read_text())


def records_of(path: Path, kind: str) -> list[dict]:
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [record for line in lines if (record := json.loads(line))["kind"] == kind]


def weights_of(path: Path, which: str = "last") -> dict[str, torch.Tensor]:
    """The model's tensors in a checkpoint of the run."""
    return checkpoint.read(getattr(checkpoint_paths(path), which))["model"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal in every bit."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@dataclass
class Bench:
    """A trainer with everything around it, for tests that look inside."""

    trainer: Trainer
    session: Session
    report: Report
    checkpointer: Checkpointer
    path: Path
    lines: list[str]


@contextmanager
def bench(path: Path, lock: RunLock, stop_after: int | None = None) -> Iterator[Bench]:
    """Put a queued run together without training it; it stops by itself after step ``stop_after``."""
    lines: list[str] = []
    with RunWriter.open(path, lock) as writer:
        config = run_config.from_dict(writer.config)
        report = Report(writer, ProgressReporter(lines.append))
        session = build_session(config, load_data(config, lines.append), torch.device("cpu"))
        checkpointer = Checkpointer(writer.checkpoints, report, config.checkpoints)
        trainer = Trainer(session, report, checkpointer, lambda: trainer.step == stop_after)
        yield Bench(trainer, session, report, checkpointer, path, lines)


def request_of_words(words: Sequence[str]) -> TrainRequest:
    """Return the request that the words after `cnn-explorer train` ask for; it undoes what `TrainRequest.to_argv` does."""
    return request_of(TrainCommand("train").make_context("train", list(words)).params)


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The command in this process, where torch is loaded already; returns its exit code."""
    monkeypatch.setattr("sys.argv", ["cnn-explorer", *words])
    monkeypatch.setattr("sys.unraisablehook", sys.unraisablehook)  # that of the command is its own
    with pytest.raises(SystemExit) as left:
        main.main()
    code = left.value.code or 0
    assert isinstance(code, int), code
    return code


Here = Callable[..., subprocess.CompletedProcess[str]]
"""A command in this process, as if it were one of its own: the fixture ``here``."""

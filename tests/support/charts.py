"""Runs with values worth charting, written by hand."""

from __future__ import annotations

import math
from pathlib import Path

from cnn_explorer.tui.charts.view import ChartedRun

from support.tui import FakeRun, eval_record, train_record

NAMES = ("20261120-143022-lenet5-digits-7f3a", "20261120-153022-resnet18-digits-8c1d")


def full_record(step: int, **values: float) -> dict:
    """A training record with all that the trainer writes."""
    return train_record(step, 2.0 * math.exp(-step / 100)) | {"lr": 0.1, "grad_norm": 1.0 + step % 3} | values


def make_run(folder: Path, name: str = NAMES[0], count: int = 200) -> FakeRun:
    run = FakeRun(folder, name, "finished")
    run.write(*(full_record(step) for step in range(count)))
    run.write(*(eval_record(epoch, 0.5 + 0.1 * epoch) for epoch in (1, 2)))
    return run


def charted(*runs: FakeRun, pinned: int = -1) -> list[ChartedRun]:
    return [ChartedRun(run.path, run.path.name.split("-")[2], slot, slot == pinned) for slot, run in enumerate(runs)]

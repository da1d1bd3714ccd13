"""The figures of the steps since the last record, kept on the device and fetched in one go."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from ..devices.process_group import ALONE, Group
from .train_step import StepMetrics

LONGEST_S = 1.0
SHORTEST_S = 0.05
RECORDS_PER_RUN = 400
COST_SHARE = 0.01
"""Part of the time that records may take."""


@dataclass(frozen=True)
class WindowMeans:
    """Means over as many ``steps``; ``bad`` is the number (from 0) of the first one whose loss is NaN or infinite."""

    loss: float
    accuracy: float
    images_per_s: float
    steps: int
    bad: int | None


class MetricsWindow:
    """Collects the figures of steps of ``batch_size`` images and says when a record is due.

    A record is due every second; in a short run, so that it too has a curve, after each 400th part of the run, though not
    more often than twenty times a second, nor so often that records take more than a hundredth of the time (`charge`).
    """

    def __init__(self, batch_size: int, total_steps: int, group: Group = ALONE) -> None:
        self._batch_size = batch_size
        self._group = group
        self._every = max(1, total_steps // RECORDS_PER_RUN)
        self._shortest = SHORTEST_S
        self._metrics: list[StepMetrics] = []
        self.restart()

    def restart(self) -> None:
        """Begin anew: the time since the last record went to something else, such as an evaluation."""
        self._metrics.clear()
        self._since = time.perf_counter()

    def __len__(self) -> int:
        return len(self._metrics)

    def add(self, metrics: StepMetrics) -> None:
        """Take in one step."""
        self._metrics.append(metrics)

    def due(self) -> bool:
        """Return whether it is time for a record."""
        passed = time.perf_counter() - self._since
        return passed >= LONGEST_S or (passed >= self._shortest and len(self._metrics) >= self._every)

    def charge(self, seconds: float) -> None:
        """Set ``seconds`` as the cost of a record from now on."""
        self._shortest = max(SHORTEST_S, seconds / COST_SHARE)

    def close(self) -> WindowMeans:
        """Return the means since the last record, and begin anew. Waits for the device. At least one step must be in."""
        losses = (
            self._group.sum(torch.stack([metrics.loss for metrics in self._metrics])) / self._group.world
        ).tolist()
        correct = self._group.sum(torch.stack([metrics.correct for metrics in self._metrics]).sum()).item()
        count = len(losses)
        images = count * self._batch_size
        bad = next((number for number, loss in enumerate(losses) if not math.isfinite(loss)), None)
        speed = images / max(time.perf_counter() - self._since, 1e-9)
        self.restart()
        return WindowMeans(sum(losses) / count, correct / images, speed, count, bad)

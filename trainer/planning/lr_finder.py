"""The learning-rate range test: the rate grows with every step, and the loss tells which rates work.

Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3, with rates that grow by a
factor instead of a summand, as is usual since. It trains a throw-away copy; no run is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..batches.batches import TrainingBatches
from ..config.run_config import RunConfig
from ..data.datasets import DataSet
from ..devices import hardware
from ..loop.session import build_session
from ..optim.fine_tuning import train_mode

LOWEST = 1e-6
HIGHEST = 10.0
STEPS = 120

BLOWN_UP = 4.0
"""The test ends when the running loss is this many times its smallest value."""

RUNNING = 0.9
"""Decay of the running loss that decides about the end."""

NEIGHBOURS = 5
"""The loss at a rate is the mean over this many rates on each side."""

CLEAR_FALL = 0.05
"""Part of the first loss by which it must fall for a rate to be suggested."""


@dataclass(frozen=True)
class RangeTest:
    """Losses at growing rates; ``smoothed`` are means over neighbouring rates. ``blew_up``: the last rate was too much.

    ``lowest`` is the rate of the smallest smoothed loss, ``steepest`` the rate below it at which the loss falls fastest,
    ``suggested`` a tenth of ``lowest``; all three are None where the loss never falls clearly.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    blew_up: bool
    lowest: float | None
    steepest: float | None
    suggested: float | None

    @property
    def verdict(self) -> str:
        """What follows from it, in a line."""
        if self.suggested is None:
            return "the loss falls clearly at none of these rates, so none is suggested"
        return (
            f"suggested learning rate {self.suggested:.2g}: a tenth of {self.lowest:.2g}, where the loss is smallest; "
            f"it falls fastest at {self.steepest:.2g}"
        )


def range_test(config: RunConfig, data: DataSet) -> RangeTest:
    """Train a copy of the run with rates from LOWEST to HIGHEST until the loss blows up.

    Everything but the rate, and the average of weights, which has no part in it, is as in the run.
    """
    device = hardware.choose_device(config.engine.device)
    hardware.use_threads(min(config.engine.threads, hardware.usable_cores()))
    config = dataclasses.replace(config, recipe=dataclasses.replace(config.recipe, ema=0.0))
    session = build_session(config, data, device)
    train_mode(session.network)
    rates: list[float] = []
    losses: list[float] = []
    running, smallest = 0.0, math.inf
    for number, (images, targets) in enumerate(itertools.islice(_batches(session.batches), STEPS)):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / (STEPS - 1))
        loss = session.updater(images, targets, rate).loss.item()
        if not math.isfinite(loss):
            return find_range(rates, losses, blew_up=True)
        rates.append(rate)
        losses.append(loss)
        running = RUNNING * running + (1 - RUNNING) * loss
        present = running / (1 - RUNNING ** (number + 1))
        smallest = min(smallest, present)
        if present > BLOWN_UP * smallest:
            return find_range(rates, losses, blew_up=True)
    return find_range(rates, losses, blew_up=False)


def _batches(batches: TrainingBatches) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the run's batches, epoch after epoch, without end."""
    for number in itertools.count():
        epoch = batches.epoch(number)
        for position in range(batches.steps_per_epoch):
            yield batches.batch(epoch, position)


def find_range(rates: Sequence[float], losses: Sequence[float], *, blew_up: bool) -> RangeTest:
    """Return what the losses at evenly growing ``rates`` say."""
    smoothed = _smoothed(losses)
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__, default=0)
    if lowest < 2 or smoothed[lowest] > (1 - CLEAR_FALL) * smoothed[0]:
        return RangeTest(list(rates), list(losses), smoothed, blew_up, None, None, None)
    steepest = min(range(1, lowest), key=lambda index: smoothed[index + 1] - smoothed[index - 1])
    return RangeTest(
        list(rates), list(losses), smoothed, blew_up, rates[lowest], rates[steepest], float(f"{rates[lowest] / 10:.2g}")
    )


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Return the means over as many neighbours on the one side as on the other, so that no rate borrows from higher
    ones alone.
    """
    values = torch.tensor(losses, dtype=torch.float64)
    count = len(losses)
    means = []
    for index in range(count):
        half_width = min(NEIGHBOURS, index, count - 1 - index)
        means.append(values[index - half_width : index + half_width + 1].mean().item())
    return means

"""A few steps of a throw-away copy of a run, to see how long they take. The run itself is left as it is.

The copy is put together by the same code as the run, on a few of its images. The state of the random numbers is as
before afterwards, and the weights of the run do not exist yet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ..batches.batches import TrainingBatches, evaluation_batches
from ..common import rng
from ..config.run_config import RunConfig
from ..data.datasets import DataSet, LabelledImages
from ..devices import hardware
from ..loop.compile_warmup import make_ready
from ..loop.evaluate import evaluate
from ..loop.session import build_session
from ..loop.trainer import Session
from ..optim.fine_tuning import train_mode

LONGEST_STEP_S = 0.5
"""Where a step of a whole batch takes longer, one of fewer images is timed."""

MIN_GROWTH = 1.5
"""A batch that is larger by less is not tried out."""

SHORTEST_BLOCK_S = 0.01
"""Steps are timed together until they take this long: a clock is not read after each of a few microseconds."""

TINY_RATE = 1e-6
"""Learning rate of the steps: the weights stay what they were, so that none of them becomes infinite."""


@dataclass(frozen=True)
class TrialTiming:
    """Seconds of a step of ``batch`` images, those of the run or fewer, and of the evaluation of one image."""

    step_s: float
    batch: int
    evaluation_s: float


class Trial:
    """A session of its own on the first images of ``data``, in the engine of ``config``."""

    def __init__(self, config: RunConfig, data: DataSet) -> None:
        self.device = hardware.choose_device(config.engine.device)
        self._recipe = config.recipe
        self._data = dataclasses.replace(data, train=_first(data.train, 2 * config.recipe.batch_size))
        hardware.use_threads(min(config.engine.threads, hardware.usable_cores()))
        # As if it had begun: weights from elsewhere need not be read for this.
        self.session: Session = build_session(config, self._data, self.device, begun=True)
        make_ready(self.session, config.engine)

    def stepper(self, batch: int) -> Callable[[], None]:
        """Return a function that makes one step with ``batch`` images, the data path included."""
        recipe = dataclasses.replace(self._recipe, batch_size=batch)
        session = self.session
        batches = TrainingBatches(self._data.train, session.input_transform, recipe, 0, session.num_classes)
        epoch = batches.epoch(0)
        train_mode(session.network)
        count = 0

        def step() -> None:
            nonlocal count
            session.updater(*batches.batch(epoch, count % batches.steps_per_epoch), TINY_RATE)
            count += 1

        return step

    def seconds(self, work: Callable[[], None], repetitions: int = 1) -> float:
        """Return the seconds of one call of ``work``, from ``repetitions`` of them, until the device has done them."""
        hardware.wait_for(self.device)
        begun = time.perf_counter()
        for _ in range(repetitions):
            work()
        hardware.wait_for(self.device)
        return (time.perf_counter() - begun) / repetitions

    def evaluation(self, count: int) -> Callable[[], None]:
        """Return a function that evaluates ``count`` images."""
        session = self.session
        images, targets = next(evaluation_batches(self._data.train, session.input_transform, batch=count))

        def work() -> None:
            evaluate(session.updater.eval_model, [(images, targets)], session.num_classes, session.precision)

        return work

    def fitting_batch(self) -> int:
        """Return the run's batch where a step of it takes at most LONGEST_STEP_S, else a number of images that does.

        It is felt for from below, as nobody knows how long a large one takes. Leaves the machine warm for that size.
        """
        whole = self._recipe.batch_size
        batch = min(whole, 2 * self._recipe.accumulate)
        step = self.stepper(batch)
        seconds = min(self.seconds(step), self.seconds(step))  # the first step is slow in any case
        while batch < whole:
            larger = min(whole, int(batch * LONGEST_STEP_S / seconds))
            if larger < MIN_GROWTH * batch and larger < whole:
                break
            batch = larger
            seconds = self.seconds(self.stepper(batch))
        return batch

    def timing(self, budget_s: float) -> TrialTiming:
        """Return the seconds of a step, the median of blocks of steps that take ``budget_s`` together, and of an
        evaluation.
        """
        batch = self.fitting_batch()
        step = self.stepper(batch)
        step_s = statistics.median(blocks(self, step, budget_s))
        run_evaluation = self.evaluation(batch)
        evaluation_s = min(self.seconds(run_evaluation) for _ in range(2))
        return TrialTiming(step_s, batch, evaluation_s / batch)


def blocks(trial: Trial, work: Callable[[], None], budget_s: float) -> list[float]:
    """Return the seconds per call of ``work`` in each of three to nine blocks; a single one where that takes the budget."""
    first = trial.seconds(work)
    if first > budget_s:
        return [first]
    repetitions = max(1, math.ceil(SHORTEST_BLOCK_S / max(first, 1e-7)))
    found: list[float] = []
    deadline = time.perf_counter() + budget_s
    while len(found) < 3 or (len(found) < 9 and time.perf_counter() < deadline):
        found.append(trial.seconds(work, repetitions))
    return found


def _first(samples: LabelledImages, count: int) -> LabelledImages:
    index = torch.arange(min(count, len(samples)))
    return LabelledImages(samples.batch(index), samples.labels[index])


@contextlib.contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Put the global generators back to where they were."""
    before = rng.state(device)
    try:
        yield
    finally:
        rng.restore(before, device)

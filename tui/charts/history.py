"""All records of a run so far, ready to be drawn and told: a history that grows, and a sketch of what is not read yet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...trainer.analysis.best import merit
from ...trainer.analysis.curve_summary import (
    MOST_POINTS,
    CurvePoint,
    CurveSummary,
    Evaluations,
    curve_summary_of,
    diverged_step,
)
from ...trainer.runs.run import RunSnapshot, number
from . import series
from .series import Floats, PlottedCurve, Track
from .view import AXES, METRICS, SPLITS, Curves


class History:
    """``sketch`` holds records spread over the whole file while the file is being read."""

    def __init__(self) -> None:
        self.train = Track(METRICS)
        self.evals = {split: Track(METRICS) for split in SPLITS}
        self.evaluations = Evaluations()
        self.sketch: Track | None = None
        self.records = 0
        self.diverged_step: int | None = None
        self._sketched_step: int | None = None
        self._last: dict = {}
        self._best: dict = {}

    def add(self, records: Sequence[dict]) -> None:
        """Take in new records; unknown kinds are counted and otherwise ignored."""
        self.records += len(records)
        train = [record for record in records if record.get("kind") == "train"]
        self.train.add(train)
        if train:
            self._last = train[-1]
            if self.diverged_step is None:
                self.diverged_step = _first_divergence(train)
        for record in records if len(train) < len(records) else ():
            self.evaluations.add(record)
            split = record.get("split")
            if record.get("kind") == "eval" and isinstance(split, str) and split in self.evals:
                self.evals[split].add([self._at_its_weights(record) if split == "test" else record])
                if split == "validation":
                    self._watch_for_best(record)

    def _at_its_weights(self, record: dict) -> dict:
        """Return the record of the test, moved to where the weights that were tested stand on the axes.

        It was written at the end of the training, and says of which epoch the best weights are.
        """
        epochs = self.evals["validation"].axis("epoch")
        found = np.flatnonzero(epochs == _number(record.get("best_epoch")))
        if not len(found):
            return record
        places = {axis: float(self.evals["validation"].axis(axis)[found[-1]]) for axis in AXES}
        return record | {axis: place for axis, place in places.items() if math.isfinite(place)}

    def sketch_from(self, records: Sequence[dict]) -> None:
        """Take records spread evenly over the file, until those between them are read."""
        train = [record for record in records if record.get("kind") == "train"]
        self.sketch = Track(METRICS)
        self.sketch.add(train)
        self._sketched_step = _first_divergence(train)

    def _watch_for_best(self, record: dict) -> None:
        if math.isfinite(_number(record.get("accuracy"))) and (not self._best or _merit(record) > _merit(self._best)):
            self._best = record

    def best(self, axis: str) -> tuple[float, float] | None:
        """Place on an axis and accuracy of the best validation; None before the first one."""
        return (_number(self._best.get(axis)), _number(self._best.get("accuracy"))) if self._best else None

    @property
    def tested_epoch(self) -> float | None:
        """The epoch of the weights that were tested; None before the test."""
        epoch = _number(self.evaluations.test.get("best_epoch"))
        return epoch if math.isfinite(epoch) else None

    def curve(self, metric: str, split: str, axis: str) -> PlottedCurve:
        """Return one curve; ``split`` is "train" or one of the evaluated ones."""
        if split != "train":
            return self.evals[split].curve(metric, axis)
        read = self.train.curve(metric, axis)
        if self.sketch is None:
            return read
        rest = self.sketch.curve(metric, axis)
        after = rest.x > read.x[-1] if len(read) else np.ones(len(rest), dtype=bool)
        return PlottedCurve(
            np.concatenate([read.x, rest.x[after]]),
            np.concatenate([read.low, rest.low[after]]),
            np.concatenate([read.high, rest.high[after]]),
            np.concatenate([read.mean, rest.mean[after]]),
            read.spacing if len(read) > 1 else rest.spacing,
        )

    def extent(self, axis: str) -> tuple[float, float] | None:
        """Return the smallest and largest place on an axis; None without any."""
        tracks = [self.train, *self.evals.values(), *([self.sketch] if self.sketch else [])]
        positions = np.concatenate([track.axis(axis) for track in tracks])
        positions = positions[np.isfinite(positions)]
        return (float(positions.min()), float(positions.max())) if len(positions) else None

    def place_of_step(self, step: float, axis: str) -> float | None:
        """Return where on an axis the training record of a step, or the next one, lies."""
        steps, positions = self.train.axis("step"), self.train.axis(axis)
        later = np.flatnonzero((steps >= step) & np.isfinite(positions))
        return float(positions[later[0]]) if len(later) else None

    def summary(self, path: Path, progress: float = 1.0) -> Curves:
        """Return what is known of the run."""
        last = {name: number for name, value in self._last.items() if math.isfinite(number := _number(value))}
        return Curves(path, self.records, last, self.diverged_step, self.best("epoch"), progress)

    def without_sketch(self) -> None:
        """Note that all records have been read."""
        self.sketch = self._sketched_step = None

    @property
    def last(self) -> dict:
        """The newest training record; {} before the first one."""
        return self._last

    @property
    def nbytes(self) -> int:
        """Memory that the columns take."""
        return sum(track.nbytes for track in (self.train, *self.evals.values()))

    def accuracies(self, count: int) -> list[float]:
        """Return about ``count`` accuracies of the training, spread over it."""
        values = self.train.means("accuracy")
        values = values[np.isfinite(values)]
        return (values[np.arange(count) * len(values) // count] if len(values) > count else values).tolist()

    def curve_summary(self, run: RunSnapshot, evaluations: Evaluations) -> CurveSummary:
        """Summarise the run so far. ``evaluations`` may be further than the training records that were read so far."""
        step = self._sketched_step if self.diverged_step is None else self.diverged_step
        return curve_summary_of(run, self._course(), evaluations, step, number(self._last.get("lr")))

    def _course(self) -> list[CurvePoint]:
        """Return the training so far as means over equally many rows, few enough for the sentences."""
        epochs, loss, accuracy = (self._whole_train(name) for name in ("epoch", "loss", "accuracy"))
        placed = np.isfinite(epochs)
        epochs, loss, accuracy = epochs[placed], loss[placed], accuracy[placed]
        by = 1
        while len(epochs) >= 2 * MOST_POINTS * by:
            by *= 2
        ends = np.append(epochs[by - 1 :: by], epochs[-1:] if len(epochs) % by else [])
        means = series.block_means(loss, by).tolist(), series.block_means(accuracy, by).tolist()
        return [CurvePoint(*values) for values in zip(ends.tolist(), *means, strict=True)]

    def _whole_train(self, name: str) -> Floats:
        """Return the epochs, or means of a metric, of all training rows: those that were read, and those of the sketch
        after them.
        """

        def of(track: Track) -> Floats:
            return track.axis("epoch") if name == "epoch" else track.means(name)

        if self.sketch is None:
            return of(self.train)
        steps = self.train.axis("step")
        later = self.sketch.axis("step") > np.max(steps, initial=-np.inf, where=np.isfinite(steps))
        return np.concatenate([of(self.train), of(self.sketch)[later]])


def _first_divergence(train: Sequence[dict]) -> int | None:
    """Return the step at which the first of these records says that the run diverged."""
    # Looked for in a column, because this is asked of every record of a long file.
    wrong = np.isinf(series.column(train, "loss")) | np.isinf(series.column(train, "grad_norm"))
    found = (diverged_step(train[place]) for place in np.flatnonzero(wrong).tolist())
    return next((step for step in found if step is not None), None)


def _merit(record: dict) -> tuple[float, float]:
    return merit(_number(record.get("accuracy")), _number(record.get("loss")))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)

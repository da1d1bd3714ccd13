"""A finding, and what the rules have in common: which points they compare, how much of a figure is chance, their words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import counted
from .best import merit
from .curve_summary import CurvePoint, CurveSummary

PIECES = 20
CURVES, RATE, OVERFITTING, VALIDATION = "reading-curves", "learning-rate", "overfitting", "validation"
IMBALANCE = "class-imbalance"
LOSS_SPREAD = 3.0
"""Standard deviation of the losses of single images, as a multiple of their mean, where a record does not tell it."""


@dataclass(frozen=True)
class Finding:
    """``rule`` is a heading of the concept page on reading curves, ``text`` the sentence, ``page`` a concept to read."""

    rule: str
    text: str
    page: str


# Points


def accuracies(summary: CurveSummary) -> list[CurvePoint]:
    """Return the evaluations whose accuracy is a number."""
    return [point for point in summary.validation if math.isfinite(point.accuracy)]


def newest_pair(summary: CurveSummary) -> tuple[CurvePoint, CurvePoint]:
    """Return the newest evaluation and the training of the epoch before it; NaN where there is none."""
    newest = summary.validation[-1] if summary.validation else CurvePoint(0.0, math.nan, math.nan)
    return newest, train_of(summary, newest)


def train_of(summary: CurveSummary, evaluation: CurvePoint) -> CurvePoint:
    """Return the means of the training in the epoch before an evaluation."""
    return summary.train_in(evaluation.epoch - 1, evaluation.epoch)


def best(points: Sequence[CurvePoint]) -> CurvePoint:
    """Return the point of the weights that the trainer keeps."""
    return max(points, key=lambda point: merit(point.accuracy, point.loss))


# Chance


def standard_error(accuracy: float, images: int | None) -> float:
    """Return the standard error of an accuracy on so many images, 0 where their number is not known.

    One right and one wrong image are added, so that 100 % is not taken for certain.
    """
    if not images or not math.isfinite(accuracy):
        return 0.0
    p = (min(max(accuracy, 0.0), 1.0) * images + 1) / (images + 2)
    return math.sqrt(p * (1 - p) / (images + 2))


def loss_error(point: CurvePoint, images: int | None) -> float:
    """Return the standard error of a validation loss, an estimate where the record does not tell it."""
    if math.isfinite(point.loss_error):
        return point.loss_error
    return LOSS_SPREAD * abs(point.loss) / math.sqrt(images) if images else 0.0


# Words


def epoch_text(point: CurvePoint) -> str:
    """Return an epoch as text: 1.5, 15 or 150; never 1.5e+02."""
    return f"{point.epoch:.2g}" if point.epoch < 10 else f"{point.epoch:.0f}"


def the_last(number: int, thing: str) -> str:
    """Return the newest of some things as words: ``the last 2 evaluations``, and ``the last evaluation`` of one."""
    return f"the last {thing if number == 1 else counted(number, thing)}"


def smaller_rate(summary: CurveSummary) -> str:
    """Return advice for a learning rate that is too high."""
    rate = f", {summary.rate:g}," if summary.rate else ""
    trial = f"{summary.rate / 3:.1g}" if summary.rate else "a smaller one"
    return f"Most often the learning rate{rate} is too high; try {trial}, a longer warm-up, or clipped gradients."

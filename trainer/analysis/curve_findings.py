"""Reading the curve: what the course of a run says, in plain sentences with the numbers that led to them.

Every rule is stated in docs/concepts/reading-curves.md with its thresholds, so that a learner can check it. A rule looks at
a summary (curve_summary.py) and says one thing or nothing; the first three that speak are shown, the most urgent first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from ...models.catalogue.share_text import share_text
from ..common.number_text import percent
from .best import merit
from .curve_summary import CurvePoint, CurveSummary

MOST = 3
PIECES = 20
RISE, RISE_BY = 1.5, 0.1
SPIKE, SPIKE_BY = 2.0, 0.3
NEAR_GUESSING, NEAR_CHANCE = 0.97, 0.05
WORSE, AFTER_BEST = 1.1, 2
GAP, LARGE_GAP = 0.05, 0.15
EASIER = 0.03
GAIN = 0.005
NO_GAIN, FEWEST_FOR_PLATEAU, NOTHING_TO_GAIN = 0.001, 6, 0.995
POOR_FIT, CLOSE = 0.8, 0.03
UNCERTAIN, LAST, FALLS = 0.01, 5, 2

CURVES, RATE, OVERFITTING, VALIDATION = "reading-curves", "learning-rate", "overfitting", "validation"


@dataclass(frozen=True)
class Finding:
    """``rule`` is a heading of the concept page on reading curves, ``text`` the sentence, ``page`` a concept to read."""

    rule: str
    text: str
    page: str


def diagnose_curve(summary: CurveSummary) -> tuple[Finding, ...]:
    """Return at most three findings, the most urgent first; always one, and only one while it is too early to say more."""
    hopeless = [finding for rule in (_diverged, _too_early, _not_learning) if (finding := rule(summary))]
    if hopeless:
        return tuple(hopeless[:1])
    found = [finding for rule in _RULES if (finding := rule(summary))]
    return tuple(found[:MOST]) or (_nothing_unusual(summary),)


# Loss and learning rate


def _diverged(summary: CurveSummary) -> Finding | None:
    if summary.diverged_step is None:
        return None
    text = f"Diverged: at step {summary.diverged_step:,} loss or gradient was no finite number any more. {_smaller(summary)}"
    return Finding("Diverged", text, RATE)


def _smaller(summary: CurveSummary) -> str:
    """Return advice for a learning rate that is too high."""
    rate = f", {summary.rate:g}," if summary.rate else ""
    trial = f"{summary.rate / 3:.1g}" if summary.rate else "a smaller one"
    return f"Most often the learning rate{rate} is too high; try {trial}, a longer warm-up, or clipped gradients."


def _too_early(summary: CurveSummary) -> Finding | None:
    if summary.validation or summary.trained >= 1:
        return None
    text = "Too early to say: nothing is recorded yet."
    if summary.train:
        first, last = summary.train[0].loss, summary.train[-1].loss
        went = f"training loss went from {first:.3g} to {last:.3g}"
        text = f"Too early to say: {summary.trained:.2g} epochs are trained; {went}."
    return Finding("Too early", text, CURVES)


def _not_learning(summary: CurveSummary) -> Finding | None:
    pieces = summary.pieces(PIECES)
    if summary.classes < 2 or not pieces:
        return None
    guessing, chance = math.log(summary.classes), 1 / summary.classes
    shown = summary.validation[-1].accuracy if summary.validation else pieces[-1].accuracy
    if not (pieces[-1].loss >= NEAR_GUESSING * guessing and shown <= chance + NEAR_CHANCE):
        return None
    text = (
        f"Not learning: the training loss stays at {pieces[-1].loss:.3f}, and guessing among {summary.classes} classes "
        f"gives ln {summary.classes} = {guessing:.3f}; accuracy is {percent(shown)}, chance {percent(chance)}. "
        "Try a learning rate ten times smaller, then ten times larger."
    )
    return Finding("Not learning", text, RATE)


def _rises_or_spikes(summary: CurveSummary) -> Finding | None:
    pieces = summary.pieces(PIECES)
    if len(pieces) < PIECES // 4:
        return None
    lowest = min(pieces, key=lambda piece: piece.loss)
    newest = pieces[-1]
    if newest.loss >= RISE * lowest.loss and newest.loss >= lowest.loss + RISE_BY:
        text = (
            f"The training loss rises: it was {lowest.loss:.3g} around epoch {_epoch(lowest)} and is "
            f"{newest.loss:.3g} now, {_times(newest.loss, lowest.loss)}. {_smaller(summary)}"
        )
        return Finding("The loss rises", text, RATE)
    return _spike(summary, pieces)


def _spike(summary: CurveSummary, pieces: list[CurvePoint]) -> Finding | None:
    before = pieces[0].loss
    for piece in pieces[1:]:
        if piece.loss >= SPIKE * before and piece.loss >= before + SPIKE_BY:
            text = (
                f"The training loss jumped around epoch {_epoch(piece)}, from {before:.3g} to {piece.loss:.3g}, and "
                f"came down again to {pieces[-1].loss:.3g}. {_smaller(summary)}"
            )
            return Finding("The loss jumps", text, RATE)
        before = min(before, piece.loss)
    return None


# Training against validation


def _overfitting(summary: CurveSummary) -> Finding | None:
    losses = [point for point in summary.validation if math.isfinite(point.loss)]
    if len(losses) <= AFTER_BEST:
        return None
    lowest, newest = min(losses, key=lambda point: point.loss), losses[-1]
    then, now = _train_of(summary, lowest), _train_of(summary, newest)
    if (
        losses.index(lowest) + AFTER_BEST >= len(losses)
        or newest.loss < WORSE * lowest.loss
        or not now.loss < then.loss
    ):
        return None
    text = (
        f"Over-fitting: validation loss was lowest at epoch {lowest.epoch:.0f} ({lowest.loss:.3g}) and is {newest.loss:.3g} "
        f"now, {share_text(newest.loss / lowest.loss - 1)} higher, while training loss fell from {then.loss:.3g} to "
        f"{now.loss:.3g}. Augmentation, weight decay or more images help."
    )
    return Finding("Over-fitting", text, OVERFITTING)


def _gap(summary: CurveSummary) -> Finding | None:
    newest, train = _newest_pair(summary)
    gap = train.accuracy - newest.accuracy
    if not gap >= GAP:
        return None
    size = "large" if gap >= LARGE_GAP else "mild"
    text = (
        f"Gap between training ({percent(train.accuracy)}) and validation ({percent(newest.accuracy)}) of "
        f"{100 * gap:.1f} points: {size} over-fitting."
    )
    return Finding("Gap", text, OVERFITTING)


def _validation_easier(summary: CurveSummary) -> Finding | None:
    newest, train = _newest_pair(summary)
    if not newest.accuracy - train.accuracy >= EASIER:
        return None
    text = (
        f"Validation ({percent(newest.accuracy)}) is ahead of training ({percent(train.accuracy)}): usual with "
        "augmentation, mixing or dropout, which make the training images harder, and in early epochs."
    )
    return Finding("Validation is ahead", text, OVERFITTING)


# Where it is going


def _still_improving(summary: CurveSummary) -> Finding | None:
    accuracies = _accuracies(summary)
    if len(accuracies) < 3:
        return None
    best = _best(accuracies)
    newest = accuracies[-max(1, len(accuracies) // 10) :]
    third = max(1, len(accuracies) // 3)
    before = max(point.accuracy for point in accuracies[:-third])
    if best not in newest or best.accuracy - before < GAIN:
        return None
    of = f" of {summary.epochs}" if summary.epochs else ""
    advice = " More epochs may gain more." if summary.over else ""
    text = (
        f"Still improving: the best validation accuracy, {percent(best.accuracy)}, came at epoch {best.epoch:.0f}{of}, and "
        f"the last {_count(third, 'evaluation')} gained {100 * (best.accuracy - before):.1f} points.{advice}"
    )
    return Finding("Still improving", text, CURVES)


def _plateau(summary: CurveSummary) -> Finding | None:
    accuracies = _accuracies(summary)
    if len(accuracies) < FEWEST_FOR_PLATEAU:
        return None
    third = len(accuracies) // 3
    before = _best(accuracies[:-third])
    since = max(point.accuracy for point in accuracies[-third:])
    if since - before.accuracy >= NO_GAIN or before.accuracy >= NOTHING_TO_GAIN:
        return None
    text = (
        f"Plateau: the last {_count(third, 'evaluation')} reached {percent(since)} and did not beat the "
        f"{percent(before.accuracy)} of epoch {before.epoch:.0f}. A lower learning rate, or stopping, would do."
    )
    return Finding("Plateau", text, CURVES)


def _underfitting(summary: CurveSummary) -> Finding | None:
    newest, train = _newest_pair(summary)
    if not (summary.over or _plateau(summary)) or _still_improving(summary):
        return None
    if not (train.accuracy < POOR_FIT and abs(train.accuracy - newest.accuracy) < CLOSE):
        return None
    text = (
        f"Under-fitting: accuracy is {percent(train.accuracy)} in training and {percent(newest.accuracy)} in validation, "
        "so even the training images are not fitted. A larger network, more epochs or less augmentation helps."
    )
    return Finding("Under-fitting", text, OVERFITTING)


def _noisy(summary: CurveSummary) -> Finding | None:
    last = _accuracies(summary)[-LAST:]
    if not summary.images or len(last) < LAST:
        return None
    falls = sum(later.accuracy < earlier.accuracy for earlier, later in itertools.pairwise(last))
    shown = min(max(last[-1].accuracy, 0.0), 1.0)
    error = 2 * math.sqrt(shown * (1 - shown) / summary.images)
    if error < UNCERTAIN or falls < FALLS:
        return None
    text = (
        f"Noisy validation: {summary.images:,} images tell {percent(shown)} to within ±{100 * error:.1f} points (two "
        f"standard errors), and it fell {falls} times in the last {LAST} evaluations. Smaller differences mean nothing."
    )
    return Finding("Noisy validation", text, VALIDATION)


def _nothing_unusual(summary: CurveSummary) -> Finding:
    pieces, accuracies = summary.pieces(PIECES), _accuracies(summary)
    parts = []
    if pieces:
        parts.append(f"training loss went from {pieces[0].loss:.3g} to {pieces[-1].loss:.3g}")
    if accuracies:
        best = _best(accuracies)
        parts.append(f"the best validation accuracy is {percent(best.accuracy)} (epoch {best.epoch:.0f})")
    return Finding("Nothing unusual", f"Nothing unusual: {' and '.join(parts) or 'no figures'}.", CURVES)


_RULES: tuple[Callable[[CurveSummary], Finding | None], ...] = (
    _rises_or_spikes,
    _overfitting,
    lambda summary: None if _overfitting(summary) else _gap(summary),
    _underfitting,
    _still_improving,
    _plateau,
    _noisy,
    _validation_easier,
)


def _accuracies(summary: CurveSummary) -> list[CurvePoint]:
    return [point for point in summary.validation if math.isfinite(point.accuracy)]


def _newest_pair(summary: CurveSummary) -> tuple[CurvePoint, CurvePoint]:
    """Return the newest evaluation and the training of the epoch before it; NaN where there is none."""
    newest = summary.validation[-1] if summary.validation else CurvePoint(0.0, math.nan, math.nan)
    return newest, _train_of(summary, newest)


def _train_of(summary: CurveSummary, evaluation: CurvePoint) -> CurvePoint:
    return summary.train_in(evaluation.epoch - 1, evaluation.epoch)


def _best(points: list[CurvePoint]) -> CurvePoint:
    """Return the point of the weights that the trainer keeps."""
    return max(points, key=lambda point: merit(point.accuracy, point.loss))


def _epoch(point: CurvePoint) -> str:
    """Return an epoch as text: 1.5, 15 or 150; never 1.5e+02."""
    return f"{point.epoch:.2g}" if point.epoch < 10 else f"{point.epoch:.0f}"


def _times(value: float, of: float) -> str:
    return f"{value / of:.1f} times as much" if of > 0 else "and it was zero"


def _count(number: int, thing: str) -> str:
    return thing if number == 1 else f"{number} {thing}s"

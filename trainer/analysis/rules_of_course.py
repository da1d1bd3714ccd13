"""Rules on where a run is going, or went: a rate that never fell, a fit that is too poor, progress, a plateau.

They give advice on the next run, so at most one of them speaks, and what is advised depends on whether the run is over.
"""

from __future__ import annotations

from ..common.number_text import percent
from .curve_summary import CurvePoint, CurveSummary
from .finding import (
    CURVES,
    OVERFITTING,
    RATE,
    Finding,
    accuracies,
    best,
    newest_pair,
    standard_error,
    the_last,
)

GAIN = 0.005
NO_GAIN, FEWEST_FOR_PLATEAU, NOTHING_TO_GAIN, CONVERGED_LOW = 0.001, 6, 0.995, 0.9
POOR_FIT, CLOSE = 0.8, 0.03
STILL_HIGH, FALLEN, FEWEST_WITH_RATE = 0.5, 0.1, 3


def rate_never_fell(summary: CurveSummary) -> Finding | None:
    """The run is over, the learning rate still near its peak, and there was something to gain."""
    found, rate, now = accuracies(summary), summary.rate, summary.rate_now
    if not summary.over or not rate or now is None or now < STILL_HIGH * rate or len(found) < FEWEST_WITH_RATE:
        return None
    ended = summary.complete or summary.schedule == "constant"
    if not ended or _nothing_to_gain(summary, best(found).accuracy) or still_improving(summary):
        return None
    text = (
        f"The rate never fell: it was {now:g} at the end, and {rate:g} at its peak. At a high rate the weights keep "
        f"bouncing; a falling one lets them come to rest. Accuracy is {percent(found[-1].accuracy)} at the end and was "
        f"{percent(best(found).accuracy)} at best. Try --schedule one-cycle or cosine."
    )
    return Finding("The rate never fell", text, RATE)


def underfitting(summary: CurveSummary) -> Finding | None:
    """Even the training images are not fitted, and nothing changes that any more."""
    newest, train = newest_pair(summary)
    on_plateau = plateau(summary) is not None
    if not (summary.over or on_plateau) or still_improving(summary):
        return None
    close = max(CLOSE, 2 * standard_error(newest.accuracy, summary.images))
    if not (train.accuracy < POOR_FIT and abs(train.accuracy - newest.accuracy) < close):
        return None
    # What does not improve any more is not helped by epochs.
    helps = "less augmentation" if on_plateau else "more epochs or less augmentation"
    joined = " or " if on_plateau else ", "
    text = (
        f"Under-fitting: accuracy is {percent(train.accuracy)} in training and {percent(newest.accuracy)} in validation, "
        f"so even the training images are not fitted. A larger network{joined}{helps} helps."
    )
    return Finding("Under-fitting", text, OVERFITTING)


def still_improving(summary: CurveSummary) -> Finding | None:
    """The best accuracy is new, and better beyond chance than what was reached before."""
    found = accuracies(summary)
    if len(found) < 3:
        return None
    top, third = best(found), max(1, len(found) // 3)
    newest = found[-max(1, len(found) // 10) :]
    before = max(point.accuracy for point in found[:-third])
    # One standard error, as both are accuracies on the same images.
    if top not in newest or top.accuracy - before < max(GAIN, standard_error(top.accuracy, summary.images)):
        return None
    of = f" of {summary.epochs}" if summary.epochs else ""
    text = (
        f"Still improving: the best validation accuracy, {percent(top.accuracy)}, came at epoch {top.epoch:.0f}{of}, and "
        f"{the_last(third, 'evaluation')} gained {100 * (top.accuracy - before):.1f} points."
    )
    return Finding("Still improving", text + _longer(summary, top.accuracy), CURVES)


def _longer(summary: CurveSummary, accuracy: float) -> str:
    if not summary.over or _nothing_to_gain(summary, accuracy):
        return ""
    command = f" ({summary.train_longer})" if summary.train_longer else ""
    return f" More epochs may gain more{command}."


def plateau(summary: CurveSummary) -> Finding | None:
    """Nothing was gained for a third of the evaluations, and there is something to gain."""
    found = accuracies(summary)
    if len(found) < FEWEST_FOR_PLATEAU:
        return None
    third = len(found) // 3
    before = best(found[:-third])
    since = max(point.accuracy for point in found[-third:])
    if since - before.accuracy >= NO_GAIN or _nothing_to_gain(summary, before.accuracy):
        return None
    if summary.over and before.accuracy >= CONVERGED_LOW:  # at the end of a schedule a good run stands still
        return None
    text = (
        f"Plateau: {the_last(third, 'evaluation')} reached {percent(since)} and did not beat the "
        f"{percent(before.accuracy)} of epoch {before.epoch:.0f}. {_beyond_plateau(summary, before)}"
    )
    return Finding("Plateau", text, CURVES)


def _beyond_plateau(summary: CurveSummary, before: CurvePoint) -> str:
    if summary.over:
        return "More epochs of the same would not help; a larger network, more images or other augmentation may."
    rate, now = summary.rate, summary.rate_now
    if summary.schedule in ("", "constant") or not rate or now is None:
        return "A lower learning rate, or stopping, would do."
    if now >= FALLEN * rate:
        return f"The rate, {now:.2g} now, has still to fall by the schedule, which often ends a plateau: wait for it."
    kept = f"the weights of epoch {before.epoch:.0f} are kept, stopping loses nothing"
    return f"The rate, {now:.2g}, has nearly come to its end: {kept}."


def _nothing_to_gain(summary: CurveSummary, accuracy: float) -> bool:
    """Return whether what is missing to 100 % is little, or within two standard errors."""
    return accuracy >= NOTHING_TO_GAIN or 1 - accuracy <= 2 * standard_error(accuracy, summary.images)

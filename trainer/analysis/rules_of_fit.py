"""Rules on training against validation: over-fitting, the gap, a validation that is ahead. Each has a noise floor."""

from __future__ import annotations

import math

from ...models.catalogue.share_text import share_text
from ..common.number_text import percent
from .curve_summary import CurveSummary
from .finding import OVERFITTING, Finding, loss_error, newest_pair, standard_error, train_of

WORSE, WORSE_BY, AFTER_BEST, FEWEST_WRONG = 1.1, 0.02, 2, 3
GAP, LARGE_GAP, SURE_GAP = 0.05, 0.15, 0.02
EASIER = 0.03


def overfitting(summary: CurveSummary) -> Finding | None:
    """Validation loss rises, beyond chance, while training loss falls."""
    losses = [point for point in summary.validation if math.isfinite(point.loss)]
    if len(losses) <= AFTER_BEST:
        return None
    lowest, newest = min(losses, key=lambda point: point.loss), losses[-1]
    if losses.index(lowest) + AFTER_BEST >= len(losses) or not _is_worse(summary, lowest.loss, newest.loss):
        return None
    chance = 2 * math.hypot(loss_error(lowest, summary.images), loss_error(newest, summary.images))
    wrong = (1 - newest.accuracy) * summary.images if summary.images else FEWEST_WRONG
    then, now = train_of(summary, lowest), train_of(summary, newest)
    if newest.loss - lowest.loss < chance or wrong < FEWEST_WRONG - 0.5 or not now.loss < then.loss:
        return None
    advice = "Augmentation, weight decay or more images help."
    if not summary.over:
        advice += " The best weights so far are kept: ending the run here loses nothing."
    text = (
        f"Over-fitting: validation loss was lowest at epoch {lowest.epoch:.0f} ({lowest.loss:.3g}) and is {newest.loss:.3g} "
        f"{'at the end' if summary.over else 'now'}{_higher(newest.loss, lowest.loss)}, while training loss fell from "
        f"{then.loss:.3g} to {now.loss:.3g}. {advice}"
    )
    return Finding("Over-fitting", text, OVERFITTING)


def _is_worse(summary: CurveSummary, lowest: float, newest: float) -> bool:
    return newest >= WORSE * lowest and newest - lowest >= WORSE_BY


def _higher(loss: float, than: float) -> str:
    return f", {share_text(loss / than - 1)} higher" if than > 0 else ""


def gap(summary: CurveSummary) -> Finding | None:
    """Training accuracy is above validation accuracy, beyond chance."""
    newest, train = newest_pair(summary)
    difference = train.accuracy - newest.accuracy
    sure = difference - 2 * standard_error(newest.accuracy, summary.images)
    if not (difference >= GAP and sure >= SURE_GAP):
        return None
    size = "large" if difference >= LARGE_GAP else "mild"
    text = (
        f"Gap between training ({percent(train.accuracy)}) and validation ({percent(newest.accuracy)}) of "
        f"{100 * difference:.1f} points: {size} over-fitting."
    )
    return Finding("Gap", text, OVERFITTING)


def validation_easier(summary: CurveSummary) -> Finding | None:
    """Validation accuracy is above training accuracy, beyond chance."""
    newest, train = newest_pair(summary)
    lead = newest.accuracy - train.accuracy
    if not lead >= max(EASIER, 2 * standard_error(newest.accuracy, summary.images)):
        return None
    text = (
        f"Validation ({percent(newest.accuracy)}) is ahead of training ({percent(train.accuracy)}): usual with "
        "augmentation, mixing or dropout, which make the training images harder, and in early epochs."
    )
    return Finding("Validation is ahead", text, OVERFITTING)

"""Rules on the loss and the learning rate: what is not a number, what does not fall, what rises."""

from __future__ import annotations

import math

from ..common.number_text import percent
from ..config.recipe_layers import BY_OPTIMIZER
from .curve_summary import CurvePoint, CurveSummary
from .finding import (
    CURVES,
    PIECES,
    RATE,
    VALIDATION,
    Finding,
    accuracies,
    epoch_text,
    newest_pair,
    smaller_rate,
    standard_error,
)

RISE, RISE_BY = 1.5, 0.1
SPIKE, SPIKE_BY = 2.0, 0.3
NEAR_GUESSING, NEAR_CHANCE = 0.97, 0.05
FAR_ABOVE, POOR = 20, 0.9


def diverged(summary: CurveSummary) -> Finding | None:
    """Loss or gradient of the training became NaN or infinite."""
    if summary.diverged_step is None:
        return None
    text = (
        f"Diverged: at step {summary.diverged_step:,} the loss or the gradient was no longer finite. "
        f"{smaller_rate(summary)}"
    )
    return Finding("Diverged", text, RATE)


def validation_no_number(summary: CurveSummary) -> Finding | None:
    """The validation loss is NaN or infinite, while the training loss is a number."""
    newest, train = newest_pair(summary)
    if not summary.answers.not_a_number or not math.isfinite(train.loss):
        return None
    average = "the moving average of the weights, " if summary.ema else ""
    text = (
        f"The validation loss is not a number: at epoch {newest.epoch:.0f} it is NaN or infinite, while the training loss "
        f"is {train.loss:.3g}. Look at what validation alone uses: the running statistics of the norms, {average}"
        "a division by zero for some image, values too large for half precision (--precision fp32)."
    )
    return Finding("The validation loss is not a number", text, VALIDATION)


def too_early(summary: CurveSummary) -> Finding | None:
    """Neither an evaluation nor an epoch is there yet."""
    if summary.validation or summary.trained >= 1:
        return None
    text = (
        "Nothing was recorded before the run ended." if summary.over else "Too early to say: nothing is recorded yet."
    )
    if summary.train:
        first, last = summary.train[0].loss, summary.train[-1].loss
        went = f"training loss went from {first:.3g} to {last:.3g}"
        text = f"Too early to say: {summary.trained:.2g} epochs are trained; {went}."
    return Finding("Too early", text, CURVES)


def not_learning(summary: CurveSummary) -> Finding | None:
    """The training loss is that of guessing, and so is the accuracy."""
    pieces = summary.pieces(PIECES)
    if summary.classes < 2 or not pieces:
        return None
    guessing, chance = math.log(summary.classes), 1 / summary.classes
    shown = summary.validation[-1].accuracy if summary.validation else pieces[-1].accuracy
    near = max(NEAR_CHANCE, 2 * standard_error(chance, summary.images if summary.validation else None))
    if not (pieces[-1].loss >= NEAR_GUESSING * guessing and shown <= chance + near):
        return None
    advice = "Try a learning rate ten times smaller, then ten times larger."
    if usual := _far_above_usual(summary):
        advice = (
            f"The learning rate, {summary.rate:g}, is far above the usual {usual:g} of {summary.optimizer}: try that."
        )
    text = (
        f"Not learning: the training loss stays at {pieces[-1].loss:.3f}, and guessing among {summary.classes} classes "
        f"gives ln {summary.classes} = {guessing:.3f}; accuracy is {percent(shown)}, chance {percent(chance)}. {advice}"
    )
    return Finding("Not learning", text, RATE)


def rises_or_jumps(summary: CurveSummary) -> Finding | None:
    """The training loss rises, or rose and came down again."""
    pieces = summary.pieces(PIECES)
    if len(pieces) < PIECES // 4:
        return None
    lowest = min(pieces, key=lambda piece: piece.loss)
    newest = pieces[-1]
    if newest.loss >= RISE * lowest.loss and newest.loss >= lowest.loss + RISE_BY:
        text = (
            f"The training loss rises: it was {lowest.loss:.3g} around epoch {epoch_text(lowest)} and is "
            f"{newest.loss:.3g} now, {_times(newest.loss, lowest.loss)}. {smaller_rate(summary)}"
        )
        return Finding("The loss rises", text, RATE)
    return _jump(summary, pieces)


def _jump(summary: CurveSummary, pieces: list[CurvePoint]) -> Finding | None:
    before = pieces[0].loss
    for piece in pieces[1:]:
        if piece.loss >= SPIKE * before and piece.loss >= before + SPIKE_BY:
            if summary.over and pieces[-1].loss <= before:  # it made up for it, and nothing is left to be done
                return None
            text = (
                f"The training loss jumped around epoch {epoch_text(piece)}, from {before:.3g} to {piece.loss:.3g}, and "
                f"came down again to {pieces[-1].loss:.3g}. {smaller_rate(summary)}"
            )
            return Finding("The loss jumps", text, RATE)
        before = min(before, piece.loss)
    return None


def very_high_rate(summary: CurveSummary) -> Finding | None:
    """The learning rate is far above the usual one of its optimiser, and the network learns poorly."""
    usual, found = _far_above_usual(summary), accuracies(summary)
    newest, train = newest_pair(summary)
    learns = min(train.accuracy, newest.accuracy)
    if usual is None or not (summary.over or len(found) >= 3) or not learns < POOR:
        return None
    assert summary.rate is not None
    text = (
        f"A very high rate: {summary.rate:g} is {summary.rate / usual:.0f} times the usual {usual:g} of "
        f"{summary.optimizer}, and accuracy is {percent(train.accuracy)} in training, {percent(newest.accuracy)} in "
        f"validation. Try --lr {usual:g}."
    )
    return Finding("A very high rate", text, RATE)


def _far_above_usual(summary: CurveSummary) -> float | None:
    """Return the usual rate of the optimiser where that of the run is far above it; None where it is not."""
    usual = BY_OPTIMIZER.get(summary.optimizer, {}).get("lr")
    if not isinstance(usual, float) or summary.rate is None or summary.rate < FAR_ABOVE * usual:
        return None
    return usual


def _times(value: float, of: float) -> str:
    return f"{value / of:.1f} times as much" if of > 0 else "and it was zero"

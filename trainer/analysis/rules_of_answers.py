"""Rules on what the network answers: probabilities instead of scores, one class for all, a validation that does not follow.

Such a fault is the cause of what the other rules see, so whoever finds one asks them no more.
"""

from __future__ import annotations

import math

from ..common.number_text import percent
from .curve_summary import CurveSummary
from .finding import IMBALANCE, RATE, VALIDATION, Finding, accuracies, newest_pair, standard_error

BOUND_REACHED = 0.01
ABOVE_CHANCE, FAR, FEWEST_LIVE = 0.3, 0.25, 4
LUCK, MOST_LUCK, LUCK_UNKNOWN = 3, 0.1, 0.03
SHORT, FITTED = 0.4, 0.9
SWALLOWED, UNFOUND, HALF_WAY = 0.9, 0.3, 0.5
EVEN = 0.1
FULL, EMPTY = 0.99, 0.01
CONVERGED, CONVERGED_BY = 3, 0.02
MOST_NAMED = 3


def softmax_twice(summary: CurveSummary) -> Finding | None:
    """The network returns probabilities, of which cross-entropy takes the softmax once more."""
    outputs, classes = summary.answers.outputs, summary.classes
    if not outputs or classes < 2:
        return None
    _, train = newest_pair(summary)
    sums = outputs == "probabilities"
    # The best that can be: 1 for the right class and 0 for the others, or 0 … 1 for each.
    bound = math.log(math.e + classes - 1) - 1
    what = (
        "what the network returns is ≥ 0 and adds up to 1 for each image"
        if sums
        else "all that the network returns lies within 0 … 1"
    )
    if train.loss < bound - BOUND_REACHED:
        text = (
            f"Softmax before the loss, in evaluation alone: there {what}, while the training loss, {train.loss:.3g}, is "
            "lower than such outputs allow. Accuracy is right, the validation loss is not: return the scores there too."
        )
    else:
        text = (
            f"Softmax before the loss: {what}, and cross-entropy takes the softmax itself. With {classes} classes the loss "
            f"cannot fall below {bound:.3f}, and gradients are small. Return the scores before the "
            f"{'softmax' if sums else 'sigmoid'}."
        )
    return Finding("Softmax before the loss", text, "reading-curves")


def validation_fails(summary: CurveSummary) -> Finding | None:
    """Training accuracy is high, and validation accuracy is at chance, or far below."""
    found = accuracies(summary)
    if summary.classes < 2 or not found:
        return None
    chance, (_, train) = 1 / summary.classes, newest_pair(summary)
    largest = summary.answers.largest_class
    base = max(chance, largest) if math.isfinite(largest) else chance
    late = max(point.accuracy for point in found[-max(2, len(found) // 2) :])
    luck = min(LUCK * standard_error(base, summary.images), MOST_LUCK) if summary.images else LUCK_UNKNOWN
    converged = summary.over or len(found) >= FEWEST_LIVE
    if not converged or not train.accuracy - late >= FAR:
        return None
    if late <= base + luck and train.accuracy >= base + ABOVE_CHANCE * (1 - base):
        return Finding("Validation fails", _at_chance(summary, train.accuracy, late, base), VALIDATION)
    if train.accuracy >= FITTED and max(point.accuracy for point in found) <= train.accuracy - SHORT:
        return Finding("Validation fails", _far_short(summary, train.accuracy, late), VALIDATION)
    return None


def _at_chance(summary: CurveSummary, trained: float, late: float, base: float) -> str:
    chance, even = 1 / summary.classes, base <= (1 + EVEN) / summary.classes
    guessing = f"chance, {percent(chance)}" if even else f"always answering the largest class, {percent(base)}"
    below = "below" if late < base - standard_error(base, summary.images) else "no better than"
    lag = f", or the moving average (ema {summary.ema:g}) lags behind in so short a run" if summary.ema else ""
    return (
        f"Validation fails: the training images are fitted ({percent(trained)}), and validation accuracy is "
        f"{percent(late)} at best, {below} {guessing}. That is no over-fitting: the validation images have other labels "
        "(folders or classes mixed up) or are prepared otherwise (colours, range, mean and standard deviation)"
        f"{lag}. Look at some of them."
    )


def _far_short(summary: CurveSummary, trained: float, late: float) -> str:
    return (
        f"Validation fails: accuracy is {percent(trained)} in training and {percent(late)} in validation. Either the "
        "images are so few that they are memorised, or those of the validation have other labels (folders or classes "
        "mixed up) or are prepared otherwise (colours, range, mean and standard deviation). Look at some of them first."
    )


def one_class(summary: CurveSummary) -> Finding | None:
    """Nearly all images are taken for one class, and the accuracy is the share of that class."""
    found, answers = accuracies(summary), summary.answers
    if summary.classes < 2 or not found or not _has_converged(summary):
        return None
    chance, accuracy = 1 / summary.classes, found[-1].accuracy
    recalls = [value for value in answers.per_class if math.isfinite(value)]
    largest, taken = answers.largest_class, answers.most_predicted
    if not math.isfinite(largest) or not math.isfinite(taken):
        return _one_class_by_recalls(summary, accuracy, recalls)
    rest = 1 - largest
    if len(recalls) > 1 and taken >= largest + SWALLOWED * rest and accuracy <= largest + (1 - SWALLOWED) * rest:
        name = _name(summary, answers.taken_for)
        text = (
            f"One class swallows all: {percent(taken)} of the validation images are taken for {name}, and accuracy is "
            f"{percent(accuracy)}; the largest class has {percent(largest)} of them{_unfound(summary)}. "
        )
        return Finding("One class", text + _advice(summary, largest), _page(summary, largest))
    macro = sum(recalls) / len(recalls) if recalls else math.nan
    uneven = largest >= chance + ABOVE_CHANCE * (1 - chance)
    if (
        uneven
        and macro <= chance + HALF_WAY * (1 - chance)
        and accuracy <= largest + 2 * standard_error(largest, summary.images)
    ):
        text = (
            f"One class swallows the others: accuracy is {percent(accuracy)}, and always answering the largest class would "
            f"give {percent(largest)}; the mean over the classes is {percent(macro)}{_unfound(summary)}. "
        )
        return Finding("One class", text + _advice(summary, largest), IMBALANCE)
    return None


def _one_class_by_recalls(summary: CurveSummary, accuracy: float, recalls: list[float]) -> Finding | None:
    """Return the finding for records of earlier versions: one class is found always, and no other one ever."""
    full = [index for index, value in enumerate(summary.answers.per_class) if value >= FULL]
    if len(recalls) < 2 or len(full) != 1 or sum(value <= EMPTY for value in recalls) != len(recalls) - 1:
        return None
    text = (
        f"One class swallows all: the validation images are taken for {_name(summary, full[0])}, and accuracy, "
        f"{percent(accuracy)}, is the share of that class{_unfound(summary)}. "
    )
    return Finding("One class", text + _advice(summary, accuracy), _page(summary, accuracy))


def _has_converged(summary: CurveSummary) -> bool:
    """Return whether the run is over, or its accuracy has stayed where it is: at first many networks know one class."""
    last = accuracies(summary)[-CONVERGED:]
    values = [point.accuracy for point in last]
    return summary.over or (len(last) == CONVERGED and max(values) - min(values) <= CONVERGED_BY)


def _unfound(summary: CurveSummary) -> str:
    """Return the classes that are hardly ever found, for the middle of a sentence."""
    values = [
        (value, index)
        for index, value in enumerate(summary.answers.per_class)
        if math.isfinite(value) and value <= UNFOUND
    ]
    shown = [f"{percent(value)} of {_name(summary, index)}" for value, index in sorted(values)[:MOST_NAMED]]
    return f"; {', '.join(shown)} are right" if shown else ""


def _name(summary: CurveSummary, index: int | None) -> str:
    if index is None or not 0 <= index < len(summary.names):
        return "one class" if index is None else f"class {index}"
    return summary.names[index]


def _is_even(summary: CurveSummary, largest: float) -> bool:
    return largest < 1 / summary.classes + ABOVE_CHANCE * (1 - 1 / summary.classes)


def _advice(summary: CurveSummary, largest: float) -> str:
    if _is_even(summary, largest):
        return "The network has collapsed to one answer: try a learning rate ten times smaller."
    return "Count rare classes more: --class-weights balanced, or --sampling balanced."


def _page(summary: CurveSummary, largest: float) -> str:
    return RATE if _is_even(summary, largest) else IMBALANCE

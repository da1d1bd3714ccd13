"""Rules on how much the validation split can tell: too few images, none, figures that are mostly chance."""

from __future__ import annotations

import itertools
import math

from ..common.number_text import percent
from .curve_summary import CurveSummary
from .finding import VALIDATION, Finding, accuracies, standard_error

FEW, COARSE = 100, 0.05
UNCERTAIN, LAST, FALLS = 0.01, 5, 2


def too_few(summary: CurveSummary) -> Finding | None:
    """There is no validation split, or one whose figures are too coarse to tell anything."""
    if summary.images == 0 and not summary.validation:
        text = (
            "Too little to tell: no image is held out, so nothing shows whether the network only memorises; the last "
            "weights are kept. --validation 0.1 holds out a tenth."
        )
        return Finding("Too little to tell", text, VALIDATION)
    found, images = accuracies(summary), summary.images
    if not found or not images or images >= FEW:
        return None
    error = 2 * standard_error(found[-1].accuracy, images)
    if error < COARSE:
        return None
    text = (
        f"Too little to tell: of {images} validation images each is {100 / images:.1f} points, and "
        f"{percent(found[-1].accuracy)} is known to within ±{100 * error:.1f} points (two standard errors). Smaller "
        "differences mean nothing: hold out more (--validation 0.3), or train with several seeds."
    )
    return Finding("Too little to tell", text, VALIDATION)


def noisy(summary: CurveSummary) -> Finding | None:
    """Accuracy goes up and down by what is chance alone."""
    last = accuracies(summary)[-LAST:]
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

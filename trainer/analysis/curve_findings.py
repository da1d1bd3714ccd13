"""Reading the curve: what the course of a run says, in plain sentences with the numbers that led to them.

Every rule is stated in docs/concepts/reading-curves.md with its thresholds, so that a learner can check it. A rule looks
at a summary (curve_summary.py) and says one thing or nothing. Rules of one group exclude each other, so that no two
sentences of a reading advise against each other.
"""

from __future__ import annotations

from collections.abc import Callable

from ..common.number_text import percent
from .curve_summary import CurveSummary
from .finding import CURVES, PIECES, Finding, accuracies, best
from .rules_of_answers import one_class, softmax_twice, validation_fails
from .rules_of_course import plateau, rate_never_fell, still_improving, underfitting
from .rules_of_data import noisy, too_few
from .rules_of_fit import gap, overfitting, validation_easier
from .rules_of_loss import diverged, not_learning, rises_or_jumps, too_early, validation_no_number, very_high_rate

Rule = Callable[[CurveSummary], Finding | None]

MOST = 3
HOPELESS: tuple[Rule, ...] = (diverged, validation_no_number, too_early, softmax_twice, not_learning)
"""What speaks alone: everything else would follow from it."""
ANSWERS: tuple[Rule, ...] = (validation_fails, one_class)
HIGH_RATE: tuple[Rule, ...] = (rises_or_jumps, very_high_rate)
FIT: tuple[Rule, ...] = (overfitting, gap)
COURSE: tuple[Rule, ...] = (rate_never_fell, underfitting, still_improving, plateau)
CHANCE: tuple[Rule, ...] = (too_few, noisy)
EASIER: tuple[Rule, ...] = (validation_easier,)

__all__ = ["Finding", "diagnose_curve"]


def diagnose_curve(summary: CurveSummary) -> tuple[Finding, ...]:
    """Return at most three findings, the most urgent first; always one, and only one while it is too early to say more."""
    if alone := _first(HOPELESS, summary):
        return (alone,)
    if cause := _first(ANSWERS, summary):
        return _spoken(cause, too_few(summary))
    if rate := _first(HIGH_RATE, summary):  # what else is wrong may come from that
        return _spoken(rate, _first(FIT, summary), _first(CHANCE, summary))
    fit = _first(FIT, summary)
    course = _first(_course_beside(fit, summary), summary)
    found = _spoken(fit, course, _first(CHANCE, summary), _first(EASIER, summary))
    return found[:MOST] or (_nothing_unusual(summary),)


def _course_beside(fit: Finding | None, summary: CurveSummary) -> tuple[Rule, ...]:
    """Return the rules on the course whose advice agrees with what was found of the fit."""
    if fit is None:
        return COURSE
    if fit.rule == "Over-fitting":  # neither more epochs nor waiting
        return (rate_never_fell,)
    return (rate_never_fell, still_improving) if summary.over else (rate_never_fell, still_improving, plateau)


def _first(rules: tuple[Rule, ...], summary: CurveSummary) -> Finding | None:
    return next((finding for rule in rules if (finding := rule(summary))), None)


def _spoken(*found: Finding | None) -> tuple[Finding, ...]:
    return tuple(finding for finding in found if finding)


def _nothing_unusual(summary: CurveSummary) -> Finding:
    pieces, found = summary.pieces(PIECES), accuracies(summary)
    parts = []
    if pieces:
        parts.append(f"training loss went from {pieces[0].loss:.3g} to {pieces[-1].loss:.3g}")
    if found:
        top = best(found)
        parts.append(f"the best validation accuracy is {percent(top.accuracy)} (epoch {top.epoch:.0f})")
    return Finding("Nothing unusual", f"Nothing unusual: {' and '.join(parts) or 'no figures'}.", CURVES)

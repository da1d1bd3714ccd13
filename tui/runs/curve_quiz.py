"""Questions about the curves of real runs: what a curve shows, which run had the larger learning rate. No Textual.

What a curve shows is what the reading of the program says, and it is asked only where that says one thing alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from ...trainer.analysis.curve_findings import diagnose_curve
from ...trainer.analysis.curve_summary import CurvePoint, CurveSummary, read_curve_summary
from ...trainer.common.number_text import percent
from ...trainer.runs.run import RunSnapshot, number, part
from ..charts.sparkline import sparkline
from ..networks.quiz import Question

SHOWN = {"Over-fitting": "over-fitting", "Not learning": "not learning", "Still improving": "still improving"}
"""The rules of the reading that are asked about, and what the answer is called."""
TOO_LARGE = ("Diverged", "Not learning", "The loss rises", "The loss jumps", "A very high rate")
CLEAR_RATE, CLEAR_LOSS = 3.0, 0.9
CELLS = 36
WITHOUT_EFFECT = ("schema", "id", "created", "host", "argv", "engine", "checkpoints", "versions")
"""Parts of run.json in which runs of one course may differ."""
EARLY = 5
"""The loss after this part of the training says who is faster: a fifth."""
MOST_OTHERS = 3


@dataclass(frozen=True)
class ReadRun:
    """A run and what its records tell."""

    run: RunSnapshot
    summary: CurveSummary

    @property
    def rate(self) -> float:
        """The peak learning rate; 0 where it is not known."""
        return number(part(self.run.config, "recipe").get("lr")) or 0.0

    @property
    def rules(self) -> set[str]:
        """What the reading finds."""
        return {finding.rule for finding in diagnose_curve(self.summary)}


def fitting_others(run: RunSnapshot, runs: Sequence[RunSnapshot], first: Sequence[str]) -> list[RunSnapshot]:
    """Return runs that differ from ``run`` in the learning rate alone, clearly; those named in ``first`` first."""
    found = [other for other in runs if other.id != run.id and _differ_in_rate(run, other)]
    return sorted(found, key=lambda other: other.id not in first)[:MOST_OTHERS]


def _differ_in_rate(run: RunSnapshot, other: RunSnapshot) -> bool:
    rates = [number(part(one.config, "recipe").get("lr")) or 0.0 for one in (run, other)]
    return _without_rate(run) == _without_rate(other) and min(rates) > 0 and max(rates) >= CLEAR_RATE * min(rates)


def _without_rate(run: RunSnapshot) -> dict:
    """Return all that decides the course of a run but its learning rate."""
    config = {name: value for name, value in run.config.items() if name not in WITHOUT_EFFECT}
    return config | {"recipe": {name: value for name, value in part(config, "recipe").items() if name != "lr"}}


def read(runs: Sequence[RunSnapshot]) -> list[ReadRun]:
    """Read the curves of runs, which takes a moment: not for the thread of the app."""
    return [ReadRun(run, read_curve_summary(run)) for run in runs]


def about_runs(found: Sequence[ReadRun], rng: random.Random) -> Question | None:
    """Return a question about the first of the runs, alone or beside one of the others."""
    makers = [lambda: about_curve(found[0].summary, rng)] if found else []
    makers += [lambda other=other: about_rates(found[0], other, rng) for other in found[1:]]
    rng.shuffle(makers)
    return next((question for maker in makers if (question := maker()) is not None), None)


# What does this curve show?


def about_curve(summary: CurveSummary, rng: random.Random) -> Question | None:
    """Ask what a curve shows; None where the reading says nothing of the kind, or more than one thing."""
    findings = diagnose_curve(summary)
    if len(findings) != 1 or findings[0].rule not in SHOWN:
        return None
    rules = list(SHOWN)
    rng.shuffle(rules)
    right = rules.index(findings[0].rule)
    mistakes = tuple("" if rule == findings[0].rule else _why_not(rule, summary) for rule in rules)
    options = tuple(SHOWN[rule] for rule in rules)
    return Question("What does this curve show?", options, right, findings[0].text, mistakes, _drawn(summary))


def _why_not(rule: str, summary: CurveSummary) -> str:
    """Return what would be seen, and what is."""
    losses = [point.loss for point in summary.validation if math.isfinite(point.loss)]
    if rule == "Over-fitting":
        seen = f"here it is {losses[-1]:.3g} and was {min(losses):.3g} at its lowest" if losses else "here is none"
        return f"validation loss would rise, beyond chance, while training loss falls; {seen}"
    if rule == "Not learning":
        pieces = summary.pieces(EARLY)
        guessing = f"ln {summary.classes} = {math.log(max(summary.classes, 1)):.3g}"
        seen = f"here it went from {pieces[0].loss:.3g} to {pieces[-1].loss:.3g}" if pieces else "here is none"
        return f"training loss would stay at that of guessing, {guessing}; {seen}"
    known = [point for point in summary.validation if math.isfinite(point.accuracy)]
    top = max(known, key=lambda point: point.accuracy, default=None)
    seen = (
        f"here the best, {percent(top.accuracy)}, is of epoch {top.epoch:.0f} of {summary.trained:.0f}" if top else ""
    )
    return f"the newest accuracy would be the best, by more than chance; {seen}".rstrip("; ")


def _drawn(summary: CurveSummary) -> tuple[str, ...]:
    train, validation = summary.pieces(CELLS), [point for point in summary.validation if math.isfinite(point.loss)]
    losses = [point.loss for point in (*train, *validation)] or [0.0]
    low, high = min(losses), max(losses)
    accuracies = [point.accuracy for point in summary.validation if math.isfinite(point.accuracy)]
    lines = [
        _line("training loss", [point.loss for point in train], low, high),
        _line("validation loss", [point.loss for point in validation], low, high),
    ]
    if accuracies:
        told = f"{percent(accuracies[0])} → {percent(accuracies[-1])}"
        lines.append(f"{'accuracy':<16}{sparkline(_stretched(accuracies), CELLS, 0.0, 1.0)} {told}")
    return tuple(lines)


def _line(name: str, values: Sequence[float], low: float, high: float) -> str:
    told = f"{values[0]:.3g} → {values[-1]:.3g}" if values else "none"
    return f"{name:<16}{sparkline(_stretched(values), CELLS, low, high)} {told}"


def _stretched(values: Sequence[float]) -> list[float]:
    """Return few values as many as there are cells, so that the curves end at the same place."""
    if not values or len(values) >= CELLS:
        return list(values)
    return [values[cell * len(values) // CELLS] for cell in range(CELLS)]


# Which had the larger learning rate?


def about_rates(first: ReadRun, second: ReadRun, rng: random.Random) -> Question | None:
    """Ask which of two runs had the larger rate; None where their curves do not tell, or tell the contrary."""
    if not _differ_in_rate(first.run, second.run):
        return None
    both = [first, second]
    rng.shuffle(both)
    right = 0 if both[0].rate > both[1].rate else 1
    names = ("A", "B")
    sign = _sign(both[right], both[1 - right], names[right], names[1 - right])
    if not sign:
        return None
    pieces = [one.summary.pieces(CELLS) for one in both]
    losses = [point.loss for points in pieces for point in points]
    drawing = [
        _line(f"{name} training loss", [point.loss for point in points], min(losses), max(losses))
        for name, points in zip(names, pieces, strict=True)
    ]
    rates = ", ".join(f"{name} {one.rate:g} ({one.run.id})" for name, one in zip(names, both, strict=True))
    mistakes = ["", ""]
    mistakes[1 - right] = f"its rate is the smaller one, {both[1 - right].rate:g}; {sign}"
    text = "Two runs differ in the learning rate alone. Which of the two had the larger one?"
    return Question(text, names, right, f"{rates}: {sign}", tuple(mistakes), tuple(drawing))


def _sign(larger: ReadRun, smaller: ReadRun, name: str, other: str) -> str:
    """Return by what the larger rate is to be known; "" where nothing tells."""
    at = [_early(one.summary.pieces(EARLY)) for one in (larger, smaller)]
    if not all(map(math.isfinite, at)):
        return ""
    if larger.rules & set(TOO_LARGE) and not smaller.rules & set(TOO_LARGE):
        return f"the loss of {name} does not fall steadily, as with steps that are too large"
    if at[0] <= CLEAR_LOSS * at[1] and not smaller.rules & set(TOO_LARGE):
        return f"after a fifth of the training, the loss of {name} is {at[0]:.3g} and that of {other} {at[1]:.3g}"
    return ""


def _early(pieces: Sequence[CurvePoint]) -> float:
    return pieces[0].loss if len(pieces) == EARLY else math.nan

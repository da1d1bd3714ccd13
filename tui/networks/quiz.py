"""Predict, then reveal: questions whose answers the program computes, so that they are never out of date. No Textual."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...models.catalogue.notes import quantity
from ...models.catalogue.registry import Variant
from ...models.catalogue.share_text import share_text
from . import conv_lab
from .conv_lab import ConvSetting

CLEAR_RATIO = 1.25
"""Two networks are asked about only where one of them is ahead by at least this much."""
MOST_OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """``right`` is the number of the right one among ``options``; ``because`` gives the numbers.

    ``mistakes`` says of each option which mistake leads to it, "" of the right one. ``drawing`` are lines to look at.
    """

    text: str
    options: tuple[str, ...]
    right: int
    because: str
    mistakes: tuple[str, ...]
    drawing: tuple[str, ...] = ()


def about_network(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    """Return a question about a network, alone or beside another; None where nothing can be asked."""
    makers = [_more_parameters, _more_work, _older, _heaviest_stage]
    rng.shuffle(makers)
    for maker in makers:
        question = maker(variant, others, rng)
        if question is not None:
            return question
    return None


def _pair(what: str, variant: Variant, others: Sequence[Variant], rng: random.Random) -> Variant | None:
    """Return another network that is clearly ahead or behind, but by less than a hundred times."""
    own = _count(variant, what)
    fitting = [
        other
        for other in others
        if other.name != variant.name
        and own
        and _count(other, what)
        and CLEAR_RATIO < max(own, _count(other, what)) / min(own, _count(other, what)) < 100
    ]
    return rng.choice(fitting) if fitting else None


def _count(variant: Variant, what: str) -> int:
    return variant.paper_stem.parameters if what == "parameters" else variant.paper_stem.macs


def _more(what: str, words: str, variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    other = _pair(what, variant, others, rng)
    if other is None:
        return None
    both = [variant, other]
    rng.shuffle(both)
    right = 0 if _count(both[0], what) > _count(both[1], what) else 1
    because = ", ".join(f"{one.name} {quantity(_count(one, what))}" for one in both)
    mistakes = ["", ""]
    mistakes[1 - right] = _why_taken_for_more(what, both[right], both[1 - right])
    return Question(f"Which of the two {words}?", tuple(one.name for one in both), right, because, tuple(mistakes))


def _why_taken_for_more(what: str, more: Variant, less: Variant) -> str:
    """Return what may have misled who took ``less`` for the larger one."""
    other = "macs" if what == "parameters" else "parameters"
    if _count(less, other) > _count(more, other):
        if what == "parameters":
            return f"{less.name} does more work, but a weight counts once, at however many places it is used"
        return f"{less.name} has more parameters, but a weight works only as often as there are places for it"
    if less.year > more.year:
        return f"{less.name} is newer ({less.year}, not {more.year}), and newer does not mean larger"
    return f"{less.name} has less of both, parameters and work"


def _more_parameters(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    return _more("parameters", "has more parameters", variant, others, rng)


def _more_work(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    return _more("macs", "needs more MACs for one image", variant, others, rng)


def _older(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    fitting = [other for other in others if other.year != variant.year and other.title != variant.title]
    if not fitting:
        return None
    both = [variant, rng.choice(fitting)]
    rng.shuffle(both)
    right = 0 if both[0].year < both[1].year else 1
    because = ", ".join(f"{one.title} {one.year}" for one in both)
    first, later = both[right], both[1 - right]
    mistakes = ["", ""]
    smaller = _count(later, "parameters") < _count(first, "parameters")
    mistakes[1 - right] = f"{later.title} came {_years(later.year - first.year)} later" + (
        "; it is smaller, and smaller does not mean older" if smaller else ""
    )
    options = tuple(one.title for one in both)
    return Question("Which of the two came first?", options, right, because, tuple(mistakes))


def _years(count: int) -> str:
    return "a year" if count == 1 else f"{count} years"


def _heaviest_stage(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    stages = variant.paper_stem.stages()
    what, words = rng.choice([("parameters", "most parameters"), ("MACs", "most MACs")])
    shares = [(stage, parameters if what == "parameters" else macs) for stage, _, parameters, macs in stages]
    ranked = sorted(shares, key=lambda share: -share[1])
    if len(ranked) < 2 or not ranked[1][1] or ranked[0][1] / ranked[1][1] < 1.1:
        return None
    shown = ranked[:MOST_OPTIONS]
    options = sorted((stage for stage, _ in shown), key=[stage for stage, _ in shares].index)
    total = sum(amount for _, amount in shares)
    because = ", ".join(f"{stage} {share_text(amount / total)}" for stage, amount in ranked[:3])
    text = f"Where in {variant.name} do the {words}"
    heaviest_otherwise = max(stages, key=lambda stage: stage[3] if what == "parameters" else stage[2])[0]
    otherwise = "the most MACs are" if what == "parameters" else "the most parameters sit"
    held = {stage: share_text(amount / total) for stage, amount in shares}
    mistakes = [
        ""
        if stage == ranked[0][0]
        else f"{stage} is where {otherwise}; parameters and MACs are not the same"
        if stage == heaviest_otherwise
        else f"{stage} has {held[stage]}, {ranked[0][0]} {held[ranked[0][0]]}"
        for stage in options
    ]
    right = options.index(ranked[0][0])
    ending = "sit" if what == "parameters" else "done"
    return Question(f"{text} {ending}?", tuple(options), right, because, tuple(mistakes))


def about_window(setting: ConvSetting, side: int, rng: random.Random) -> Question | None:
    """Return a question about the bench: how large the output is, or how many weights there are."""
    if conv_lab.problem(setting, side):
        return None
    s = setting.resolved
    words = f"{s.kind}, k {s.size}, s {s.stride}, p {s.padding}, d {s.dilation}"
    if rng.random() < 0.5:
        right = conv_lab.output_side(setting, side)
        text = f"An image of {side}×{side} goes through a convolution ({words}). How large is what comes out?"
        wrong = [
            (mistake, f"{size}×{size}")
            for mistake, changed in _slips(s)
            if (size := conv_lab.output_side(changed, side)) > 0
        ]
        wrong += [("the side of the input is kept", f"{side}×{side}")]
        wrong += [("the + 1 of the formula is forgotten", f"{right - 1}×{right - 1}")] if right > 1 else []
        return among(text, f"{right}×{right}", wrong, conv_lab.formula(setting, side), rng)
    right = conv_lab.parameters(setting)
    text = f"{s.inputs} channels in, {s.outputs} out, groups {s.groups} ({words}). How many weights, without biases?"
    because = f"k·k·C_in/g·C_out = {s.size}·{s.size}·{s.inputs}/{s.groups}·{s.outputs} = {right}"
    wrong = [
        ("the groups are ignored: a kernel sees the channels of its group alone", right * s.groups),
        ("biases are counted", right + s.outputs),
        ("the kernel is counted along one side only", right // s.size),
        ("one channel in and one out are counted", s.size * s.size),
        ("the kernel is forgotten", s.inputs // s.groups * s.outputs),
    ]
    return among(text, str(right), [(mistake, str(count)) for mistake, count in wrong], because, rng)


def _slips(setting: ConvSetting) -> list[tuple[str, ConvSetting]]:
    """Return what one forgets of a setting, with what is left of it."""
    return [
        ("the padding is forgotten", replace(setting, padding=0)),
        ("the stride is forgotten", replace(setting, stride=1)),
        ("the dilation is forgotten", replace(setting, dilation=1)),
        ("the kernel is forgotten", replace(setting, size=1)),
    ]


def among(text: str, right: str, wrong: Sequence[tuple[str, str]], because: str, rng: random.Random) -> Question | None:
    """Return a question with up to three of the wrong answers, which are (mistake, answer); None without any."""
    known: dict[str, str] = {}
    for mistake, answer in wrong:
        if answer != right:
            known.setdefault(answer, mistake)
    if not known:
        return None
    chosen = rng.sample(sorted(known), min(len(known), MOST_OPTIONS - 1))
    options = [right, *chosen]
    rng.shuffle(options)
    mistakes = tuple(known.get(option, "") for option in options)
    return Question(text, tuple(options), options.index(right), because, mistakes)

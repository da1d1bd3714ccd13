"""Predict, then reveal: questions whose answers the program computes, so that they are never out of date. No Textual."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.catalogue.notes import quantity, shape_text
from ...models.catalogue.registry import Variant
from ...models.catalogue.share_text import share_text
from . import conv_lab
from .conv_lab import ConvSetting
from .layer_tree import LayerNode

CLEAR_RATIO = 1.25
"""Two networks are asked about only where one of them is ahead by at least this much."""
MOST_OPTIONS = 4


@dataclass(frozen=True)
class Question:
    """``right`` is the number of the right one among ``options``; ``because`` gives the numbers."""

    text: str
    options: tuple[str, ...]
    right: int
    because: str


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
    return Question(f"Which of the two {words}?", tuple(one.name for one in both), right, because)


def _more_parameters(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    return _more("parameters", "has more parameters", variant, others, rng)


def _more_work(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    return _more("macs", "needs more multiply-adds for one image", variant, others, rng)


def _older(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    fitting = [other for other in others if other.year != variant.year]
    if not fitting:
        return None
    both = [variant, rng.choice(fitting)]
    rng.shuffle(both)
    right = 0 if both[0].year < both[1].year else 1
    because = ", ".join(f"{one.title} {one.year}" for one in both)
    return Question("Which of the two came first?", tuple(one.title for one in both), right, because)


def _heaviest_stage(variant: Variant, others: Sequence[Variant], rng: random.Random) -> Question | None:
    stages = variant.paper_stem.stages()
    what, words = rng.choice([("parameters", "most parameters"), ("work", "most of the work")])
    shares = [(stage, parameters if what == "parameters" else macs) for stage, _, parameters, macs in stages]
    ranked = sorted(shares, key=lambda share: -share[1])
    if len(ranked) < 2 or not ranked[1][1] or ranked[0][1] / ranked[1][1] < 1.1:
        return None
    shown = ranked[:MOST_OPTIONS]
    options = sorted((stage for stage, _ in shown), key=[stage for stage, _ in shares].index)
    total = sum(amount for _, amount in shares)
    because = ", ".join(f"{stage} {share_text(amount / total)}" for stage, amount in ranked[:3])
    text = f"Where in {variant.name} {'do the' if what == 'parameters' else 'is'} {words}"
    return Question(
        f"{text} {'sit' if what == 'parameters' else 'done'}?", tuple(options), options.index(ranked[0][0]), because
    )


def about_window(setting: ConvSetting, side: int, rng: random.Random) -> Question | None:
    """Return a question about the bench: how large the output is, or how many weights there are."""
    if conv_lab.problem(setting, side):
        return None
    s = setting.resolved
    words = f"{s.kind}, k {s.size}, s {s.stride}, p {s.padding}, d {s.dilation}"
    if rng.random() < 0.5:
        right = conv_lab.output_side(setting, side)
        wrong = {side, right + 1, right - 1, max(side // max(s.stride, 1), 1), right * 2} - {right, 0}
        text = f"An image of {side}×{side} goes through a convolution ({words}). How large is what comes out?"
        options = [f"{size}×{size}" for size in sorted(wrong)]
        return _among(text, f"{right}×{right}", options, conv_lab.formula(setting, side), rng)
    right = conv_lab.parameters(setting)
    wrong = {right * s.groups, right * s.size, right + s.outputs, s.size * s.size, s.inputs * s.outputs} - {right}
    text = f"{s.inputs} channels in, {s.outputs} out, groups {s.groups} ({words}). How many weights, without biases?"
    because = f"k·k·C_in/g·C_out = {s.size}·{s.size}·{s.inputs}/{s.groups}·{s.outputs} = {right}"
    return _among(text, str(right), [str(count) for count in sorted(wrong)], because, rng)


def about_layer(node: LayerNode, rng: random.Random) -> Question | None:
    """Return a question about a row of the layer tree: what leaves it, or how many parameters it has."""
    makers = [_shape_question, _parameter_question]
    rng.shuffle(makers)
    for maker in makers:
        question = maker(node, rng)
        if question is not None:
            return question
    return None


def _shape_question(node: LayerNode, rng: random.Random) -> Question | None:
    if not node.output or not node.inputs or not node.executed:
        return None
    wrong = _wrong_shapes(node)
    if not wrong:
        return None
    settings = ", ".join(f"{name} {_plain(node.settings[name])}" for name in SETTINGS if name in node.settings)
    inside = f" ({node.type}{', ' + settings if settings else ''})"
    text = f"{shape_text(node.inputs[0])} goes into {node.name or node.type}{inside}. What comes out?"
    return _among(text, shape_text(node.output), [shape_text(shape) for shape in wrong], node.phrase, rng)


SETTINGS = ("kernel_size", "stride", "padding", "dilation", "groups")


def _plain(value: object) -> str:
    """Return a setting of a layer as people write it: (3, 3) as 3."""
    if isinstance(value, list | tuple):
        return str(value[0]) if len(set(value)) == 1 else "×".join(map(str, value))
    return str(value)


def _wrong_shapes(node: LayerNode) -> list[tuple[int, ...]]:
    """Return the shapes that one could take for the output: the input, other strides, other channels."""
    out, before = node.output, node.inputs[0]
    guesses: list[tuple[int, ...]] = [before]
    if len(out) == 3:
        channels, height, width = out
        guesses += [
            (channels, max(height // 2, 1), max(width // 2, 1)),
            (channels, height * 2, width * 2),
            (channels * 2, height, width),
            (max(channels // 2, 1), height, width),
            (channels, height + 2, width + 2),
        ]
    elif len(out) == 2:
        guesses += [(out[0], out[1] * 2), (out[0] + 1, out[1]), (out[1], out[0])]
    else:
        guesses += [tuple(size * 2 for size in out), tuple(max(size // 2, 1) for size in out)]
    return [guess for number, guess in enumerate(guesses) if guess != out and guess not in guesses[:number]]


def _parameter_question(node: LayerNode, rng: random.Random) -> Question | None:
    formula = next((formula for formula in node.formulas if formula.what == "parameters"), None)
    if formula is None or not node.parameters:
        return None
    right = node.parameters
    channels = node.output[0] if node.output else 1
    wrong = {
        right + channels,
        right * 2,
        max(right // 9, 1),
        right // max(node.inputs[0][0], 1) if node.inputs else right,
    }
    wrong -= {right, 0}
    text = (
        f"How many parameters has {node.name} ({node.type}, {shape_text(node.inputs[0])} → {shape_text(node.output)})?"
    )
    return _among(
        text, f"{right:,}", [f"{count:,}" for count in sorted(wrong)], f"{formula.general} = {formula.filled}", rng
    )


def _among(text: str, right: str, wrong: list[str], because: str, rng: random.Random) -> Question:
    options = [right, *rng.sample(wrong, min(len(wrong), MOST_OPTIONS - 1))]
    rng.shuffle(options)
    return Question(text, tuple(options), options.index(right), because)

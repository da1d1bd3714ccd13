"""Accuracy of each class as it evolves, and which classes are taken for which. No Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...models.catalogue.share_text import share_text
from ...trainer.common.text_safe import pad, shorten, width
from ...trainer.runs.run import number

WIDEST_NAME = 12
MOST_IN_A_MATRIX = 40
MOST_PAIRS = 40


@dataclass(frozen=True)
class ClassRow:
    """Accuracies between 0 and 1, NaN where a class has no image. ``course`` is the validation, evaluation by evaluation.

    ``mistaken``: for which class the test took it most, and how often.
    """

    place: int
    name: str
    course: tuple[float, ...]
    test: float = math.nan
    mistaken: tuple[str, int] | None = None

    @property
    def taken_for(self) -> str:
        """For what the test took it most, as the table shows it."""
        return f"{self.mistaken[0]} {self.mistaken[1]}×" if self.mistaken else ""

    @property
    def now(self) -> float:
        """At the newest evaluation."""
        return self.course[-1] if self.course else math.nan

    @property
    def gained(self) -> float:
        """Since the first evaluation."""
        return self.now - self.course[0] if len(self.course) > 1 else math.nan


def rows(names: Sequence[str], per_class: Sequence[tuple[float, tuple[float, ...]]], test: dict) -> list[ClassRow]:
    """Return one row a class, in the order of the classes; none before the first evaluation."""
    tested = _numbers(test.get("per_class"))
    count = max([len(values) for _, values in per_class] + [len(tested)], default=0)
    confusion = matrix(test)
    found = []
    for place in range(count):
        name = names[place] if place < len(names) else str(place)
        course = tuple(values[place] if place < len(values) else math.nan for _, values in per_class)
        own = tested[place] if place < len(tested) else math.nan
        found.append(ClassRow(place, name, course, own, _mistaken(place, confusion, names)))
    return found


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list):
        return []
    return [math.nan if (found := number(item)) is None else found for item in value]


def matrix(test: dict) -> list[list[int]]:
    """Return the confusion counts of a test record, a row for what it is, a column for what it was taken for; [] where
    none are.
    """
    value = test.get("confusion")
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == len(value) for row in value):
        return []
    return [[cell if isinstance(cell, int) and not isinstance(cell, bool) else 0 for cell in row] for row in value]


def _mistaken(place: int, confusion: list[list[int]], names: Sequence[str]) -> tuple[str, int] | None:
    if place >= len(confusion):
        return None
    wrong = [(count, -other) for other, count in enumerate(confusion[place]) if other != place and count > 0]
    if not wrong:
        return None
    count, other = max(wrong)
    return _name(-other, names), count


def _name(place: int, names: Sequence[str]) -> str:
    return names[place] if place < len(names) else str(place)


def worst_first(found: Sequence[ClassRow]) -> list[ClassRow]:
    """Return the rows by accuracy, that of the test where there is one; classes without images last."""

    def key(row: ClassRow) -> tuple[bool, float, int]:
        value = row.now if math.isnan(row.test) else row.test
        return math.isnan(value), value, row.place

    return sorted(found, key=key)


def confusion_lines(confusion: list[list[int]], names: Sequence[str]) -> list[str]:
    """Return the matrix with its names, the right ones in brackets, and below it the pairs that are confused most."""
    if not confusion:
        return ["confusion counts come with the test, at the end of the run"]
    lines = _matrix_lines(confusion, names) if len(confusion) <= MOST_IN_A_MATRIX else []
    return lines + ([""] if lines else []) + _pairs(confusion, names)


def _matrix_lines(confusion: list[list[int]], names: Sequence[str]) -> list[str]:
    label = min(max(width(_name(place, names)) for place in range(len(confusion))), WIDEST_NAME)
    cells = max(max(len(str(count)) for row in confusion for count in row) + 2, 6)
    heads = "".join(pad(shorten(_name(place, names), cells - 1), cells, right=True) for place in range(len(confusion)))
    lines = [pad("is ╲ taken for", label) + heads if label >= 12 else pad("", label) + heads]
    for place, row in enumerate(confusion):
        shown = [f"[{count}]" if other == place else f"{count} " if count else "· " for other, count in enumerate(row)]
        lines.append(pad(_name(place, names), label) + "".join(pad(text, cells, right=True) for text in shown))
    return ["rows: what it is; columns: what it was taken for", *lines]


def _pairs(confusion: list[list[int]], names: Sequence[str]) -> list[str]:
    wrong = sorted(
        (
            (count, place, other)
            for place, row in enumerate(confusion)
            for other, count in enumerate(row)
            if place != other
        ),
        key=lambda item: (-item[0], item[1:]),
    )
    lines = ["confused most:"]
    for count, place, other in wrong[:MOST_PAIRS]:
        if count > 0:
            share = count / max(sum(confusion[place]), 1)
            often = "once" if count == 1 else f"{count:,} times"
            lines.append(
                f"  {_name(place, names)} taken for {_name(other, names)}: {often}, {share_text(share, 1)} of them"
            )
    return lines if len(lines) > 1 else ["nothing was confused"]

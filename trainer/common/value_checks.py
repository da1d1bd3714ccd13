"""Checks of single values, as a person wrote them in a file or a flag: the right type, in range, one of the choices."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError, nearest

LARGEST = 1e30
"""Of numbers that are no whole ones: single precision computes with nothing much larger."""
_WHOLE = re.compile(r"[-+]?[0-9]+")
_REAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?(inf|infinity|nan)", re.IGNORECASE)
LONG_NUMBER = 1e9
"""From here on a number is written as 1e+09, and not with all its digits."""


@dataclass(frozen=True)
class Rule:
    """What a field takes: one of ``choices``, or numbers from ``low`` to ``high`` (``above``, ``below``: these excluded).

    ``length`` is that of a list, where it is fixed. ``or_numbers``: a list of numbers may stand in the place of a choice.
    ``usual`` are the smallest and the largest number that people train with; others are taken, and remarked on.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    choices: tuple[str, ...] = ()
    length: int | None = None
    or_numbers: bool = False
    usual: tuple[float, float] = (-math.inf, math.inf)

    @property
    def words(self) -> str:
        """The bounds as words: ``at least 0 and below 1``; "" where there are none."""
        bounds = (("at least", self.low), ("above", self.above), ("at most", self.high), ("below", self.below))
        return " and ".join(f"{word} {_plain(bound)}" for word, bound in bounds if math.isfinite(bound))

    def unusual(self, value: object) -> str:
        """Return what is unusual about a value that the field takes: ``1e+09 is unusual; people train with at most 1``."""
        numbers = value if isinstance(value, tuple | list) else (value,)
        low, high = self.usual
        for number in numbers:
            if not isinstance(number, int | float) or not abs(number) <= sys.float_info.max:
                continue  # what is not finite is refused, not remarked on
            if number != 0 and not low <= number <= high:
                span = f"{_plain(low)} to {_plain(high)}" if low > 0 else f"at most {_plain(high)}"
                return f"{_plain(number)} is unusual; people train with {span}"
        return ""


def checked(name: str, value: object, rule: Rule, kind: type, unit: str = "") -> object:
    """Return ``value`` as a ``kind``; UsageError names the field ``name`` and says what would work, in ``unit``."""
    if kind is bool:
        return _boolean(name, value)
    if rule.or_numbers and isinstance(value, list | tuple):
        return tuple(_number(name, item, rule, float) for item in value)
    if kind is tuple:
        return _sequence(name, value, rule)
    if rule.choices:
        return _choice(name, value, rule)
    if kind in (int, float):
        return _number(name, value, rule, kind, unit)
    return _text(name, value, kind)


def number_of(text: str, kind: type) -> int | float | None:
    """Return a typed number, a whole one for int; None for what is none.

    Python would read 1_0 as 10 and digits of every script: here a slip of the finger is no number.
    """
    text = text.strip(" \t")
    if not (_WHOLE if kind is int else _REAL).fullmatch(text):
        return None
    try:
        return kind(text)
    except ValueError:  # thousands of digits
        return None


def is_index(text: str) -> bool:
    """Return whether a text is a number from 0 on in plain digits, as of a device."""
    return text.isascii() and text.isdecimal()


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(name, value, "must be true or false")
    return value


def _text(name: str, value: object, kind: type) -> object:
    if isinstance(value, Path) and kind is Path:
        return value
    if not isinstance(value, str):
        raise UsageError(name, value, "must be a text")
    if not value.strip():
        raise UsageError(name, value, "must be a text that is not empty")
    return kind(value)


def _sequence(name: str, value: object, rule: Rule) -> tuple:
    if not isinstance(value, list | tuple):
        raise UsageError(name, value, "must be a list")
    items = tuple(_choice(name, item, rule) if rule.choices else _number(name, item, rule, float) for item in value)
    if rule.length is not None and len(items) != rule.length:
        raise UsageError(name, list(items), f"must be a list of {rule.length} numbers")
    return items


def _choice(name: str, value: object, rule: Rule) -> object:
    if value not in rule.choices:
        raise UsageError(name, value, f"is unknown; {_choices_hint(str(value), rule)}")
    return value


def _number(name: str, value: object, rule: Rule, kind: type, unit: str = "") -> object:
    wanted = "a whole number" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(name, value, f"must be {wanted}")
    if not _finite(value):
        raise UsageError(name, value, "must be finite")
    if kind is float and abs(value) > LARGEST:
        raise UsageError(name, value, f"must be at most {_plain(LARGEST)}")
    if kind is int and value != int(value):
        raise UsageError(name, value, f"must be {wanted}")
    if value <= rule.above or value >= rule.below or not rule.low <= value <= rule.high:
        raise UsageError(name, value, f"must be {f'a number of {unit}, ' if unit else ''}{rule.words}")
    return kind(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _choices_hint(given: str, rule: Rule) -> str:
    hint = nearest(given, rule.choices)
    if not hint.startswith("choose"):
        hint = f"{hint} There are {', '.join(rule.choices)}"
    return f"{hint}, or give a list of numbers" if rule.or_numbers else hint


def _plain(bound: float) -> str:
    """Return a number as it is written by hand: 1,000,000, not 1e+06, and 2^63."""
    if bound == 2**63:
        return "2^63"
    return f"{int(bound):,}" if bound == int(bound) and abs(bound) < LONG_NUMBER else short_number(bound)


def short_number(value: float) -> str:
    """Return a number in six digits, or in twelve where six would say another one: 0.9999999 is not 1."""
    short = f"{value:g}"
    return short if float(short) == value else f"{value:.12g}"

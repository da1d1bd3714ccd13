"""What goes wrong, told in one line: the command line prints the message and leaves with the right exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """A wrong name, value or configuration: the person can mend it. Exit code 2.

    ``field`` is the option or key at fault, ``given`` what it held, ``hint`` what would work.
    """

    def __init__(self, field: str, given: object, hint: str) -> None:
        hint = visible(hint.rstrip(" ;"))  # `nearest` is empty where nothing is like what was given
        self.field = field
        self.given = given
        self.hint = hint
        super().__init__(f"{field}: {shown(given)} {hint}" if given is not None else f"{field}: {hint}")


def visible(text: str) -> str:
    """Return a text whose control characters are spelled out, so that a terminal shows them and obeys none."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode() for one in text)


LONGEST_SHOWN = 300
"""Characters of a value that a message repeats."""


def shown(given: object) -> str:
    """Return what was given as a message repeats it: of a long value its beginning, of what has no text its kind."""
    try:
        text = repr(given)
    except (RecursionError, ValueError):  # nested thousands deep; a whole number with thousands of digits
        return with_article(type(given).__name__)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}… ({len(text):,} characters)"


class WorkError(RuntimeError):
    """The request was right and the work failed: a full disk, a held lock, no network. Exit code 1."""

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


SPELLED_WITH_A_VOWEL = tuple("AEFHILMNORSX")
"""Capitals whose names begin with a vowel: an LSTM, an RNN, but a UNet."""


def with_article(word: str) -> str:
    """Return a word behind its article: an int, a list, an LSTM, a UNet, a NoneType."""
    if word[:2].isupper():
        vowel = word.startswith(SPELLED_WITH_A_VOWEL)
    else:
        vowel = word.lower().startswith(tuple("aeiou")) and not word.lower().startswith(("uni", "use", "ut"))
    return f"{'an' if vowel else 'a'} {word}"


def counted(number: int, thing: str) -> str:
    """Return how many there are of a thing whose plural ends in s: ``1 run``, ``3 runs``, ``61,706 parameters``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


SURE = 0.6
"""From this likeness on a name is taken for a misspelt one, however it begins."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return the choice most like ``name``, as words for a hint: ``did you mean 'resnet18'?`` or the list of choices."""
    known = sorted(choices)
    name = name[:LONGEST_SHOWN]  # the comparison takes a minute for a text of a megabyte
    close = [match for match in difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.55) if _alike(name, match)]
    if close:
        return "did you mean " + " or ".join(repr(match) for match in close) + "?"
    if len(known) <= 12:
        return "choose one of " + ", ".join(known)
    return ""


def _alike(name: str, match: str) -> bool:
    """Return whether a match of few letters begins as the name does: 'abc' does not mean 'lamb'."""
    ratio = difflib.SequenceMatcher(None, name.lower(), match.lower()).ratio()
    return ratio >= SURE or name[:1].lower() == match[:1].lower()


def nearest_or_all(name: str, choices: Iterable[str]) -> str:
    """Return the same where no other command lists the choices: all of them, in their order, when none is like ``name``."""
    known = list(choices)
    return nearest(name, known) or "there are " + ", ".join(known)

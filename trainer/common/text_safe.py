"""Makes text from files harmless to a terminal: class names, error texts and log lines come from strangers.

An escape sequence in a class name could move the cursor, rename the window or, on some terminals, type a command. Whatever
is shown goes through :func:`clean` first. Files keep their bytes; only what is read for showing is cleaned.
"""

from __future__ import annotations

import math
import re
import unicodedata

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor movement
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]?"  # the short ones
)
# Control characters, lone surrogates (which cannot be encoded), marks that reverse the direction of writing, and the
# byte-order mark.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# Characters that take no room or are blank, so that two names look alike: they are shown as escapes. Joiners and variation
# selectors stay where names in several scripts, and emoji, need them.
_JOINERS = "\u200c\u200d"
_SELECTORS = "\ufe00-\ufe0f"
_HIDDEN = re.compile(
    f"[{_JOINERS}{_SELECTORS}\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f"
    "\u3164\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_KEYCAP = "\u20e3"
_HUGE = 10**300
_LONG_DIGITS = 300
_LONG = re.compile(rb"[0-9]{%d}" % _LONG_DIGITS)
_BLANKS = re.compile("[\t\n\v\f\r\u2028\u2029]+")


def clean(text: str) -> str:
    """Return ``text`` as one line without escape sequences and controls; line breaks and tabs become one space.

    A character that nobody sees is shown as an escape, ``\\u200b``.
    """
    if not text.isprintable():  # mostly it is, which is decided in C
        text = _UNSAFE.sub("", _BLANKS.sub(" ", _ESCAPES.sub("", text)))
    return text if text.isascii() or not _HIDDEN.search(text) else _with_hidden_shown(text)


def has_hidden(text: str) -> bool:
    """Return whether ``text`` has a character that nobody sees and that changes nothing of the others."""
    return not text.isascii() and _with_hidden_shown(text) != text


def _with_hidden_shown(text: str) -> str:
    shown: list[str] = []
    for place, character in enumerate(text):
        hidden = _HIDDEN.fullmatch(character) and not _is_needed(character, shown[-1:], text[place + 1 : place + 2])
        shown.append(character.encode("unicode_escape").decode() if hidden else character)
    return "".join(shown)


def _is_needed(character: str, before: list[str], after: str) -> bool:
    """Return whether a joiner or a variation selector stands where it changes what is seen: not among ASCII letters."""
    if not before or len(before[0]) > 1 or before[0] in _JOINERS:  # nothing, an escape, a joiner
        return False
    if character in _JOINERS:
        return not before[0].isascii() and bool(after) and not after.isascii() and not _HIDDEN.fullmatch(after)
    is_selector = "\ufe00" <= character <= "\ufe0f" and not _HIDDEN.fullmatch(before[0])
    return is_selector and (not before[0].isascii() or after == _KEYCAP)


def is_harmless(json_text: bytes, longest_line: int = _LONG_DIGITS) -> bool:
    """Return whether JSON has nothing that :func:`clean_value` would change, which its bytes tell.

    JSON allows no bare control characters in a string, so they need a backslash; all else that is unsafe is DEL or beyond
    ASCII, and an integer too large for float() has more than 300 digits, for which a line must be as long as that.
    """
    if b"\\" in json_text or not json_text.isascii() or b"\x7f" in json_text:
        return False
    return longest_line < _LONG_DIGITS or not _LONG.search(json_text)


def clean_value(value: object) -> object:
    """Return a JSON value with every string in it, keys included, cleaned, and no integer that float() refuses.

    Raises RecursionError on absurd nesting.
    """
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and not -_HUGE < value < _HUGE:
        return math.inf if value > 0 else -math.inf
    if isinstance(value, dict):
        return {clean(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    return value


def log_line(line: str) -> str:
    """Return a line of a log as a terminal would leave it: the last text after a carriage return, tabs as spaces, no
    controls.

    Progress bars print ``\\r 10 %\\r 20 %``; only what was written last is still to be seen.
    """
    if line.isascii() and line.isprintable():
        return line
    segments = [segment for segment in _ESCAPES.sub("", line).split("\r") if segment]
    return clean(segments[-1].expandtabs(4)) if segments else ""


def width(text: str) -> int:
    """Return the number of terminal cells that ``text`` takes: two for East Asian wide characters, none for combining
    marks.
    """
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def shorten(text: str, cells: int) -> str:
    """Return ``text`` cut to ``cells`` cells, with an ellipsis in the last one where something was left out."""
    if width(text) <= cells:
        return text
    kept, used = "", 0
    for character in text:
        used += _cells(character)
        if used > cells - 1:
            break
        kept += character
    return kept + "…" if cells > 0 else ""


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """Return ``text`` cut or filled with spaces to exactly ``cells`` cells; ``right`` sets it flush right."""
    text = shorten(text, cells)
    blanks = " " * (cells - width(text))
    return blanks + text if right else text + blanks

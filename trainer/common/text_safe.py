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
# byte-order mark. Joiners stay: names in several scripts, and emoji, need them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_HUGE = 10**300
_LONG_DIGITS = 300
_LONG = re.compile(rb"[0-9]{%d}" % _LONG_DIGITS)
_BLANKS = re.compile("[\t\n\v\f\r\u2028\u2029]+")


def clean(text: str) -> str:
    """Return ``text`` as one line without escape sequences and controls; line breaks and tabs become one space."""
    if text.isprintable():  # the usual case, decided in C
        return text
    text = _ESCAPES.sub("", text)
    return _UNSAFE.sub("", _BLANKS.sub(" ", text))


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
    if line.isprintable():
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

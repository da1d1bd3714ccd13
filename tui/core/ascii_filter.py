"""The screen in ASCII: every other character is replaced by one that looks like it, in the same number of cells."""

from __future__ import annotations

import re
import unicodedata

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from ...trainer.common.text_safe import width
from ...trainer.runs.states import STATES

KNOWN = {
    **dict.fromkeys("─━┄┅┈┉╌╍═▔⎺⎽‾", "-"),
    **dict.fromkeys("│┃┆┇┊┋╎╏║▏▕▎▍", "|"),
    **dict.fromkeys("█▊▉▋▌▐▓■", "#"),
    **dict.fromkeys("▀▒", "="),
    **dict(zip("▁▂▃▄▅▆▇", "_.-=+*%", strict=True)),
    **dict.fromkeys("░", "."),
    **dict.fromkeys("▶▸►→›⟶»", ">"),
    **dict.fromkeys("◀◂◄←‹⟵«", "<"),
    **dict.fromkeys("▲▴↑⌃", "^"),
    **dict.fromkeys("▼▾↓⌄", "v"),
    **dict.fromkeys("·∙⋅‧◦", "."),
    "•": "*",
    "◉": "@",
    **dict.fromkeys("◆◇◈◊●○◌", "o"),
    **dict.fromkeys("–—−‐‑", "-"),
    **dict.fromkeys("“”„″", '"'),
    **dict.fromkeys("‘’‚′", "'"),
    "×": "x",
    "…": "~",
    "✓": "+",
    "✗": "x",
    "⌊": "[",
    "⌋": "]",
    "\u00a0": " ",
    "≈": "~",
    "≤": "<",
    "≥": ">",
    **{state.symbol: state.plain for state in STATES.values()},
}
BRAILLE = " .:*#"
TIMES = re.compile(r"(?<=[\w)])·(?=[\w(])")
"""The dot of a product: as a full stop it would make a decimal fraction of 13·2."""


def plain_character(character: str) -> str:
    """Return an ASCII stand-in of the same width."""
    if character in KNOWN:
        return KNOWN[character]
    code = ord(character)
    if 0x2500 <= code < 0x2580:
        return "+"  # the corners and crossings of boxes
    if 0x2800 <= code < 0x2900:
        return BRAILLE[min((code - 0x2800).bit_count(), len(BRAILLE) - 1)]
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    cells = width(character)
    return letters if len(letters) == cells else "?" * cells


def plain(text: str) -> str:
    """Return ``text`` in ASCII, cell for cell."""
    return text if text.isascii() else "".join(map(plain_character, TIMES.sub("*", text)))


class AsciiFilter(LineFilter):
    """Goes over everything that is drawn, frames and scroll bars too."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else Segment(plain(segment.text), segment.style, segment.control)
            for segment in segments
        ]

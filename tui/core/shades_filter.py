"""The screen in the signs of code page 437, which the console of Linux and old fonts have: frames, blocks and shades."""

from __future__ import annotations

from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from . import ascii_filter

CODE_PAGE = frozenset(bytes(range(0x80, 0x100)).decode("cp437")) | frozenset("☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼⌂")
"""Code page 437, with the signs that it has in the place of control characters."""
KNOWN = {
    **dict.fromkeys("━┄┅┈┉╌╍╴╶", "─"),
    **dict.fromkeys("┃┆┇┊┋╎╏╵╷▏▎▕", "│"),
    **dict(zip("╭╮╰╯", "┌┐└┘", strict=True)),
    **dict(zip("▁▂▃▅▆▇", "_░░▄▓▓", strict=True)),
    **dict.fromkeys("▍▋", "▌"),
    **dict.fromkeys("▊▉", "█"),
    "▔": "▀",
    **dict.fromkeys("▶▸", "►"),
    **dict.fromkeys("◀◂", "◄"),
    "▾": "▼",
    "▴": "▲",
    "●": "•",
    "◉": "◘",
    "◐": "◘",
    "◆": "♦",
    "✓": "√",
    "★": "☼",
}
UPPER, LEFT = 0x1B, 0x47
"""Bits of the braille dots in the upper half and in the left half of a cell."""
SHADES = " ░░▒▒▓▓██"
"""By the number of dots, for cells that have some in all halves."""


def shade_of(bits: int) -> str:
    """Return the block that is most like the dots of a braille cell."""
    for half, whole, rest in ((UPPER, "▀", "▄"), (LEFT, "▌", "▐")):
        if not bits & ~half & 0xFF:
            return whole if bits else " "
        if not bits & half:
            return rest
    return SHADES[bits.bit_count()]


@lru_cache(maxsize=1024)
def shaded_character(character: str) -> str:
    """Return a character of code page 437 in the same number of cells."""
    if character.isascii() or character in CODE_PAGE:
        return character
    if 0x2800 <= ord(character) < 0x2900:
        return shade_of(ord(character) - 0x2800)
    return KNOWN.get(character) or ascii_filter.plain_character(character)


def shaded(text: str) -> str:
    """Return ``text`` in code page 437, cell for cell."""
    return text if text.isascii() else "".join(map(shaded_character, text))


class ShadesFilter(LineFilter):
    """Goes over everything that is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else Segment(shaded(segment.text), segment.style, segment.control)
            for segment in segments
        ]

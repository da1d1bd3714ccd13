"""The screen without any colour, as NO_COLOR asks: what stood out by its background is reversed instead."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

STANDS_OUT = 0.25
"""A background that differs so much in brightness from that of the app is one that should be noticed: a cursor, a badge."""


@lru_cache(maxsize=2048)
def colourless(style: Style, base: float) -> Style:
    """Return a style without colours; ``base`` is the brightness of the app's background."""
    reverse = bool(style.reverse) or _stands_out(style.bgcolor, base)
    bare = Style(
        bold=style.bold,
        dim=style.dim,
        italic=style.italic,
        underline=style.underline,
        underline2=style.underline2,
        strike=style.strike,
        reverse=reverse or None,
        link=style.link,
    )
    return bare + Style.from_meta(style.meta) if style.meta else bare


def _stands_out(colour: RichColor | None, base: float) -> bool:
    if colour is None or colour.is_default:
        return False
    red, green, blue = colour.get_truecolor()
    return abs(Color(red, green, blue).brightness - base) > STANDS_OUT


class Colourless(LineFilter):
    """Takes the colours from everything that is drawn. ``base``: brightness of the app's background."""

    base = 0.0

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, None if style is None else colourless(style, self.base), control)
            for text, style, control in segments
        ]

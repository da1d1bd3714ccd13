"""A grey picture in cells: half blocks where there are colours enough, shades or letters elsewhere; a part can be framed."""

from __future__ import annotations

from collections.abc import Collection

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .. import pictures
from .line_drawn import LineDrawn

UPPER_HALF = "▀"
FRAME_COLOURS = ("#ff8700", "#5f3700")
BIG_SIDE = 12
"""Up to this side a pixel is two cells wide and one high, so that its neighbours can be told apart."""


class PictureView(LineDrawn):
    """``framed`` are the (row, column) of the pixels that are marked; on few colours they stand in brackets.

    In less room than the picture needs, the part around the framed pixels is shown.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._levels: list[list[float]] = []
        self._framed: frozenset[tuple[int, int]] = frozenset()

    def show(self, picture: list[list[float]], framed: Collection[tuple[int, int]] = ()) -> None:
        """Show a picture, scaled between its own darkest and brightest value."""
        self._levels = pictures.levels(picture)
        self._framed = frozenset(framed)
        self.refresh(layout=True)

    @property
    def by_colour(self) -> bool:
        """Whether colours carry the picture."""
        return self.app.console.color_system in ("truecolor", "256") and not self.app.native_ansi_color

    @property
    def big(self) -> bool:
        """Whether a pixel has two cells of its own."""
        return not self.by_colour or len(self._levels) <= BIG_SIDE

    @property
    def cells(self) -> int:
        """Cells that a line of the whole picture takes."""
        return (2 if self.big else 1) * max(map(len, self._levels), default=1)

    def get_content_width(self, container, viewport) -> int:
        return self.cells

    def get_content_height(self, container, viewport, width: int) -> int:
        rows = len(self._levels)
        return max(rows if self.big else (rows + 1) // 2, 1)

    def render_line(self, y: int) -> Strip:
        base, width = self.base_style, self.size.width
        top, left = self._corner()
        segments = self._wide_pixels(y + top, base) if self.big else self._half_blocks(y + top // 2)
        cells = left * (2 if self.big else 1)
        return Strip(segments).crop_extend(cells, cells + width, base)

    def _corner(self) -> tuple[int, int]:
        """The first row and column to be seen: where the picture has more than there is room for, those around the frame."""
        rows = self.size.height * (1 if self.big else 2)
        columns = self.size.width // (2 if self.big else 1)
        corner = []
        for axis, (room, side) in enumerate(
            ((rows, len(self._levels)), (columns, max(map(len, self._levels), default=0)))
        ):
            marked = [place[axis] for place in self._framed] or [0]
            middle = (min(marked) + max(marked)) // 2
            corner.append(min(max(middle - room // 2, 0), max(side - room, 0)))
        return corner[0] + corner[0] % 2 * (not self.big), corner[1]

    def _wide_pixels(self, row: int, base: Style) -> list[Segment]:
        if row >= len(self._levels):
            return []
        segments = []
        for column, level in enumerate(self._levels[row]):
            framed = (row, column) in self._framed
            if self.by_colour:
                text = "[]" if framed else "  "
                ink = FRAME_COLOURS[0] if framed else None
                segments.append(Segment(text, Style(bgcolor=pictures.grey(level), color=ink, bold=framed)))
            else:
                sign = pictures.shade(level)
                segments.append(Segment(f"[{sign}" if framed else sign * 2, base + Style(bold=framed)))
        return segments

    def _half_blocks(self, y: int) -> list[Segment]:
        if 2 * y >= len(self._levels):
            return []
        upper = self._levels[2 * y]
        lower = self._levels[2 * y + 1] if 2 * y + 1 < len(self._levels) else [0.0] * len(upper)
        return [
            Segment(UPPER_HALF, Style(color=self._colour(2 * y, x, top), bgcolor=self._colour(2 * y + 1, x, bottom)))
            for x, (top, bottom) in enumerate(zip(upper, lower, strict=True))
        ]

    def _colour(self, row: int, column: int, level: float) -> str:
        if (row, column) in self._framed:
            return FRAME_COLOURS[0] if level > 0.5 else FRAME_COLOURS[1]
        return pictures.grey(level)

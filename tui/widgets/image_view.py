"""A grey image in cells: half blocks where there are colours enough, shades or letters elsewhere; a part can be framed.

Enlarged, each pixel shows its value too.
"""

from __future__ import annotations

from collections.abc import Collection

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ..networks import conv_lab, images
from .repaint import LineDrawn

UPPER_HALF = "▀"
FRAME_COLOURS = ("#ff8700", "#5f3700")
BIG_SIDE = 12
"""Up to this side a pixel is two cells wide and one high, so that its neighbours can be told apart."""
NUMBERED = 2
"""From this size on a pixel has room for its value, and a line below it for the frame's brackets."""
LARGEST = 4


class ImageView(LineDrawn):
    """``framed`` are the (row, column) of the pixels that are marked; on few colours they stand in brackets.

    In less room than the image needs, the part around the framed pixels is shown.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._image: list[list[float]] = []
        self._levels: list[list[float]] = []
        self._requested_lines = 0
        self._framed: frozenset[tuple[int, int]] = frozenset()

    def show(self, image: list[list[float]], framed: Collection[tuple[int, int]] = ()) -> None:
        """Show an image, scaled between its own darkest and brightest value."""
        self._image = image
        self._levels = images.levels(image)
        self._framed = frozenset(framed)
        self.refresh(layout=True)

    def enlarge(self, lines: int) -> None:
        """Give each pixel so many lines, and twice as many cells; 0: as few as the image can be read in."""
        if lines != self._requested_lines:
            self._requested_lines = lines
            self.refresh(layout=True)

    @property
    def by_colour(self) -> bool:
        """Whether colours carry the image."""
        has_colours = self.app.console.color_system in ("truecolor", "256")
        return has_colours and not self.app.native_ansi_color and not self.app.no_color

    @property
    def lines(self) -> int:
        """Lines of a pixel, which is twice as many cells wide; 0: two pixels share a cell."""
        return max(self._requested_lines, int(not self.by_colour or len(self._levels) <= BIG_SIDE))

    @property
    def cells(self) -> int:
        """Cells that a line of the whole image takes."""
        return (2 * self.lines or 1) * max(map(len, self._levels), default=1)

    def get_content_width(self, container, viewport) -> int:
        return self.cells

    def get_content_height(self, container, viewport, width: int) -> int:
        rows = len(self._levels)
        return max(rows * self.lines or (rows + 1) // 2, 1)

    def render_line(self, y: int) -> Strip:
        base, width = self.base_style, self.size.width
        top, left = self._corner()
        lines = self.lines
        segments = (
            self._wide_pixels(*divmod(y + top * lines, lines), base) if lines else self._half_blocks(y + top // 2)
        )
        cells = left * (2 * lines or 1)
        return Strip(segments).crop_extend(cells, cells + width, base)

    def _corner(self) -> tuple[int, int]:
        """Return the first visible row and column: where the image has more than there is room for, those around the
        frame.
        """
        lines = self.lines
        rows = self.size.height // lines if lines else self.size.height * 2
        columns = self.size.width // (2 * lines or 1)
        corner = []
        for axis, (room, side) in enumerate(
            ((rows, len(self._levels)), (columns, max(map(len, self._levels), default=0)))
        ):
            marked = [place[axis] for place in self._framed] or [0]
            middle = (min(marked) + max(marked)) // 2
            corner.append(min(max(middle - room // 2, 0), max(side - room, 0)))
        return corner[0] + corner[0] % 2 * (not lines), corner[1]

    def _wide_pixels(self, row: int, line: int, base: Style) -> list[Segment]:
        """Return one of the lines of a row of pixels that have cells of their own."""
        if row >= len(self._levels):
            return []
        segments = []
        for column, level in enumerate(self._levels[row]):
            framed = (row, column) in self._framed
            sign = " " if self.by_colour else images.shade(level)
            text = self._inside(row, column, line, sign)
            if self.by_colour:
                ink = FRAME_COLOURS[level > 0.5] if framed else images.grey(level < 0.5)
                segments.append(Segment(text, Style(bgcolor=images.grey(level), color=ink, bold=framed)))
            else:
                segments.append(Segment(text, base + Style(bold=framed)))
        return segments

    def _inside(self, row: int, column: int, line: int, sign: str) -> str:
        """Return what a pixel shows in one of its lines: its value in the middle, brackets in the last where it is
        framed.
        """
        cells = 2 * self.lines
        if self.lines >= NUMBERED and line == (self.lines - 1) // 2:
            return short_number(self._image[row][column], cells).center(cells)
        if (row, column) in self._framed and line == self.lines - 1:
            close = "]" if self.by_colour or cells > 2 else sign
            return "[" + sign * (cells - 2) + close
        return sign * cells

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
        return images.grey(level)


def short_number(number: float, cells: int) -> str:
    """Return a number in at most so many cells: whole where its digits after the point have no room, nothing where it
    has none.
    """
    texts = (conv_lab.number_text(number), conv_lab.number_text(float(round(number))))
    return next((text for text in texts if len(text) <= cells), "")

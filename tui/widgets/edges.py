"""The signs at the edges of lines that go on beyond what is in sight, the same in texts, logs and the model file."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ...trainer.common.text_safe import width

MORE_LEFT, MORE_RIGHT = "‹", "›"
SIDE_STEP = 8
"""So many columns a key moves to the side."""


def hidden(text: str, left: int, cells: int) -> tuple[bool, bool]:
    """Return whether anything of ``text`` but blanks is left, and right, of the ``cells`` from column ``left`` on."""
    ends = width(text.rstrip())
    begins = width(text) - width(text.lstrip())
    return bool(text.strip()) and begins < left, ends > left + cells


def window(segments: Iterable[Segment], left: int, cells: int, base: Style) -> Strip:
    """Return ``cells`` of a line from column ``left`` on; an edge beyond which it goes on has a sign in its last cell."""
    line = Strip(segments)
    before, after = hidden(line.text, left, cells)
    start, end = left + before, left + cells - after
    if cells < 1 or start > end:
        return Strip.blank(max(cells, 0), base)
    marks = [Segment(MORE_LEFT, base)] if before else [], [Segment(MORE_RIGHT, base)] if after else []
    return Strip.join([Strip(marks[0]), line.crop_extend(start, end, base), Strip(marks[1])])


def marked(segments: Iterable[Segment], left: int, cells: int, base: Style, mark: Segment) -> Strip:
    """Return the same with the signs in a cell of their own on either side; ``mark`` stands left where nothing is cut."""
    line = Strip(segments)
    before, after = hidden(line.text, left, cells)
    first = Segment(MORE_LEFT, base) if before else mark
    last = Segment(MORE_RIGHT if after else " ", base)
    return Strip.join([Strip([first]), line.crop_extend(left, left + cells, base), Strip([last])])

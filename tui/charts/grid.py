"""How many charts fit into a place, and how they are divided over pages. No Textual."""

from __future__ import annotations

from dataclasses import dataclass

WIDEST, LEAST_WIDTH, LEAST_HEIGHT = 3, 34, 8


@dataclass(frozen=True)
class Grid:
    """Charts in columns and rows; what does not fit goes to further pages."""

    columns: int
    rows: int
    pages: int

    @property
    def per_page(self) -> int:
        """Charts on a page."""
        return self.columns * self.rows

    def page_of(self, place: int) -> int:
        """The page on which a chart is."""
        return place // self.per_page


def grid(width: int, height: int, count: int) -> Grid:
    """The arrangement of ``count`` charts in ``width`` × ``height`` cells, each of them large enough to be read."""
    if count < 1:
        return Grid(1, 1, 1)
    columns = min(max(width // LEAST_WIDTH, 1), WIDEST, count)
    rows = min(max(height // LEAST_HEIGHT, 1), -(-count // columns))
    # Fewer columns, where the last row would be emptier than it need be.
    while columns > 1 and rows * (columns - 1) >= count:
        columns -= 1
    return Grid(columns, rows, -(-count // (columns * rows)))

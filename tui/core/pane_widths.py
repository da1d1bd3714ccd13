"""How many columns a list and the panes beside it get. No Textual.

What is shown never gets less as the terminal gets wider: both have their full width, or they take turns, or a second pane
waits until there is room for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SIDE_BY_SIDE = 120
"""From so many columns on a list and its panes stand side by side, where both have room for all that they show at 80."""
IN_TURNS = 78
"""While they take turns, each has the columns that it has in a terminal of 80."""
LEAST = 24
"""A pane whose border is moved keeps so many columns."""
STEP = 4
"""So many columns a key moves the border by."""


@dataclass(frozen=True)
class PaneWidths:
    """The list gets ``share`` of the columns, at least ``least`` and at most ``widest``; the panes keep ``panes``."""

    share: float
    least: int
    widest: int
    panes: int

    @property
    def side_by_side(self) -> int:
        """From so many columns on the two stand side by side."""
        return max(SIDE_BY_SIDE, self.least + self.panes)

    def of_list(self, total: int, chosen: object = None) -> int:
        """Return the columns of the list; ``chosen`` is where a person moved the border, if that is a number."""
        if isinstance(chosen, int) and not isinstance(chosen, bool) and chosen > 0:
            return max(min(chosen, total - LEAST), LEAST)
        return max(self.least, min(round(self.share * total), self.widest, total - self.panes))


def has_room(room: int, needed: Mapping[str, int], *names: str) -> bool:
    """Return whether these panes stand side by side in ``room`` columns with all that each of them can show."""
    return all(name in needed for name in names) and sum(needed[name] for name in names) <= room

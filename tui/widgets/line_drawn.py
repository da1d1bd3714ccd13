"""What widgets that draw themselves line by line have in common."""

from __future__ import annotations

from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class LineDrawn(Widget):
    """Has a ``base_style`` for ``render_line``. As a second base class it stands last, behind that with the styles."""

    _base_style: Style | None = None

    @property
    def base_style(self) -> Style:
        """The style of the widget itself, mixed once a paint from those of all that it lies in, and not once a line."""
        if self._base_style is None:
            self._base_style = self.rich_style
        return self._base_style

    def render_lines(self, crop: Region) -> list[Strip]:
        self._base_style = None
        return super().render_lines(crop)

"""The classes that a screen has at its size. Textual sets them after a first layout, which is that of another size."""

from __future__ import annotations

from textual.screen import Screen


def fit(screen: Screen) -> None:
    """Give a screen the classes of the terminal's size before it is laid out for the first time."""
    app = screen.app
    for breakpoints, cells in (
        (app.HORIZONTAL_BREAKPOINTS, app.size.width),
        (app.VERTICAL_BREAKPOINTS, app.size.height),
    ):
        fitting = screen._get_breakpoint_classes(cells, breakpoints or [])
        for _, name in breakpoints or ():
            screen.set_class(name in fitting, name)

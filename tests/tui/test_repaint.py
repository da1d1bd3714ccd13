"""What is painted again when little changed: over SSH every cell that is painted costs."""

from __future__ import annotations

import pytest
from cnn_explorer.tui.widgets.repaint import Frame, LineDrawn, TextLines
from cnn_explorer.tui.widgets.rows import Column, ListRow, RowList
from support.tui import screen_text, until
from textual.app import App
from textual.geometry import Region
from textual.pilot import Pilot
from textual.strip import Strip
from textual.widget import Widget

SIZE = (40, 12)


class OneWidget(App[None]):
    """Nothing but a widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.one = widget

    def compose(self):
        yield self.one


def painted(widget: Widget) -> set[Region]:
    """What is to be painted again of a widget, in its own cells."""
    return set(widget._repaint_regions)


async def shown(pilot: Pilot, y: int, words: str) -> None:
    """Wait until a line of the screen has these words and nothing is left to paint."""
    app = pilot.app
    assert isinstance(app, OneWidget)
    await until(pilot, lambda: words in screen_text(app).splitlines()[y] and not painted(app.one))


async def test_another_title_paints_the_line_of_the_frame_that_it_stands_in() -> None:
    frame = Frame(TextLines(id="inside"), id="frame")
    frame.styles.border = ("round", "white")
    app = OneWidget(frame)
    async with app.run_test(size=SIZE) as pilot:
        frame.entitle("a [bold]title[/]", "below")
        assert painted(frame) == {Region(0, 0, 40, 1), Region(0, 11, 40, 1)}
        await shown(pilot, 0, "a [bold]title[/]")
        assert "below" in screen_text(app).splitlines()[-1]
        frame.entitle("a [bold]title[/]", "below")
        assert not painted(frame)
        frame.entitle("another", "below")
        assert painted(frame) == {Region(0, 0, 40, 1)}
        await shown(pilot, 0, "another")
        frame.refresh()
        assert painted(frame) == {Region(0, 0, 40, 12)}


async def test_other_rows_paint_those_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"row {number}" for number in range(30)]
    table = RowList([Column("name"), Column("state", 8)], [ListRow(name, (name, "waits")) for name in names])
    app = OneWidget(table)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, 5, "waits")
        table.set_rows([ListRow(name, (name, "runs" if name == "row 4" else "waits")) for name in names])
        assert painted(table) == {Region(0, 5, table.size.width, 1)}
        await shown(pilot, 5, "runs")
        table.set_rows(table.rows, cursor="row 2")
        assert painted(table) == {Region(0, y, table.size.width, 1) for y in (1, 3)}
        await shown(pilot, 3, "▶ row 2")
        table.set_rows(table.rows, cursor="row 25")
        await until(pilot, lambda: any(line.startswith("▶ row 25") for line in screen_text(app).splitlines()))
        table.set_rows(table.rows[:3])
        await until(pilot, lambda: "row 3" not in screen_text(app))


async def test_the_style_of_lines_follows_the_theme() -> None:
    class Lines(LineDrawn):
        def render_line(self, y: int) -> Strip:
            return Strip.blank(self.size.width, self.base_style)

    lines = Lines()
    app = OneWidget(lines)
    async with app.run_test(size=SIZE) as pilot:
        before = lines.base_style
        app.theme = "textual-light"
        await until(pilot, lambda: lines.base_style == lines.rich_style != before)

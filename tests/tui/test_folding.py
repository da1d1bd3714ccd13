"""Sentences of the walk and of the layer table go on in blank lines, where there are some."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cnn_explorer.tui.widgets.folding import folded, folded_lines
from cnn_explorer.tui.widgets.rows import ListRow
from support.tui import make_app, screen_text, until

SENTENCE = (
    "halves the side of the map and doubles its channels, one filter a channel, and adds what it was given at the end"
)
ROWS = [ListRow("a", ("conv", "one two three four", "8"), "dim"), ListRow("b", ("norm", "short", "8"))]


def test_a_sentence_goes_on_in_rows_that_the_cursor_passes_over() -> None:
    found = folded(ROWS, 1, 9, 10)
    assert [row.cells for row in found] == [
        ("conv", "one two", "8"),
        ("", "three", ""),
        ("", "four", ""),
        ("norm", "short", "8"),
    ]
    assert [row.selectable for row in found] == [True, False, False, True]
    assert [row.tone for row in found] == ["dim", "dim", "dim", "plain"] and found[3] == ROWS[1]


def test_without_blank_lines_a_sign_says_that_a_sentence_goes_on() -> None:
    found = folded(ROWS, 1, 9, 3)
    assert [row.cells for row in found] == [("conv", "one two ›", "8"), ROWS[1].cells]
    assert [row.key for row in found] == ["a", "b"] and found[0].tone == "dim"
    assert folded(ROWS, 1, 4, 100) == ROWS, "too narrow for words"
    assert folded([], 1, 9, 3) == []


def test_rows_that_are_scrolled_anyway_have_their_sentences_in_full() -> None:
    many = ROWS * 4
    assert folded(many, 1, 9, 7) == folded(many, 1, 9, 100) and len(folded(many, 1, 9, 7)) == 16
    assert len(folded(many, 1, 9, 5)) == 8, "too few lines for more than the rows"


def test_lines_are_folded_where_all_of_them_have_room() -> None:
    assert folded_lines(["one two three", "four"], 8, 4) == ["one two", "  three", "four"]
    assert folded_lines(["one two three", "four", "five"], 8, 3) == ["one two three", "four", "five"]
    assert folded_lines(["a", "b", "c"], 8, 2) == ["a", "b"]
    assert folded_lines(["", "b"], 8, 2) == ["", "b"]


async def test_the_walk_shows_its_sentences_in_full_where_lines_are_blank(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.screen
        await pilot.press("3")
        await until(pilot, lambda: screen.panes.pane_of("walk") and screen.panes.pane_of("walk").table.rows)
        pane = screen.panes.pane_of("walk")
        tree = pane.levels[0]
        await pilot.pause()
        assert screen_text(app).count("does something") == 3, "two rows, and below them the first in one line"
        long = replace(tree, children=tuple(replace(child, phrase=SENTENCE) for child in tree.children))
        pane.ready("layers", long)
        await pilot.pause()
        words = " ".join(row.cells[1] for row in pane.table.rows)
        assert words == " ".join([SENTENCE] * len(long.children))
        assert [row.key for row in pane.table.rows if row.selectable] == [child.key for child in long.children]
        await pilot.press("enter", "j")
        assert pane.table.key == long.children[1].key and pane.step is not None
        assert pane.export().text.count(SENTENCE) == len(long.children), "a file has them in one line"
        await pilot.resize_terminal(140, 15)
        await until(pilot, lambda: len(pane.table.rows) == len(long.children), "no blank lines are left")
        assert pane.table.key == long.children[1].key

"""The foot line and the titles of columns answer the mouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.help import HelpScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.filter_input import FilterInput
from cnn_explorer.tui.widgets.sorted_rows import sort_value
from support.tui import FakeRun, eval_record, make_app, screen_text, until
from textual.pilot import Pilot

SIZE = (120, 30)


def foot(app: Any) -> str:
    """The line of keys; "" while a screen opens."""
    return next(reversed(screen_text(app).splitlines()), "")


async def click_foot(pilot: Pilot, words: str) -> None:
    """Click on an entry of the foot line, in its middle."""
    app: Any = pilot.app
    await pilot.click("#keys", offset=(foot(app).index(words) + len(words) // 2, 0))


async def click_title(pilot: Pilot, table: Any, title: str) -> None:
    line = screen_text(pilot.app).splitlines()[table.region.y]
    start = line.index(title, table.region.x) - table.region.x
    await pilot.click(table, offset=(start + len(title) // 2, 0))


async def test_an_entry_of_the_foot_line_does_what_its_key_does(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "? help" in screen_text(app))
        await click_foot(pilot, "w runs")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await until(pilot, lambda: "a architectures" in foot(app) and "enter" not in foot(app))  # there are no runs
        await click_foot(pilot, "a architectures")
        await until(pilot, lambda: isinstance(app.screen, CatalogueScreen) and "t train" in screen_text(app))
        await click_foot(pilot, "/ filter")
        await until(pilot, lambda: isinstance(app.focused, FilterInput) and "esc drop it" in screen_text(app))
        await click_foot(pilot, "esc drop it")
        await until(pilot, lambda: app.focused is app.screen.table)
        await until(pilot, lambda: "? help" in foot(app))
        await click_foot(pilot, "? help")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await click_foot(pilot, "? close")
        await until(pilot, lambda: isinstance(app.screen, CatalogueScreen))


async def test_beside_the_entries_of_the_foot_line_nothing_happens(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "? help" in screen_text(app))
        await pilot.click("#keys", offset=(foot(app).index("w runs") + len("w runs"), 0))
        await pilot.click("#keys", offset=(0, 0))
        await pilot.pause()
        assert isinstance(app.screen, CatalogueScreen)


async def test_titles_of_the_catalogue_sort_it(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        table = app.screen.table
        by_size = sorted(registry.variants().values(), key=lambda variant: variant.paper_stem.parameters)
        await click_title(pilot, table, "params")
        await until(pilot, lambda: table.rows[0].key == by_size[0].name)
        await click_title(pilot, table, "params")
        await until(pilot, lambda: table.rows[0].key == by_size[-1].name)
        assert "by parameters, reversed" in screen_text(app)
        await click_title(pilot, table, "network")
        await until(pilot, lambda: table.rows[0].key == min(registry.variants()))
        await pilot.press("o")
        assert not app.saved_state.sort_reversed


async def test_titles_of_the_runs_sort_them_and_the_order_key_takes_that_back(tmp_path: Path) -> None:
    for number, (accuracy, network) in enumerate(((0.5, "lenet5"), (0.9, "vgg11"), (None, "alexnet"), (0.7, "nin"))):
        run = FakeRun(tmp_path / "runs", f"20261120-14302{number}-{network}-digits-7f3a", "finished", network=network)
        if accuracy is not None:
            run.write(eval_record(1, accuracy))
            run.status("finished", best={"accuracy": accuracy, "epoch": 1})
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: len(app.screen.table.rows) == 4)
        table = app.screen.table

        def shown() -> list[str]:
            return [row.cells[2] for row in table.rows]

        await click_title(pilot, table, "best %")
        await until(pilot, lambda: shown() == ["lenet5", "nin", "vgg11", "alexnet"])
        await click_title(pilot, table, "best %")
        await until(pilot, lambda: shown() == ["vgg11", "nin", "lenet5", "alexnet"])
        assert "by best %, reversed" in screen_text(app)
        await click_title(pilot, table, "network")
        await until(pilot, lambda: shown() == ["alexnet", "lenet5", "nin", "vgg11"])
        await pilot.press("o")
        await until(pilot, lambda: app.saved_state.run_order == "best accuracy" and shown()[0] == "vgg11")
        assert not table.order_words


@pytest.mark.parametrize(
    "cells",
    [
        ["2", "10", "100"],
        ["-1.5", "+0.5", "2"],
        ["950", "21.3k", "1.2M", "3 G"],
        ["3 %", "20 %", "100 %"],
        ["0:59", "1:02", "2 h 01", "1 d 1 h"],
        ["1,000", "20,000"],
        ["7", "alpha", "Beta"],
    ],
)
def test_cells_sort_by_their_numbers(cells: list[str]) -> None:
    mixed = [cells[-1], *cells[:-1]]
    mixed.sort(key=sort_value)
    assert mixed == cells

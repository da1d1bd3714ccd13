"""Keys of the charts in one write, in the app itself, while a drawing takes a while."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.charts.reader import ChartReader
from cnn_explorer.tui.screens.export import ExportScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from support.tui import FakeRun, make_app, open_runs, until, write
from textual.pilot import Pilot

SIZE = (150, 40)
RUNS = {"20261120-153022-resnet18-digits-8c1d": 500, "20261120-143022-lenet5-digits-7f3a": 1000}
LEFT, ESCAPE, TAB = "\x1b[D", "\x1b", "\t"
DRAWING_S = 0.1
"""Much longer than it takes to hand on the keys of one write."""


@pytest.fixture(autouse=True)
def slow_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a drawing take a while."""
    draw = ChartReader._draw

    def slowly(self: ChartReader, *arguments: Any) -> Any:
        time.sleep(DRAWING_S)
        return draw(self, *arguments)

    monkeypatch.setattr(ChartReader, "_draw", slowly)


def app_with_runs(folder: Path) -> ExplorerApp:
    for name, count in RUNS.items():
        FakeRun(folder / "runs", name, "finished").curve(count)
    app = make_app(folder)
    app.saved_state.axis = "step"
    return app


async def drawn(pilot: Pilot) -> ChartGrid:
    """The charts, when nothing waits and what they show is what was asked for."""
    grid = pilot.app.screen.query_one(ChartGrid)
    await until(pilot, lambda: grid.drawn.charts and grid._is_up_to_date() and not grid.has_commands_waiting)
    return grid


async def open_charts(pilot: Pilot) -> ChartGrid:
    await open_runs(pilot, len(RUNS))
    await drawn(pilot)
    await write(pilot, "\r2")
    await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
    return await drawn(pilot)


async def test_escape_takes_away_the_cursor_that_the_key_before_it_showed(tmp_path: Path) -> None:
    async with app_with_runs(tmp_path).run_test(size=SIZE) as pilot:
        grid = await open_charts(pilot)
        await write(pilot, f"W{LEFT}{ESCAPE}")
        assert isinstance(pilot.app.screen, RunScreen)
        assert grid.state.cursor is None and grid.state.window.percent == 50


async def test_what_is_typed_for_a_dialog_waits_until_it_is_there(tmp_path: Path) -> None:
    async with app_with_runs(tmp_path).run_test(size=SIZE) as pilot:
        grid = await open_charts(pilot)
        await write(pilot, "WFv\rG\r")
        await drawn(pilot)
        assert grid.state.window.frozen and "loss" not in grid.state.charts


async def test_an_export_has_the_window_that_was_asked_for_just_before(tmp_path: Path) -> None:
    async with app_with_runs(tmp_path).run_test(size=SIZE) as pilot:
        await open_charts(pilot)
        await write(pilot, "W+e")
        screen = pilot.app.screen
        assert isinstance(screen, ExportScreen)
        curves = json.loads(screen._formats["json"][1]())["data"]["curves"]
        assert (curves["from"], curves["to"]) == pytest.approx((499 * 0.75, 499), abs=1)


@pytest.mark.parametrize("keys", ["j+", f"j{TAB}+", "+j+"])
async def test_a_key_concerns_the_run_to_which_the_cursor_has_just_moved(tmp_path: Path, keys: str) -> None:
    async with app_with_runs(tmp_path).run_test(size=SIZE) as pilot:
        await open_runs(pilot, len(RUNS))
        await drawn(pilot)
        await write(pilot, keys)
        grid = await drawn(pilot)
        assert [run.path.name for run in grid.runs] == [list(RUNS)[1]]
        assert grid.drawn.x == pytest.approx((499.5, 999), abs=1)


async def test_keys_behind_a_drawing_that_never_comes_are_dropped_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_with_runs(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        grid = await open_charts(pilot)
        dropped: list[int] = []
        monkeypatch.setattr(app.key_queue, "_dropped", dropped.append)
        assert grid._reader is not None
        monkeypatch.setattr(grid._reader, "_on_drawn", lambda drawn: None)
        await write(pilot, "W+x")
        assert dropped == [1] and not grid.has_commands_waiting
        await write(pilot, "1")
        assert isinstance(app.screen, RunScreen) and app.screen.tabs.current == "overview"

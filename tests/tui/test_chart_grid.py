"""The grid of charts in an app of its own, over real run directories that grow and break: its drawing, keys and mouse."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cnn_explorer.tui.charts import markers
from cnn_explorer.tui.charts.view import Window
from cnn_explorer.tui.core.messages import AskForCharts
from cnn_explorer.tui.core.saved_state import SavedState
from cnn_explorer.tui.screens.choose_charts import ChooseChartsScreen
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from cnn_explorer.tui.widgets.chart_view import ChartView
from support.charts import NAMES, charted, full_record, make_run
from support.tui import FakeRun, eval_record, make_app, screen_text, train_record, until
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Static

SIZE = (120, 36)


class GridApp(App):
    """Nothing but the grid."""

    def __init__(self, saved_state: SavedState | None = None, ascii: bool = False) -> None:
        super().__init__()
        self.grid = ChartGrid(saved_state, ascii=ascii, every_s=0.02)

    def compose(self):
        yield self.grid

    def on_ask_for_charts(self, message: AskForCharts) -> None:
        self.push_screen(ChooseChartsScreen(message.shown), message.answer)


def image(grid: ChartGrid, metric: str = "loss") -> str:
    chart = grid.drawn.charts.get(metric)
    return "\n".join(row.text for row in chart.rows) if chart else ""


def cells(grid: ChartGrid, tone: int) -> int:
    """How many cells of the learning rate's chart have a tone."""
    return sum(row.tones[7:].count(tone) for row in grid.drawn.charts["lr"].rows[1:-1])


async def shown(pilot: Pilot, *runs: FakeRun, pinned: int = -1) -> ChartGrid:
    """The grid with these runs drawn, and the focus on it."""
    grid = pilot.app.query_one(ChartGrid)
    grid.focus()
    grid.show(charted(*runs, pinned=pinned))
    await idle(pilot)
    return grid


async def idle(pilot: Pilot) -> None:
    """What is wanted is drawn."""
    await pilot.pause()
    grid = pilot.app.query_one(ChartGrid)
    await until(pilot, lambda: grid.drawn.wanted == grid._wanted and grid.drawn.charts, "drawn as wanted")


@contextmanager
def nothing_drawn(grid: ChartGrid) -> Iterator[None]:
    """What the thread draws comes when this is over."""
    held, post = [], grid.post_message
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "post_message", lambda m: held.append(m) if isinstance(m, grid.Painted) else post(m))
        yield
    for message in held:
        grid.post_message(message)


async def test_a_grid_shows_all_metrics_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp()
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, run)
        text = screen_text(app)
        for title in ("loss", "accuracy", "learning rate", "gradient norm", "images/s"):
            assert title in text
        assert "★ best 70.0% epoch 2" in text and "─ train" in text and "┄○ validation" in text
        assert "over epochs" in text
        assert any("\u2800" < letter <= "\u28ff" for letter in text)


async def test_overlaid_runs_have_their_markers_and_the_pinned_one_is_on_top(tmp_path: Path) -> None:
    runs = make_run(tmp_path), make_run(tmp_path, NAMES[1])
    app = GridApp()
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, *runs)
        assert "●○ lenet5" in screen_text(app) and "◆◇ resnet18" in screen_text(app)
        assert "●" in image(grid) and image(grid).count("●") > image(grid).count("◆")
        # The same numbers in both: what lies on top hides the other one.
        assert cells(grid, 16) > cells(grid, 18)
        grid.show(charted(*runs, pinned=1))
        await idle(pilot)
        assert "resnet18 (pinned)" in screen_text(app)
        assert cells(grid, 16) < cells(grid, 18)


async def test_ascii_needs_neither_braille_nor_colours(tmp_path: Path) -> None:
    runs = make_run(tmp_path), make_run(tmp_path, NAMES[1])
    app = GridApp(ascii=True)
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, *runs)
        assert all(row.text.isascii() for chart in grid.drawn.charts.values() for row in chart.rows)
        assert "Aa lenet5" in screen_text(app) and "A" in image(grid).partition("\n")[2]


async def test_axes_smoothing_and_logarithm(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    saved_state = SavedState()
    app = GridApp(saved_state)
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        for label, end in (("steps", 200), ("training time", 100), ("images seen", 25_600), ("epochs", 2)):
            await pilot.press("x")
            await idle(pilot)
            assert f"over {label}" in screen_text(app)
            assert grid.drawn.x[1] == pytest.approx(end, rel=0.1)
        await pilot.press("full_stop")
        await idle(pilot)
        assert "┈ raw" in image(grid) and "smoothing 0.6" in screen_text(app) and "raw" not in image(grid, "lr")
        await pilot.press("comma", "comma", "l")
        await idle(pilot)
        assert "raw" not in image(grid) and image(grid).startswith("loss (log)")
        assert saved_state.log_charts == "loss" and saved_state.smoothing == 0.0 and saved_state.axis == "epoch"
        await pilot.press("j", "l", "l", "k", "l")
        await idle(pilot)
        assert saved_state.log_charts == ""


async def test_a_logarithm_of_nothing_above_zero_is_refused_with_a_word(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    run.write(*(train_record(step, loss=-1.0) for step in range(9)))
    app = GridApp(SavedState(log_charts="accuracy"))
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        grid = await shown(pilot, run)
        await pilot.press("l")
        await until(pilot, lambda: "no logarithmic axis" in screen_text(app))
        assert grid.saved_state.log_charts == "accuracy"


@pytest.mark.parametrize(
    ("keys", "low", "high"),
    [
        (("W", "plus"), 749.2, 999.0),  # half of the last half, not half of all
        (("W", "W", "minus", "minus"), 199.8, 999.0),
        (("plus", "less_than_sign", "less_than_sign"), 249.8, 749.2),
        (("plus", "plus", "0", "F", "plus"), 499.5, 999.0),
    ],
)
async def test_keys_concern_what_was_asked_for_and_not_what_is_still_drawn(
    tmp_path: Path, keys: tuple[str, ...], low: float, high: float
) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        with nothing_drawn(grid):
            await pilot.press(*keys)
        await until(pilot, lambda: grid.drawn.x == pytest.approx((low, high), abs=1))


async def test_what_waits_for_one_run_is_not_done_to_another(tmp_path: Path) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        with nothing_drawn(grid):
            await pilot.press("W", "W", "F")
            grid.show(charted(make_run(tmp_path, NAMES[1], count=500)))
        await until(pilot, lambda: grid.drawn.extent == (0, 499))
        assert not grid.state.window.frozen


async def test_what_needs_no_drawing_keeps_its_place_behind_what_does(tmp_path: Path) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        with nothing_drawn(grid):
            await pilot.press("W", "F", "l", "j")
        await until(pilot, lambda: grid.state.metric == "accuracy")
        assert grid.saved_state.log_charts == "loss" and grid.state.window.frozen


@pytest.mark.parametrize("keys", [("pagedown", "left"), ("z", "left", "left"), ("k", "left")])
async def test_the_cursor_moves_in_the_chart_that_was_asked_for(tmp_path: Path, keys: tuple[str, ...]) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=(80, 24)) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        with nothing_drawn(grid):
            await pilot.press(*keys)
        await until(pilot, lambda: grid.state.cursor is not None and not grid.has_commands_waiting)
        chart, extent = grid.drawn.charts[grid.state.metric], grid.drawn.extent
        expected = grid.state.without_cursor()
        for _ in range(keys.count("left")):
            expected = expected.move(chart, -1, extent)
        assert grid.state.cursor == expected.cursor


async def test_each_turn_of_the_wheel_zooms(tmp_path: Path) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        view = app.query_one("#chart-loss", ChartView)
        for _ in range(3):
            grid.post_message(ChartView.Turned(view, 20, 1))
        await until(pilot, lambda: grid.drawn.x[1] - grid.drawn.x[0] == pytest.approx(999 / 8, rel=0.02))


async def test_what_waits_is_not_done_after_another_screen_was_shown(tmp_path: Path) -> None:
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, make_run(tmp_path, count=1000))
        with nothing_drawn(grid):
            await pilot.press("W", "F", "v")
            grid.pause(True)
        grid.pause(False)
        await idle(pilot)
        assert not grid.state.window.frozen and len(app.screen_stack) == 1


async def test_windows_zoom_and_freeze(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=1000)
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        whole = grid.drawn.x
        await pilot.press("W", "W")
        await idle(pilot)
        assert "last 20 %" in screen_text(app) and grid.drawn.x == pytest.approx((799.2, 999), abs=1)
        await pilot.press("0", "plus")
        await idle(pilot)
        assert grid.drawn.x[0] == pytest.approx(499.5, abs=1) and "zoomed" in screen_text(app)
        await pilot.press("less_than_sign")
        await idle(pilot)
        assert grid.drawn.x == pytest.approx((374.6, 874.1), abs=1)
        await pilot.press("F")
        await idle(pilot)
        still = grid.drawn.x
        assert "frozen" in screen_text(app)
        run.write(*(full_record(step) for step in range(1000, 3000)))
        await until(pilot, lambda: grid.drawn.extent and grid.drawn.extent[1] == 2999)
        assert grid.drawn.x == still
        await pilot.press("F")
        await until(pilot, lambda: grid.drawn.x[1] >= 2999)
        await pilot.press("W", "W", "W", "W")
        await idle(pilot)
        assert grid.drawn.x == pytest.approx((1999, 2999), abs=1) and "last 1,000 steps" in screen_text(app)
        await pilot.press("minus", "minus", "greater_than_sign")
        await idle(pilot)
        assert grid.state.window == Window() and grid.drawn.x[0] == whole[0]


async def test_the_cursor_shows_the_values_of_all_curves(tmp_path: Path) -> None:
    runs = make_run(tmp_path), make_run(tmp_path, NAMES[1])
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, runs[0])
        await pilot.press("left")
        await until(pilot, lambda: "train 0.27" in screen_text(app) and "train 50.00 %" in screen_text(app))
        assert "val. 1" in screen_text(app)
        await pilot.press("ctrl+left", "home")
        await until(pilot, lambda: re.search("over steps · at step [0-9] ", screen_text(app)))
        assert grid.go_back() and grid.state.cursor is None
        await until(pilot, lambda: "val. 1" not in screen_text(app))
        grid.show(charted(*runs))
        await idle(pilot)
        await pilot.press("right")
        await until(pilot, lambda: re.search("train ●0.27.* ◆0.27.* val. ○1 ◇1", screen_text(app)))
        runs[0].write(*(full_record(step) for step in range(200, 400)))
        await until(pilot, lambda: grid.drawn.extent and grid.drawn.extent[1] == 399)
        await pilot.press("end")
        await until(pilot, lambda: "train ●0.03" in screen_text(app) and "◆0" not in screen_text(app))


async def test_one_chart_takes_the_room_and_gives_it_back(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp()
    async with app.run_test(size=(80, 24)) as pilot:
        grid = await shown(pilot, run)
        assert "page 1 of 2" in screen_text(app) and len(grid.drawn.charts) == 4
        await pilot.press("pagedown")
        await idle(pilot)
        assert grid.state.metric == "images_per_s" and set(grid.drawn.charts) == {"images_per_s"}
        await pilot.press("j", "j", "enter")
        await idle(pilot)
        assert set(grid.drawn.charts) == {"accuracy"} and grid.drawn.charts["accuracy"].width == 80
        await pilot.press("k")
        await idle(pilot)
        assert set(grid.drawn.charts) == {"loss"}
        assert grid.go_back() and not grid.state.alone and not grid.go_back()
        await idle(pilot)
        assert len(grid.drawn.charts) == 4


async def test_which_charts_are_shown_is_chosen_and_remembered(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    saved_state = SavedState()
    app = GridApp(saved_state)
    async with app.run_test(size=SIZE) as pilot:
        await shown(pilot, run)
        await pilot.press("v")
        await until(pilot, lambda: isinstance(app.screen, ChooseChartsScreen))
        await pilot.press("enter", "j", "j", "enter", "j", "enter", "j", "enter", "j", "enter")
        await idle(pilot)
        assert saved_state.charts == "accuracy" and app.grid.state.metric == "accuracy"
        await pilot.press("v", "j", "enter", "G", "enter")
        await until(pilot, lambda: "one chart" in str(app.screen.query_one("#choice-problem", Static).content))
        await pilot.press("escape")
        assert saved_state.charts == "accuracy"


async def test_the_mouse_points_picks_drags_and_turns(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        await pilot.hover("#chart-accuracy", offset=(20, 5))
        assert grid.state.cursor is not None
        await pilot.hover("#chart-legend")
        await until(pilot, lambda: grid.state.cursor is None)
        await pilot.mouse_down("#chart-accuracy", offset=(12, 5))
        assert grid.state.metric == "accuracy" and grid.state.cursor is not None
        await pilot.mouse_up("#chart-accuracy", offset=(22, 5))
        await idle(pilot)
        low, high = grid.drawn.x
        assert 20 < low < high < 130
        view = app.query_one("#chart-loss", ChartView)
        grid.post_message(ChartView.Turned(view, 20, 1))
        await until(pilot, lambda: grid.drawn.x[1] - grid.drawn.x[0] == pytest.approx((high - low) / 2))
        await pilot.click("#chart-loss", offset=(20, 5), times=2)
        await until(pilot, lambda: grid.state.alone and grid.state.metric == "loss")


async def test_growth_torn_lines_truncation_and_deletion(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp()
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        before = image(grid)
        run.append('{"kind": "train", "step": 300, "epo')
        run.append('ch": 3.0, "loss": 9.0}\n\x1b[2J nonsense\n')
        await until(pilot, lambda: grid.drawn.runs[0].records == 203)
        assert image(grid) != before and grid.drawn.runs[0].last["loss"] == 9.0
        (run.path / "metrics.jsonl").write_text("")
        run.write(train_record(1))
        await until(pilot, lambda: grid.drawn.runs[0].records == 1)
        last = image(grid)
        (run.path / "metrics.jsonl").unlink()
        await pilot.pause(0.1)
        assert image(grid) == last
        run.write(train_record(1), train_record(2))
        await until(pilot, lambda: grid.drawn.runs[0].records == 2)
        grid.show([])
        await idle(pilot)
        assert "no values" in screen_text(app)


async def test_divergence_is_a_gap_a_sign_and_a_badge(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "diverged")
    run.write(*(train_record(step) for step in range(100)))
    run.append('{"kind": "train", "step": 100, "epoch": 1.0, "loss": null, "nonfinite": {"loss": "inf"}}\n')
    run.write(train_record(300, loss=math.inf), *(train_record(step) for step in range(400, 500)))
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=(60, 14)) as pilot:
        grid = await shown(pilot, run)
        await pilot.press("z")
        await idle(pilot)
        assert "diverged at step 100" in screen_text(app) and "✗" in image(grid)
        rows = [row.text[7:] for row in grid.drawn.charts["loss"].rows[1:-1]]
        filled = [any(row[column] not in " ✗" for row in rows) for column in range(len(rows[0]))]
        assert filled[0] and filled[-1] and not all(filled)


async def test_only_the_cells_that_changed_are_painted_again(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp(SavedState(axis="step"))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        view = app.query_one("#chart-loss", ChartView)
        run.write(full_record(220), full_record(260))
        await until(pilot, lambda: grid.drawn.extent and grid.drawn.extent[1] == 260)
        asked = []
        refresh = view.refresh
        view.refresh = lambda *regions, **options: asked.append(regions) or refresh(*regions, **options)
        run.write(full_record(261))
        await until(pilot, lambda: grid.drawn.extent and grid.drawn.extent[1] == 261)
        cells = sum(region.width * region.height for regions in asked for region in regions)
        assert all(regions for regions in asked)
        assert cells < view.size.width


async def test_behind_another_screen_nothing_is_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    app = GridApp()
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, run)
        grid.pause(True)
        run.write(full_record(500))
        await until(pilot, lambda: grid.drawn.runs[0].records == 203)
        assert grid._wanted.charts == () and grid.drawn.charts
        grid.pause(False)
        await idle(pilot)


async def test_export_as_text_csv_and_svg(tmp_path: Path) -> None:
    runs = make_run(tmp_path), make_run(tmp_path, NAMES[1])
    app = GridApp(SavedState(axis="step", smoothing=0.6))
    async with app.run_test(size=SIZE) as pilot:
        grid = await shown(pilot, *runs)
        shown_now = grid.export()
        assert "●○ lenet5" in shown_now.text and "learning rate" in shown_now.text
        rows = list(csv.DictReader(io.StringIO(shown_now.more["csv"][1]())))
        losses = [row for row in rows if (row["metric"], row["curve"], row["run"]) == ("loss", "raw", NAMES[0])]
        assert len(losses) == 200 and float(losses[3]["value"]) == pytest.approx(2.0 * math.exp(-0.03))
        assert {row["smoothing"] for row in rows if row["curve"] == "train"} == {"0.6", "0"}
        tree = ElementTree.fromstring(shown_now.more["charts.svg"][1]())
        words = [text.text or "" for text in tree.iter("{http://www.w3.org/2000/svg}text")]
        assert "●○ lenet5" in words and {word for word in words if word[:1] == "★"} == {"★●", "★◆"}
        assert any(path.get("stroke-dasharray") for path in tree.iter("{http://www.w3.org/2000/svg}path"))


async def test_the_export_dialog_writes_the_curves_of_the_runs_screen(tmp_path: Path, monkeypatch) -> None:
    make_run(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: app.runs)
        await pilot.press("w")
        await until(pilot, lambda: app.screen.query(ChartGrid) and app.screen.query_one(ChartGrid).drawn.runs)
        await pilot.press("e", "j", "j", "enter")
        await until(pilot, lambda: list(tmp_path.glob("*.csv")))
        await pilot.press("e", "j", "j", "j", "enter")
        await until(pilot, lambda: list(tmp_path.glob("*.charts.svg")))
    (path,) = tmp_path.glob("cnn-explorer-*.csv")
    assert path.read_text().startswith("run,metric,curve,smoothing,epoch,value,smallest,largest\n" + NAMES[0])


def cells_between(chart: markers.Chart, cursor: float | None, x: float) -> int:
    """How many cells the cursor of a chart is right of a place."""
    assert cursor is not None
    here, there = chart.cell_of(cursor), chart.cell_of(x)
    assert here is not None and there is not None
    return here - there


async def test_the_cursor_names_the_test_at_its_epoch_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=300)
    run.write(eval_record(3, 0.6, 0.5), eval_record(3, 0.65, 0.45) | {"split": "test", "best_epoch": 2})
    app = GridApp()
    async with app.run_test(size=(120, 20)) as pilot:
        grid = await shown(pilot, run)
        await pilot.press("z", "left")
        await until(pilot, lambda: "val. 1" not in screen_text(app) and "val. 0.5" in screen_text(app))
        assert "test 0" not in screen_text(app) and "over epochs · at epoch" in screen_text(app)
        chart = grid.drawn.charts["loss"]
        cells = cells_between(chart, grid.state.cursor, 2.0)
        await pilot.press(*["left"] * cells)
        await until(pilot, lambda: "test 0.45 (weights of epoch 2)" in screen_text(app))
        assert "· val. 1 · test 0.45" in screen_text(app)
        await pilot.press("left")
        await until(pilot, lambda: "test 0.45" not in screen_text(app))


async def test_a_narrow_grid_leaves_out_whole_values_with_a_sign(tmp_path: Path) -> None:
    run = make_run(tmp_path, count=300)
    run.write(eval_record(2, 0.65, 0.45) | {"split": "test", "best_epoch": 2})
    app = GridApp()
    async with app.run_test(size=(80, 24)) as pilot:
        grid = await shown(pilot, run)
        chart = grid.drawn.charts["loss"]
        await pilot.press("left")
        cells = cells_between(chart, grid.state.cursor, 2.0)
        await pilot.press(*["left"] * cells)
        await until(pilot, lambda: " ›" in screen_text(app))
        titles = [row for row in screen_text(app).splitlines() if "accuracy train" in row]
        assert re.search(r"loss train 0\.2\d+ val\. 1 › ", titles[0]), titles
        assert re.search(r"accuracy train 50\.00 % val\. 70\.00 %", titles[0]), titles

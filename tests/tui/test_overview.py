"""The overview of a run: what it draws and when, and the way to the charts and back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.charts.followers import Followers
from cnn_explorer.tui.charts.overview_reader import AT_LEAST_S, DrawnOverview, OverviewReader, WantedOverview
from cnn_explorer.tui.charts.plotext_chart import ChartStyle, new_figure
from cnn_explorer.tui.core.options import AppOptions
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.widgets.overview_pane import OverviewPane
from cnn_explorer.tui.widgets.tabs import Tabs
from support.tui import FakeRun, eval_record, make_app, screen_text, train_record, until
from textual.pilot import Pilot

NAME = "20261120-143022-lenet5-digits-7f3a"
SIZES = (("loss", (70, 14)), ("accuracy", (70, 14)))


def reader_of(drawn: list[DrawnOverview], followers: Followers | None = None) -> OverviewReader:
    figures = {"loss": new_figure(), "accuracy": new_figure()}
    return OverviewReader(drawn.append, followers or Followers(), figures, every_s=0.0)


async def open_overview(pilot: Pilot, app) -> OverviewPane:
    await pilot.press("w")
    await until(pilot, lambda: app.runs)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.query(OverviewPane))
    return app.screen.query_one(OverviewPane)


def test_at_most_four_drawings_a_second_whatever_is_written_and_asked(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAME)
    drawn: list[DrawnOverview] = []
    reader = reader_of(drawn)
    for tick in range(200):  # two seconds of a clock that goes by hundredths
        run.write(train_record(tick))
        before = len(drawn)
        wait = reader.step(WantedOverview(run.path, SIZES, ChartStyle(ascii=bool(tick % 2))), tick / 100)
        assert wait >= 0 and len(drawn) - before <= 1
    assert 4 <= len(drawn) <= 2 / AT_LEAST_S + 1
    assert "#" in drawn[-1].charts["loss"] or "⠤" in drawn[-1].charts["loss"]


def test_nothing_is_drawn_again_while_nothing_changes(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAME)
    run.write(train_record(1), eval_record(1, 0.5))
    drawn: list[DrawnOverview] = []
    reader = reader_of(drawn)
    wanted = WantedOverview(run.path, SIZES)
    for second in range(10):
        reader.step(wanted, float(second))
    assert len(drawn) == 1
    run.write(eval_record(2, 0.75))
    for second in range(10, 20):
        reader.step(wanted, float(second))
    assert len(drawn) == 2 and "★ best 75.0 % epoch 2" in drawn[-1].charts["accuracy"]


def test_the_run_is_read_by_the_follower_of_all_others_and_left_at_the_end(tmp_path: Path) -> None:
    followers = Followers()
    run, other = FakeRun(tmp_path, NAME), FakeRun(tmp_path, NAME[:-1] + "b")
    reader = reader_of([], followers)
    for wanted in (run, other):
        reader.step(WantedOverview(wanted.path, SIZES), 0.0)
        assert followers.watched == {wanted.path}
        assert reader._follower is followers.watch(wanted.path, whole=True)
        followers.leave(wanted.path, whole=True)
    reader.stop()
    reader.run()
    assert not followers.watched


def test_a_long_run_is_shown_by_a_sketch_before_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnn_explorer.tui.charts.followers.SKETCHED_ABOVE", 1000)
    run = FakeRun(tmp_path, NAME)
    run.curve(2000)
    run.write(eval_record(1, 0.5))
    drawn: list[DrawnOverview] = []
    reader = reader_of(drawn)
    wanted = WantedOverview(run.path, SIZES)
    reader.step(wanted, 0.0)
    assert "⠤ train" in drawn[0].charts["loss"] and drawn[0].known.records == 0
    for tick in range(1, 100):
        reader.step(wanted, float(tick))
    assert drawn[-1].known.records == 2001 and "• validation" in drawn[-1].charts["loss"]


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_overview_is_shown_first_follows_the_run_and_leads_to_the_charts(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    run = FakeRun(tmp_path / "runs", NAME, alive=True)
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        pane = await open_overview(pilot, app)
        await until(pilot, lambda: screen_text(app).count("no values") == 2, "before the first record")
        run.write(*(train_record(step, 2 / (1 + step)) for step in range(1, 150)), eval_record(1, 0.5))
        await until(pilot, lambda: "★ best 50.0 % epoch 1" in screen_text(app))
        run.write(eval_record(2, 0.75))
        await until(pilot, lambda: "★ best 75.0 % epoch 2" in screen_text(app))
        text = screen_text(app)
        assert "loss over epochs" in text and "accuracy over epochs" in text and "drawn by plotext" in text
        loss, accuracy = (app.screen.query_one(f"#overview-{name}").region for name in ("loss", "accuracy"))
        assert (loss.y == accuracy.y) == (size[0] > 100), "beside one another where it is wide"
        assert "2 charts" in text.splitlines()[-1]
        await pilot.press("2")
        await until(pilot, lambda: "─ train" in screen_text(app) and "1: overview by plotext" in screen_text(app))
        painted = pane.paints
        run.write(eval_record(3, 0.875))
        await until(pilot, lambda: "★ best 87.5%" in screen_text(app))
        assert pane.paints == painted, "a hidden overview is not drawn"
        await pilot.press("1")
        await until(pilot, lambda: "★ best 87.5 % epoch 3" in screen_text(app))
        assert run.lock is not None
        run.lock.release()
        shutil.rmtree(run.path)
        await until(pilot, lambda: "deleted; what was read last" in screen_text(app))
        assert "★ best 87.5 % epoch 3" in screen_text(app)


async def test_the_tab_that_a_person_chose_is_the_one_shown_next_time(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", NAME, "finished").curve(10)
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_overview(pilot, app)
        await pilot.press("6", "escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.tabs.current == "setup")


def tab_of(app: ExplorerApp) -> str:
    """The tab of the run that is shown."""
    return app.screen.query_one(Tabs).current


async def test_a_training_that_is_started_opens_the_overview_whatever_was_chosen_before(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", NAME, alive=True).curve(10)
    app = make_app(tmp_path)
    app.saved_state.run_pane = "log"
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs)
        app._launched((NAME,))
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.query(OverviewPane))
        assert tab_of(app) == "overview" and app.saved_state.run_pane == "log"
        await until(pilot, lambda: "loss over epochs" in screen_text(app))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.query(Tabs))
        assert tab_of(app) == "log", "what a person chose holds for runs that are opened"


@pytest.mark.parametrize(
    ("saved", "opened"),
    [
        ({"run_tab": "charts"}, "overview"),
        ({"run_tab": "log"}, "log"),
        ({"run_tab": 5}, "overview"),
        ({"run_pane": "charts", "run_tab": "log"}, "charts"),
    ],
)
async def test_the_tab_that_version_0_1_remembered_opens_what_took_its_place(
    tmp_path: Path, saved: dict, opened: str
) -> None:
    FakeRun(tmp_path / "runs", NAME, "finished").curve(10)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "app.json").write_text(json.dumps(saved))
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: app.runs)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.query(Tabs))
        await until(pilot, lambda: app.screen.query_one(Tabs).pane is not None)
        assert tab_of(app) == opened == app.saved_state.run_pane


async def test_the_overview_in_ascii_has_nothing_else(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", NAME, "finished")
    run.curve(300)
    run.write(eval_record(1, 0.5), eval_record(2, 0.75) | {"split": "test", "best_epoch": 1})
    app = make_app(tmp_path, options=AppOptions(ascii=True))
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await open_overview(pilot, app)
        await until(pilot, lambda: "* best 50.0 % epoch 1" in screen_text(app) and "+ test 75.0 %" in screen_text(app))
        assert pane.export().text.isascii() and "o" in pane.export().text


async def test_other_colours_are_drawn_with_at_once(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", NAME, "finished").curve(50)
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        pane = await open_overview(pilot, app)
        await until(pilot, lambda: "⠤ train" in screen_text(app))
        chart = pane._charts["loss"]

        def colours() -> set[str]:
            return {str(span.style) for span in chart._given.spans} if chart._given else set()

        before = colours()
        await pilot.press("T")
        await until(pilot, lambda: colours() and colours() != before)

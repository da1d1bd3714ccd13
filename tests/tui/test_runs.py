"""The runs screen over real run directories that grow, break and vanish while it is open; and what quitting does to runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.tui.charts.view import Curves
from cnn_explorer.tui.runs import actions, run_table
from cnn_explorer.tui.screens.confirm import ConfirmScreen
from cnn_explorer.tui.screens.leave import LeaveScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.shell import KeyLine
from support.tui import FakeRun, eval_record, make_app, open_runs, screen_text, train_record, until

SIZE = (120, 40)
FIRST, SECOND = "20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d"


def known(screen: RunsScreen) -> Curves:
    """What is known of the run that is shown; nothing of none."""
    return screen.charts.drawn.runs[0] if screen.charts.drawn.runs else Curves(Path())


def image(screen: RunsScreen, metric: str) -> str:
    """A chart as text."""
    chart = screen.charts.drawn.charts.get(metric)
    return "\n".join(row.text for row in chart.rows) if chart else ""


async def test_no_runs_and_no_folder(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot, 0)
        text = screen_text(app)
        assert "no runs" in text and "starts one" in text
        await pilot.press("s", "r", "x", "l", "full_stop", "enter", "escape", "escape")


async def test_runs_are_found_while_the_screen_is_open(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 0)
        FakeRun(tmp_path / "runs", FIRST, alive=True)
        # A run whose status is not written yet is starting: the folder may be read between its two files.
        await until(pilot, lambda: len(screen.table.rows) == 1 and "1 training" in screen_text(app))
        FakeRun(tmp_path / "runs", SECOND, "finished")
        (tmp_path / "runs" / "somebody-elses-folder").mkdir()
        (tmp_path / "runs" / "a file.txt").write_text("x")
        await until(pilot, lambda: len(screen.table.rows) == 2)
        assert [row.key for row in screen.table.rows] == [SECOND, FIRST]
        assert screen.table.key == FIRST


async def test_curves_follow_the_file(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True)
    run.curve(30)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot)
        await until(pilot, lambda: known(screen).records == 30)
        before = image(screen, "loss")
        run.append('{"kind": "train", "step": 31, "torn')
        run.append("\x1b[2J not json\n")
        run.write(train_record(40, 0.5), eval_record(1, 0.77), {"kind": "later", "x": 1})
        await until(pilot, lambda: known(screen).records == 33)
        await until(pilot, lambda: image(screen, "loss") != before)
        assert known(screen).best == (1.0, 0.77)
        assert "★ best 77.0% epoch 1" in image(screen, "accuracy")
        await until(pilot, lambda: "loss 0.5" in screen_text(app))


async def test_divergence_is_a_gap_and_a_word(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "diverged")
    run.curve(20)
    run.append('{"kind": "train", "step": 20, "epoch": 0.2, "loss": NaN, "accuracy": 0.1}\n')
    run.append('{"kind": "train", "step": 21, "epoch": 0.21, "loss": Infinity, "accuracy": 0.1}\n')
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot)
        await until(pilot, lambda: known(screen).records == 22)
        assert "diverged at step 20" in screen_text(app)
        await pilot.press("l")
        await until(pilot, lambda: "loss (log)" in screen_text(app))


async def test_truncation_deletion_and_coming_back(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "stopped")
    run.curve(30)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot)
        await until(pilot, lambda: known(screen).records == 30)
        (run.path / "metrics.jsonl").write_text("")
        run.write(train_record(1))
        await until(pilot, lambda: known(screen).records == 1)
        shutil.rmtree(run.path)
        await until(pilot, lambda: not screen.table.rows)
        await until(pilot, lambda: not screen.charts.runs)
        FakeRun(tmp_path / "runs", FIRST, "finished").curve(5)
        await until(pilot, lambda: screen.table.rows and known(screen).records == 5)


async def test_hostile_texts_are_shown_as_they_are(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "failed", network="[bold]le\x1b]0;title\x07net[/bold]")
    run.status("failed", error="[red]boom\x1b[31m[/red] [not markup")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot)
        text = screen_text(app)
        assert "[red]boom[/red] [not markup" in text
        assert "\x1b" not in text


async def test_crash_is_inferred_and_resume_is_offered(tmp_path: Path, monkeypatch) -> None:
    FakeRun(tmp_path / "runs", FIRST, "training", alive=False)
    asked = []
    monkeypatch.setattr(actions, "resume", lambda path: asked.append(path.name) or ("goes on", ""))
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot)
        text = screen_text(app)
        assert "crashed" in text and "its process is gone" in text and "r resume" in text and "s stop" not in text
        await pilot.press("s", "r")
        await until(pilot, lambda: asked == [FIRST])
        await until(pilot, lambda: "goes on" in screen_text(app))
        assert app.screen is screen


async def test_stop_asks_first_and_leaves_a_request(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True)
    run.status("training", pid=None)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await open_runs(pilot)
        await pilot.press("r", "s")
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("escape")
        assert not (run.path / "control" / "stop").exists()
        await pilot.press("s", "y")
        await until(pilot, lambda: (run.path / "control" / "stop").exists())
        await until(pilot, lambda: "writes a checkpoint and" in screen_text(app))


async def test_problems_of_stopping_and_resuming_are_one_line(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "finished")
    text, problem = actions.resume(run.path)
    assert not text and "finished" in problem and "\n" not in problem
    text, problem = actions.stop(run.path)
    assert not text and "nothing to stop" in problem
    assert actions.stop_all([read_run(run.path)])


async def test_letters_of_the_charts_work_from_the_list(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished").curve(50)
    FakeRun(tmp_path / "runs", SECOND, "stopped", network="resnet18").curve(50)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 2)
        await until(pilot, lambda: known(screen).records)
        for label in ("steps", "training time", "images seen", "epochs"):
            await pilot.press("x")
            await until(pilot, lambda label=label: f"over {label}" in screen_text(app))
        await pilot.press("full_stop")
        await until(pilot, lambda: "┈ raw" in image(screen, "loss"))
        await pilot.press("comma", "comma")
        await until(pilot, lambda: "┈ raw" not in image(screen, "loss"))
        await pilot.press("slash", *"resnet")
        assert [row.key for row in screen.table.rows] == [SECOND]
        await pilot.press("escape")
        assert len(screen.table.rows) == 2


async def test_quit_says_that_runs_go_on(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, alive=True)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.live_runs)
        await pilot.press("q")
        assert isinstance(app.screen, LeaveScreen)
        assert FIRST in screen_text(app) and "leave them running" in screen_text(app)
        await pilot.press("escape", "q", "G", "enter")
        assert app.is_running and not isinstance(app.screen, LeaveScreen)
        await pilot.press("q", "enter")
    assert app.return_code == 0
    assert not (tmp_path / "runs" / FIRST / "control").exists()


async def test_quit_and_stop_asks_all_runs(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True)
    run.status("training", pid=None)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.live_runs)
        await pilot.press("q", "j", "enter", "enter")
        assert app.is_running and not (run.path / "control" / "stop").exists(), "Enter alone stops nothing"
        await pilot.press("q", "j", "enter", "y")
        await until(pilot, lambda: not app.is_running)
    assert (run.path / "control" / "stop").exists()


async def test_quit_without_runs_ends_at_once(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("q")
    assert app.return_code == 0


async def test_ctrl_c_ends_only_when_pressed_twice(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await pilot.press("slash", "x", "ctrl+c")
        await until(pilot, lambda: "once more" in screen_text(app))
        assert app.is_running
        await pilot.press("ctrl+c")
        await until(pilot, lambda: not app.is_running)


def test_a_bar_has_its_percentage() -> None:
    assert run_table.bar(0.5, 10) == "█████░░░░░ 50 %"


async def test_a_filter_without_a_match_offers_no_run_to_open(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished")

    def foot() -> set[str]:
        return {command.foot for command in app.screen.query_one(KeyLine).shown}

    async with app.run_test(size=(220, 30)) as pilot:
        await open_runs(pilot)
        await until(pilot, lambda: {"open", "clone"} <= foot())
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: foot() == {"keep the filter", "drop it"})
        await pilot.press("enter")
        await until(pilot, lambda: "filter" in foot())
        assert not foot() & {"open", "clone", "train", "mark"}
        await pilot.press("escape")
        await until(pilot, lambda: "open" in foot())

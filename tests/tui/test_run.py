"""The list of runs as a workspace, and the screen of one run, over real run directories that change while they are shown."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from cnn_explorer.trainer.runs.annotations import Notes, read_notes
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.core.options import AppOptions
from cnn_explorer.tui.launch import commands
from cnn_explorer.tui.launch.commands import CommandCall, Preview
from cnn_explorer.tui.runs import actions, machine
from cnn_explorer.tui.screens.confirm import ConfirmScreen
from cnn_explorer.tui.screens.launch import LaunchScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.run_notes import RunNotesScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from cnn_explorer.tui.widgets.line_view import LineView
from cnn_explorer.tui.widgets.machine_strip import MachineStrip
from cnn_explorer.tui.widgets.reading_view import ReadingView
from support.tui import FakeRun, eval_record, make_app, screen_text, train_record, until
from textual.pilot import Pilot
from textual.widgets import Input

SIZE, NARROW, HUGE = (120, 40), (80, 24), (200, 60)
FIRST, SECOND = "20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d"
LOG = b"\x1b[31mbegin\x1b[0m\n 1 %\r 50 %\r100 %\nlast line\n"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The strip shows the same wherever the tests run."""
    monkeypatch.setitem(sys.modules, "pynvml", None)


def trained(folder: Path, name: str = FIRST, state: str = "finished", *, alive: bool = False) -> FakeRun:
    """A run with curves, classes, a log and, unless it is alive, a test."""
    run = FakeRun(folder / "runs", name, state, alive=alive)
    run.write(*(train_record(step, 2.3 / (1 + step / 50), 0.5) for step in range(1, 200)))
    run.write(*(eval_record(epoch, 0.5 + epoch / 10) | {"per_class": [epoch / 10, 0.5] * 5} for epoch in (1, 2)))
    if not alive:
        confusion = [[10 if row == column else 0 for column in range(10)] for row in range(10)]
        confusion[3][5] = 7
        run.write(eval_record(2, 0.7) | {"split": "test", "per_class": [0.9] * 10, "confusion": confusion})
    run.status(state, best={"accuracy": 0.7, "epoch": 2}, test=None if alive else {"accuracy": 0.71})
    (run.path / "train.log").write_bytes(LOG)
    return run


async def open_runs(pilot: Pilot, count: int) -> RunsScreen:
    await pilot.press("w")
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: len(screen.table.rows) == count, f"{count} runs in the list")
    return screen


async def open_run(pilot: Pilot, count: int = 1) -> RunScreen:
    await open_runs(pilot, count)
    await pilot.press("enter")
    screen = pilot.app.screen
    assert isinstance(screen, RunScreen)
    await until(pilot, lambda: screen._news and screen._news.findings, "what the curve says")
    return screen


def names(screen: RunsScreen) -> list[str]:
    return [row.key for row in screen.table.rows]


# The list


async def test_rows_have_course_and_pace_and_follow_the_file(tmp_path: Path) -> None:
    run = trained(tmp_path, alive=True, state="training")
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await until(pilot, lambda: screen.table.rows[0].cells[6].strip() == "▁█")
        assert screen.table.rows[0].cells[8] == "1000"
        run.write(eval_record(3, 0.4))
        await until(pilot, lambda: screen.table.rows[0].cells[6].strip() == "▆█▁")
        text = screen_text(app)
        assert "course" in text and "img/s" in text and not screen.query_one("#panes").display


async def test_orders_go_round_and_are_remembered(tmp_path: Path) -> None:
    for name, accuracy in ((FIRST, 0.9), (SECOND, 0.5)):
        FakeRun(tmp_path / "runs", name, "finished").status("finished", best={"accuracy": accuracy})
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 2)
        assert names(screen) == [SECOND, FIRST]
        await pilot.press("o")
        assert names(screen) == [FIRST, SECOND] and "best accuracy" in screen_text(app)
        assert app.saved_state.run_order == "best accuracy"


async def test_marked_and_pinned_runs_are_drawn_with_the_one_under_the_cursor(tmp_path: Path) -> None:
    trained(tmp_path, FIRST)
    trained(tmp_path, SECOND)
    app = make_app(tmp_path)
    async with app.run_test(size=HUGE) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("m", "j", "p")
        await until(pilot, lambda: {run.path.name for run in screen.charts.runs} == {FIRST, SECOND})
        assert [run.pinned for run in screen.charts.runs if run.path.name == FIRST] == [True]
        assert [row.cells[0] != "" for row in screen.table.rows] == [True, True]
        await until(pilot, lambda: "(pinned)" in screen_text(app))
        await pilot.press("U")
        await until(pilot, lambda: [run.path.name for run in screen.charts.runs] == [FIRST])
    assert app.saved_state.marked == []


async def test_keys_reach_what_is_to_be_seen_on_a_small_terminal(tmp_path: Path) -> None:
    trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("z")
        assert screen.charts.has_focus
        await pilot.press("escape")
        assert screen.table.has_focus
        await pilot.resize_terminal(120, 40)
        await pilot.press("tab")
        assert screen.charts.has_focus
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: screen.table.has_focus)
        await pilot.press("enter")
        assert isinstance(app.screen, RunScreen)


async def test_delete_asks_and_never_offers_a_running_one(tmp_path: Path) -> None:
    trained(tmp_path, FIRST)
    FakeRun(tmp_path / "runs", SECOND, alive=True)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot, 2)
        assert "D" not in {command.keys[0] for command in screen.active_commands()}
        await pilot.press("D")
        assert app.screen is screen
        await pilot.press("j", "D")
        assert isinstance(app.screen, ConfirmScreen) and "in the bin" in screen_text(app)
        await pilot.press("escape", "D", "y")
        await until(pilot, lambda: names(screen) == [SECOND])
        assert not (tmp_path / "runs" / FIRST).exists()


async def test_tags_and_remark_are_written_and_found(tmp_path: Path) -> None:
    run = trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=HUGE) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("number_sign")
        assert isinstance(app.screen, RunNotesScreen)
        await pilot.press(*"good,wide", "enter")
        await until(pilot, lambda: read_notes(run.path) == Notes(("good", "wide"), ""))
        await until(pilot, lambda: screen.selected and screen.selected.notes.tags)
        await pilot.press("n")
        app.screen.query_one("#remark", Input).value = "with [red]warm-up"
        await pilot.press("enter")
        await until(pilot, lambda: read_notes(run.path) == Notes(("good", "wide"), "with [red]warm-up"))
        await pilot.press("slash", *"wide")
        assert names(screen) == [FIRST] and screen.table.rows[0].cells[10] == "good wide"


@pytest.mark.parametrize(("key", "action", "state"), [("S", "keep_best", "training"), ("X", "skip", "queued")])
async def test_what_a_live_run_can_be_asked(tmp_path: Path, monkeypatch, key: str, action: str, state: str) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, state, alive=True)
    asked: list[Path] = []
    monkeypatch.setattr(actions, action, lambda path: asked.append(path) or ("done", ""))
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 1)
        offered = {command.action for command in screen.active_commands()}
        assert ({"stop", "keep_best"} <= offered) == (state == "training") and ("skip" in offered) == (
            state == "queued"
        )
        await pilot.press(key, "y")
        await until(pilot, lambda: asked == [run.path])


async def test_clone_opens_the_launch_dialog_with_what_the_run_had(tmp_path: Path, monkeypatch) -> None:
    run = trained(tmp_path)
    monkeypatch.setattr(commands, "call_plan", lambda request: CommandCall([]))
    monkeypatch.setattr(commands, "plan", lambda call: Preview())
    monkeypatch.setattr(commands, "devices", lambda: ())
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("c")
        assert isinstance(app.screen, LaunchScreen)
        request = app.screen.form.request
        assert (request.networks, request.dataset, request.config) == (("lenet5",), "digits", run.path / "run.json")
        assert request.run["recipe"] == {"epochs": 10}
        await pilot.press("escape", "t")
        assert isinstance(app.screen, LaunchScreen) and app.screen.form.request.config is None
        await pilot.press("escape")
        assert app.screen is screen


async def test_a_network_that_is_no_longer_there_is_told(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished", network="forgotten")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot, 1)
        await pilot.press("c")
        await until(pilot, lambda: "forgotten" in screen_text(app).split("╭")[-1])
        assert app.screen is screen


async def test_a_network_from_outside_the_catalogue_is_shown_and_not_cloned_here(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished", network="own:mine")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot, 1)
        await until(pilot, lambda: "own:mine" in screen_text(app))
        for key in ("c", "t"):
            await pilot.press(key)
            await until(pilot, lambda: "runs clone" in screen_text(app))
            assert app.screen is screen
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "own:mine" in screen_text(app))


async def test_the_curve_is_read_and_explained(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "diverged")
    run.write(train_record(1), train_record(2))
    run.append('{"kind": "train", "step": 3, "epoch": 0.03, "loss": NaN}\n')
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 1)
        await until(pilot, lambda: "Diverged: at step 3" in screen.query_one(ReadingView).source)
        await pilot.press("i")
        assert isinstance(app.screen, PageScreen) and app.screen.page and app.screen.page.name == "learning-rate"
        await pilot.press("escape")
        assert app.screen is screen


# The machine


async def test_the_strip_samples_only_while_it_is_seen(tmp_path: Path, monkeypatch) -> None:
    samples: list[int] = []
    sample = machine.Sampler._sample
    monkeypatch.setattr(machine.Sampler, "_sample", lambda self, nvml: samples.append(1) or sample(self, nvml))
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 0)
        strip = screen.query_one(MachineStrip)
        await until(pilot, lambda: strip.readings is not None)
        strip._sampler._every_s, strip._sampler._due = 0.01, 0.0
        strip._sampler._loop.wake()
        assert "CPU" in screen_text(app) and "NVML is not available" in screen_text(app)

        async def quiet() -> bool:
            await pilot.pause(0.05)
            before = len(samples)
            await pilot.pause(0.1)
            return len(samples) == before

        assert not await quiet()
        await pilot.press("M")
        assert await quiet() and "CPU" not in screen_text(app) and not app.saved_state.machine
        await pilot.press("M")
        assert not await quiet()
        await pilot.press("question_mark")
        assert await quiet()
        await pilot.press("escape")
        assert not await quiet()
        await pilot.press("a")
        assert await quiet()


# One run


async def test_every_tab_of_a_run_on_a_small_terminal(tmp_path: Path) -> None:
    trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        await open_run(pilot)
        await until(pilot, lambda: "⠤ train" in screen_text(app), "the overview")
        await pilot.press("2")
        await until(pilot, lambda: "─ train" in screen_text(app), "the charts")
        await pilot.press("3")
        await until(pilot, lambda: "5 7×" in screen_text(app), "what class 3 was taken for")
        await pilot.press("o")
        await pilot.press("4")
        await until(pilot, lambda: "[10]" in screen_text(app))
        await pilot.press("G")
        await until(pilot, lambda: "3 taken for 5: 7 times, 41.2 % of them" in screen_text(app))
        await pilot.press("5")
        await until(pilot, lambda: "last line" in screen_text(app))
        assert "100 %" in screen_text(app) and "50 %" not in screen_text(app)
        await pilot.press("6")
        await until(pilot, lambda: "remark" in screen_text(app))
        await pilot.press("G")
        await until(pilot, lambda: str(tmp_path)[:20] in screen_text(app) and "last.pt" in screen_text(app))
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_keys_of_charts_are_offered_only_where_charts_are_in_sight(tmp_path: Path) -> None:
    trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        screen = await open_run(pilot)
        await pilot.press("2")
        await until(pilot, lambda: "─ train" in screen_text(app), "the charts")

        def offered() -> bool:
            return any(command.where == "charts" for command in screen.active_commands())

        assert offered()
        await pilot.press("5")
        await until(pilot, lambda: "last line" in screen_text(app))
        assert not offered() and "zoom" not in screen_text(app).splitlines()[-1]


async def test_two_tabs_side_by_side_on_a_large_terminal(tmp_path: Path) -> None:
    trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=HUGE) as pilot:
        screen = await open_run(pilot)
        await until(pilot, lambda: len(screen.tabs.shown) == 1 and "⠤ train" in screen_text(app))
        await pilot.press("2")
        await until(pilot, lambda: len(screen.tabs.shown) == 2)
        await until(pilot, lambda: "─ train" in screen_text(app) and "taken for" in screen_text(app))
        assert any(command.where == "charts" for command in screen.active_commands())
        await pilot.press("5")
        await until(pilot, lambda: "last line" in screen_text(app) and "─ train" not in screen_text(app))
        await pilot.resize_terminal(230, 60)
        await until(pilot, lambda: "last line" in screen_text(app) and "─ train" in screen_text(app), "both have room")
        assert any(command.where == "charts" for command in screen.active_commands()), "the charts beside the log"


async def test_a_log_is_followed_until_one_scrolls_up(tmp_path: Path) -> None:
    run = trained(tmp_path, alive=True, state="training")
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        screen = await open_run(pilot)
        await pilot.press("5")
        log = screen.query_one("#log", LineView)

        def more(first: int) -> None:
            with open(run.path / "train.log", "a") as file:
                file.writelines(f"line {number}\n" for number in range(first, first + 50))

        more(0)
        await until(pilot, lambda: "line 49" in screen_text(app))
        await pilot.press("k")
        more(50)
        await until(pilot, lambda: log.lines[-1] == "line 99")
        assert "line 99" not in screen_text(app)
        await pilot.press("G")
        await until(pilot, lambda: "line 99" in screen_text(app))
        (run.path / "train.log").write_text("anew\n")
        await until(pilot, lambda: log.lines == ["anew"])


async def test_phases_classes_and_words_follow_a_live_run(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True)
    run.status("starting", phase="calibrating", progress=None)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_run(pilot)
        assert "[◐ starting: calibrating]" in screen_text(app) and "Too early" in screen_text(app)
        run.status("training", phase="epoch 1 of 10", progress=0.05, eta_s=95)
        run.write(*(train_record(step) for step in range(1, 150)), eval_record(1, 0.6) | {"per_class": [0.6] * 10})
        await until(pilot, lambda: "1:35 left" in screen_text(app) and "Too early" not in screen_text(app))
        await pilot.press("3")
        await until(pilot, lambda: screen_text(app).count("60.0") >= 10)
        run.append('{"kind": "eval", "split": "validation", "epoch": 2, "accuracy": NaN, "per_class": "x"}\n{"torn')
        run.write()
        run.append('"\n')
        run.write(eval_record(3, 0.7) | {"per_class": [0.7] * 10})
        await until(pilot, lambda: "+10.0" in screen_text(app))
        assert app.screen is screen


async def test_a_run_that_dies_vanishes_or_is_nothing_stays_readable(tmp_path: Path) -> None:
    run = trained(tmp_path, alive=True, state="training")
    strange = tmp_path / "runs" / SECOND
    strange.mkdir()
    (strange / "run.json").write_text("[1, 2")
    (strange / "metrics.jsonl").mkdir()
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("enter")
        assert isinstance(app.screen, RunScreen) and "crashed" in screen_text(app)
        await pilot.press("2", "3", "4", "5", "6", "escape")
        assert app.screen is screen
        await pilot.press("j", "enter")
        await until(pilot, lambda: "epoch 3 of 10" in screen_text(app))
        assert run.lock is not None
        run.lock.release()
        await until(pilot, lambda: "its process is gone" in screen_text(app))
        await pilot.press("2")
        await until(pilot, lambda: "step 199" in screen_text(app))
        shutil.rmtree(run.path)
        await until(pilot, lambda: "deleted; what was read last" in screen_text(app))
        allowed = {name: app.screen.check_action(name, ()) for name in ("resume", "delete", "clone", "mark", "train")}
        assert allowed == {"resume": False, "delete": False, "clone": False, "mark": False, "train": True}
        grid = app.screen.query_one(ChartGrid)
        await until(pilot, lambda: grid.drawn.wanted == grid._wanted)
        assert "step 199" in screen_text(app) and "★ best 70.0%" in screen_text(app)
        await pilot.press("5")
        await until(pilot, lambda: "last line" in screen_text(app))
        await pilot.press("y", "2", "z", "escape", "escape")
        await until(pilot, lambda: app.screen is screen)


async def test_links_behind_the_sentences_are_followed(tmp_path: Path) -> None:
    trained(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_run(pilot)
        screen.query_one(ReadingView).focus()
        await pilot.press("right_square_bracket", "enter")
        assert isinstance(app.screen, PageScreen)


# The end of a run


def ending_app(folder: Path, notify: str) -> ExplorerApp:
    return make_app(folder, options=AppOptions(notify=notify))


@pytest.mark.parametrize("notify", ["none", "bell"])
async def test_the_end_of_a_run_is_told_once(tmp_path: Path, monkeypatch, notify: str) -> None:
    run = trained(tmp_path, alive=True, state="training")
    trained(tmp_path, SECOND)
    app = ending_app(tmp_path, notify)
    rung: list[int] = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(1))
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: len(app.live_runs) == 1)
        assert not app._notifications
        run.status("finished", test={"accuracy": 0.978})
        await until(pilot, lambda: "lenet5 on digits finished: test accuracy 97.8 %" in screen_text(app))
        await pilot.pause(0.2)
        assert len(app._notifications) == 1 and len(rung) == (notify == "bell")


async def test_the_message_of_a_strange_run_is_text(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True, network="[b]x\x1b]9;y\x07[/b]")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: app.live_runs)
        run.status("failed", error="[red]disk\x07 full")
        await until(pilot, lambda: "[b]x[/b] on digits failed: [red]disk full" in screen_text(app))

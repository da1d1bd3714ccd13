"""Deleting in the app: into the bin, back with `u`, never on Enter, and a word where nothing can be deleted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.runs import deleted_runs
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.tui.screens.confirm import ConfirmScreen
from cnn_explorer.tui.screens.leave import LeaveScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.run_bin import RunBinScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.filter_input import FilterInput
from support.tui import FakeRun, make_app, open_runs, screen_text, until

SIZE = (120, 40)
FIRST, SECOND = "20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d"


def keys_of(screen: RunsScreen) -> list[str]:
    return [row.key for row in screen.table.rows]


def messages(app: Any) -> str:
    return "\n".join(notice.message for notice in app._notifications)


@pytest.mark.parametrize("keys", ["enter", "n", "escape", "enter enter", "space", "Y"])
async def test_only_the_letter_deletes(tmp_path: Path, keys: str) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot)
        await pilot.press("D")
        assert isinstance(app.screen, ConfirmScreen)
        assert "y: delete" in screen_text(app) and "enter, n or esc: leave it as it is" in screen_text(app)
        await pilot.press(*keys.split()[:1])
        closed = keys not in ("space", "Y")
        assert (app.screen is screen) == closed and not app.deleted
    assert run.path.exists() and not (tmp_path / "runs" / deleted_runs.BIN).exists()


@pytest.mark.parametrize("key", ["s", "S", "X", "D"])
async def test_enter_ends_deletes_and_skips_nothing(tmp_path: Path, key: str) -> None:
    states = {"X": "queued", "D": "finished"}
    run = FakeRun(tmp_path / "runs", FIRST, states.get(key, "training"), alive=key != "D")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot)
        await pilot.press(key)
        assert isinstance(app.screen, ConfirmScreen)
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert isinstance(app.screen, RunsScreen)
    assert run.path.exists() and not list(run.path.glob("control/*"))


async def test_quitting_stops_runs_by_the_letter_alone(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, alive=True)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.live_runs)
        await pilot.press("q")
        assert isinstance(app.screen, LeaveScreen)
        await pilot.press("j", "enter")
        assert isinstance(app.screen, ConfirmScreen) and "Stop this run and quit?" in screen_text(app)
        await pilot.press("enter")
        assert app.is_running and not isinstance(app.screen, ConfirmScreen)
    assert not list(run.path.glob("control/*"))


async def test_u_brings_back_what_was_deleted_one_after_the_other(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    FakeRun(runs, FIRST, "finished").curve(5)
    FakeRun(runs, SECOND, "finished")
    before = {path.name: path.stat().st_ino for path in runs.iterdir()}
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot, 2)
        await pilot.press("D", "y")
        await until(pilot, lambda: keys_of(screen) == [FIRST])
        assert f"{SECOND} is deleted; u brings it back" in messages(app)
        await pilot.press("D", "y")
        await until(pilot, lambda: keys_of(screen) == [])
        await pilot.press("u")
        await until(pilot, lambda: keys_of(screen) == [FIRST])
        await pilot.press("u")
        await until(pilot, lambda: keys_of(screen) == [SECOND, FIRST])
        assert screen.table.key == SECOND, "the cursor goes to what came back"
        assert {path.name: path.stat().st_ino for path in runs.iterdir() if path.name[0] != "."} == before
        await pilot.press("u")
        assert isinstance(app.screen, RunBinScreen)
        await until(pilot, lambda: "no run was deleted in the last seven days" in screen_text(app))
        await pilot.press("enter", "escape")
        assert app.screen is screen


async def test_deleting_and_taking_it_back_in_one_go(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", FIRST, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot)
        for _ in range(3):
            await pilot.press("D", "y", "u")
        await until(pilot, lambda: not app.run_commands.locked() and not app.deleted)
        await until(pilot, lambda: run.path.exists())
        assert "is back" in messages(app) and deleted_runs.in_bin(tmp_path / "runs") == []


async def test_deleting_two_in_one_go_takes_the_next_one_even_before_the_first_is_gone(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in (FIRST, SECOND):
        FakeRun(runs, name, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 2)
        async with app.run_commands:  # what is done with runs waits, as on a slow disk
            await pilot.press("D", "y")
            assert keys_of(screen) == [FIRST]
            await pilot.press("D", "y")
            assert keys_of(screen) == [] and "no run has" not in screen_text(app)
            assert (runs / FIRST).exists() and (runs / SECOND).exists()
        await until(pilot, lambda: not app.runs)
        assert {one.id for one in deleted_runs.in_bin(runs)} == {FIRST, SECOND}
        await pilot.press("u", "u")
        await until(pilot, lambda: keys_of(screen) == [SECOND, FIRST])


async def test_the_bin_lists_what_an_earlier_day_deleted(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in (FIRST, SECOND):
        FakeRun(runs, name, "finished").status("finished", best={"accuracy": 0.983, "epoch": 3})
        deleted = deleted_runs.delete(runs, name)
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_runs(pilot, 0)
        await pilot.press("u")
        await until(pilot, lambda: FIRST in screen_text(app))
        text = screen_text(app)
        assert "98.3" in text and "✓ finished" in text and f"{deleted.until.astimezone():%Y-%m-%d}" in text
        assert text.index(SECOND) < text.index(FIRST), "the one deleted last stands first"
        await pilot.press("j", "enter")
        await until(pilot, lambda: keys_of(screen) == [FIRST])
        await pilot.press("u")
        await until(pilot, lambda: SECOND in screen_text(app) and FIRST not in screen_text(app))
        await pilot.press("u")
        await until(pilot, lambda: keys_of(screen) == [SECOND, FIRST])
        assert screen.table.key == SECOND
    assert read_run(runs / FIRST).best_accuracy == 0.983


async def test_on_its_own_screen_a_deleted_run_comes_back_as_well(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished").curve(5)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await open_runs(pilot)
        await pilot.press("enter", "D", "y")
        await until(pilot, lambda: "what was read last is shown; u brings it back" in screen_text(app))
        assert isinstance(app.screen, RunScreen)
        await pilot.press("D")
        await until(pilot, lambda: f"{FIRST}: deleted; what was read last is shown; u brings it back" in messages(app))
        await pilot.press("u")
        await until(pilot, lambda: "✓ finished" in screen_text(app))
    assert (tmp_path / "runs" / FIRST).exists()


async def test_a_name_that_is_taken_again_is_told(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot)
        await pilot.press("D", "y")
        await until(pilot, lambda: keys_of(screen) == [])
        FakeRun(tmp_path / "runs", FIRST, "stopped")
        await pilot.press("u")
        await until(pilot, lambda: "exists; move that away first" in messages(app))
    assert read_run(tmp_path / "runs" / FIRST).state == "stopped"
    assert len(deleted_runs.in_bin(tmp_path / "runs")) == 1


async def test_what_could_not_be_deleted_is_not_what_u_brings_back(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    FakeRun(runs, FIRST, "finished")
    (runs / deleted_runs.BIN).write_text("a file")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        screen = await open_runs(pilot)
        await pilot.press("D", "y")
        await until(pilot, lambda: "cannot be moved into" in messages(app))
        assert app.deleted == [] and (runs / FIRST).exists()
        assert keys_of(screen) == [FIRST], "it is in the list again"


REFUSED = {
    "training": {
        "D": "it is training; stop it first: s",
        "delete": "it is training; stop it first: s",
        "X": "it does not wait in a queue: it is training; s stops it",
        "r": "there is nothing to resume: it is training",
    },
    "queued": {
        "D": "it waits in a queue; take it out first: X",
        "s": "it waits in a queue; X takes it out",
        "S": "its training has not begun; X takes it out of its queue",
    },
    "testing": {"S": "there is no training to end: it is testing"},
    "finished": {
        "r": "it is finished; c trains it again with changes",
        "s": "there is nothing to stop: it is finished",
        "S": "there is no training to end: it is finished",
        "X": "it does not wait in a queue: it is finished",
    },
}


@pytest.mark.parametrize("state", REFUSED)
async def test_a_key_that_does_nothing_with_a_run_says_why(tmp_path: Path, state: str) -> None:
    FakeRun(tmp_path / "runs", FIRST, state, alive=state != "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot)
        for enter in ([], ["enter"]):
            await pilot.press(*enter)
            screen = app.screen
            for key, words in REFUSED[state].items():
                app.clear_notifications()
                await pilot.press(key)
                assert app.screen is screen and messages(app) == f"{FIRST}: {words}"
        app.clear_notifications()
        await pilot.press("w", "slash", "delete", *REFUSED[state])
        assert isinstance(app.focused, FilterInput) and messages(app) == "", "typed into the filter it means nothing"


async def test_a_key_for_several_runs_says_that_none_is_marked(tmp_path: Path) -> None:
    for name in (FIRST, SECOND):
        FakeRun(tmp_path / "runs", name, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_runs(pilot, 2)
        for key, words in (("B", "no run is marked"), ("d", "nothing to compare it with")):
            app.clear_notifications()
            await pilot.press(key)
            assert app.screen is screen and words in messages(app) and "m marks" in messages(app)
        app.clear_notifications()
        await pilot.press("m", "j", "d")
        assert app.screen is not screen and messages(app) == ""


async def test_where_a_key_does_something_nothing_is_said(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "stopped")
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_runs(pilot)
        await pilot.press("D", "escape", "m", "p", "U")
        assert messages(app) == ""
        shutil.rmtree(tmp_path / "runs" / FIRST)
        await until(pilot, lambda: app.screen.selected is None)
        await pilot.press("D", "s", "r")
        assert messages(app) == "" and isinstance(app.screen, RunsScreen)

"""The list tells runs apart; the marked ones are compared setting by setting, and tagged or stopped together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.runs.annotations import Notes, read_notes
from cnn_explorer.trainer.runs.run import RunSnapshot
from cnn_explorer.tui.runs import actions, differences, identity, run_table
from cnn_explorer.tui.screens.confirm import ConfirmScreen
from cnn_explorer.tui.screens.differences import DifferencesScreen
from cnn_explorer.tui.screens.marked_runs import MarkedRunsScreen
from cnn_explorer.tui.screens.run import RunScreen
from support.tui import FakeRun, make_app, screen_text, until

NAMES = [f"20261120-14302{number}-lenet5-digits-{'abcdefgh'[number]}f3a" for number in range(8)]


def run_of(name: str = NAMES[0], state: str = "finished", config: dict | None = None, **status: object) -> RunSnapshot:
    """A run that exists in memory alone."""
    usual = {
        "created": "2026-11-20T14:30:22Z",
        "network": {"name": "lenet5", "stem": "small"},
        "data": {"name": "digits"},
        "recipe": {"epochs": 40, "lr": 0.1, "batch_size": 64},
        "seed": 3,
    }
    return RunSnapshot(name, Path("/runs") / name, usual | (config or {}), dict(status), Notes(), state)


def folder_run(path: str) -> RunSnapshot:
    return run_of(config={"data": {"name": f"folder:{path}"}})


# One run in few cells


def test_folders_are_told_apart_by_the_last_part_of_their_path() -> None:
    cells = [run_table.cells(folder_run(path))[3] for path in ("/images/a/pets", "/images/a/flowers/")]
    assert cells == ["pets/", "flowers/"]
    assert identity.data_text("cifar10") == "cifar10" and identity.data_text("folder:/") == "//"


@pytest.mark.parametrize(
    "state, status, shown",
    [
        ("stopped", {"epoch": 17}, "stopped 17/40"),
        ("crashed", {"phase": "epoch 3 of 40"}, "crashed 3/40"),
        ("diverged", {"epoch": 17}, "diverged 17"),
        ("finished", {}, "finished"),
        ("finished", {"ended_early": True, "progress": 0.5, "epoch": 20}, "finished 20"),
        ("training", {"epoch": 17}, "epoch 17/40"),
        ("queued", {}, "queued"),
        ("stopped", {"epoch": 123_456_789}, "stopped"),
    ],
)
def test_a_run_that_ended_early_says_how_far_it_got(state: str, status: dict, shown: str) -> None:
    text = identity.state_text(run_of(state=state, **status))
    assert text == shown and len(text) <= identity.STATE_CELLS


def test_settings_are_shown_in_few_cells_and_missing_ones_as_nothing() -> None:
    run = run_of(config={"recipe": {"lr": 0.0001234567, "batch_size": 512}, "seed": 0})
    assert [identity.setting(run, name) for name in ("lr", "batch_size", "seed")] == ["0.000123", "512", "0"]
    broken = run_of(config={"recipe": [1], "seed": "x"})
    assert [identity.setting(broken, name) for name in ("lr", "batch_size", "seed")] == ["", "", ""]
    assert identity.ending(run) == "af3a" and identity.date_text(run_of(config={"created": None})) == ""


def test_a_sweep_is_a_list_of_different_rows() -> None:
    rates = (0.3, 0.1, 0.03)
    runs = [run_of(NAMES[place], config={"recipe": {"lr": rate, "epochs": 40}}) for place, rate in enumerate(rates)]
    rows = [run_table.cells(run)[:-1] for run in runs]
    assert len({row[:10] for row in rows}) == 1, "all that was shown before is the same"
    assert len(set(rows)) == 3 and [row[11] for row in rows] == ["0.3", "0.1", "0.03"]


# What differs


def test_only_settings_that_differ_are_left_and_results_always() -> None:
    first = run_of(NAMES[0], best={"accuracy": 0.9})
    second = run_of(NAMES[1], "stopped", {"recipe": {"epochs": 40, "lr": 0.01, "batch_size": 64, "nesterov": True}})
    found = {row.name: row.values for row in differences.rows([first, second])}
    assert found == {
        "state": ("finished", "stopped"),
        "best %": ("90.0", "–"),
        "test %": ("–", "–"),
        "lr": ("0.1", "0.01"),
        "nesterov": ("–", "yes"),
    }
    everything = {row.name: row.values for row in differences.rows([first, second], everything=True)}
    assert everything["epochs"] == ("40", "40") and everything["network stem"] == ("small", "small")
    assert everything["seed"] == ("3", "3")


def test_of_many_runs_what_varies_most_has_a_column_and_the_rest_is_counted() -> None:
    runs = [
        run_of(NAMES[place], config={"recipe": {"lr": place / 10, "momentum": place % 2, "epochs": 40}, "seed": place})
        for place in range(8)
    ]
    found = differences.rows(runs)
    chosen, left_out = differences.by_run(found, 40)
    names = [found[place].name for place in chosen]
    assert names == ["state", "best %", "test %", "seed", "lr"] and left_out == 1
    assert differences.by_run(found, 0) == ([], len(found))
    wide = [differences.Difference("name", ("a" * 16,)), differences.Difference("lr", ("0.1",))]
    assert [differences.by_run(wide, cells)[0] for cells in (8, 17, 24)] == [[], [0], [0, 1]], "none gives way"


def write_settings(run: FakeRun, **recipe: object) -> None:
    config = json.loads((run.path / "run.json").read_text())
    config["recipe"] |= recipe
    (run.path / "run.json").write_text(json.dumps(config))


async def test_two_marked_runs_are_shown_side_by_side(tmp_path: Path) -> None:
    for name, rate in ((NAMES[0], 0.25), (NAMES[1], 0.125)):
        run = FakeRun(tmp_path / "runs", name, "finished")
        run.status("finished", **({"best": {"accuracy": 0.9}} if rate == 0.125 else {}))
        write_settings(run, lr=rate, momentum=0.9)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: len(app.screen.table.rows) == 2)
        assert not app.screen.check_action("differences", ()), "one run does not differ from itself"
        await pilot.press("m", "j")
        await until(pilot, lambda: "d what differs" in screen_text(app).splitlines()[-1])
        await pilot.press("d")
        screen = app.screen
        assert isinstance(screen, DifferencesScreen)
        await until(pilot, lambda: "0.25" in screen_text(app) and "0.125" in screen_text(app))
        text = screen_text(app)
        assert "momentum" not in text and "1 setting differs" in text and "af3a" in text and "bf3a" in text
        await pilot.press("d")
        await until(pilot, lambda: "momentum" in screen_text(app))
        exported = screen.export()
        assert "momentum" in exported.text and NAMES[0] in exported.text
        values = {row["setting"]: list(row["values"].values()) for row in exported.data}
        assert values["lr"] == [0.25, 0.125] and values["momentum"] == [0.9, 0.9] and values["tags"] == [[], []]
        assert values["best_accuracy"] == [None, 0.9] and values["state"] == ["finished"] * 2


async def test_many_marked_runs_are_a_row_each_that_opens(tmp_path: Path) -> None:
    for place, name in enumerate(NAMES):
        write_settings(FakeRun(tmp_path / "runs", name, "finished"), lr=(place + 1) / 8)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: len(app.screen.table.rows) == 8)
        await pilot.press(*("m", "j") * 8, "d")
        screen = app.screen
        assert isinstance(screen, DifferencesScreen) and screen.by_run
        await until(pilot, lambda: all(f"{(place + 1) / 8:g}" in screen_text(app) for place in range(8)))
        wanted = screen.table.rows[2].key
        await pilot.press("j", "j", "enter")
        assert isinstance(app.screen, RunScreen) and app.screen.run_id == wanted


# All of them at once


def test_tags_go_to_all_or_to_none(tmp_path: Path) -> None:
    paths = [FakeRun(tmp_path, name, "finished").path for name in NAMES[:3]]
    assert actions.tag_all(paths, ["sweep", "lr"]) == ("3 runs tagged sweep, lr", "")
    assert [read_notes(path).tags for path in paths] == [("sweep", "lr")] * 3
    text, problem = actions.tag_all(paths, ["good", "last"])
    assert not text and "newest" in problem
    assert [read_notes(path).tags for path in paths] == [("sweep", "lr")] * 3, "not one of them was changed"
    assert actions.untag_all(paths[:2], ["lr", "other"]) == ("lr, other taken from 2 runs", "")
    assert [read_notes(path).tags for path in paths] == [("sweep",), ("sweep",), ("sweep", "lr")]
    assert actions.untag_all(paths, ["other"])[1] == "none of them has the tag other"


async def test_marked_runs_are_tagged_together(tmp_path: Path) -> None:
    paths = [FakeRun(tmp_path / "runs", name, "finished").path for name in NAMES[:3]]
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: len(app.screen.table.rows) == 3)
        assert not app.screen.check_action("all_marked", ())
        await pilot.press("m", "j", "m", "B")
        assert isinstance(app.screen, MarkedRunsScreen)
        assert "stop" not in screen_text(app), "none of them runs"
        await pilot.press("enter", *"one, two", "enter", "enter")
        await until(pilot, lambda: read_notes(paths[2]).tags == read_notes(paths[1]).tags == ("one", "two"))
        assert read_notes(paths[0]).tags == ()


async def test_stopping_all_marked_runs_asks_first_and_stops_no_other(tmp_path: Path, monkeypatch) -> None:
    for name in NAMES[:3]:
        FakeRun(tmp_path / "runs", name, alive=True)
    FakeRun(tmp_path / "runs", NAMES[3], "finished")
    stopped: list[str] = []
    monkeypatch.setattr(actions, "stop", lambda path: (stopped.append(path.name), ("", ""))[1])
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: len(app.screen.table.rows) == 4)
        await pilot.press("m", "j", "m", "j", "m", "B")
        assert isinstance(app.screen, MarkedRunsScreen) and "stop the 2 that run" in screen_text(app)
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert NAMES[2] in screen_text(app) and NAMES[0] not in screen_text(app) and stopped == []
        await pilot.press("escape", "B", "j", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: sorted(stopped) == [NAMES[1], NAMES[2]])

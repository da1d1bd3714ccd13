"""Launching a run from the app: what is checked at the fields, what the command is told, what comes of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cnn_explorer.models import catalogue
from cnn_explorer.trainer import datainfo, recipe
from cnn_explorer.tui import launching
from cnn_explorer.tui.launching import Outcome, Request
from cnn_explorer.tui.screens.launch import OWN, LaunchScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.rows import RowList
from textual.pilot import Pilot
from textual.widgets import Input, Static
from tui_support import FakeRun, make_app, screen_text, until

SIZE = (100, 30)
RUN = "20261120-143022-lenet5-digits-7f3a"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Requests that would have been started; each gives the id RUN."""
    requests: list[Request] = []

    def start(request: Request) -> Outcome:
        requests.append(request)
        return Outcome(run_id=RUN)

    monkeypatch.setattr(launching, "start", start)
    return requests


async def open_launch(pilot: Pilot) -> LaunchScreen:
    await pilot.press("t")
    screen = pilot.app.screen
    assert isinstance(screen, LaunchScreen)
    return screen


def words(screen: LaunchScreen, name: str) -> str:
    return str(screen.query_one(name, Static).render())


async def test_defaults_are_those_of_the_recipe(tmp_path: Path, started: list[Request]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        network = app.screen.table.key
        screen = await open_launch(pilot)
        table = screen.query_one("#data-sets", RowList)
        assert [row.key for row in table.rows] == [*datainfo.names(), OWN]
        for name in datainfo.names()[:3]:
            assert table.key == name
            layers = [recipe.Layer("note", catalogue.variants()[network].recipe)]
            assert screen.query_one("#epochs", Input).value == str(recipe.resolve(name, layers).recipe.epochs)
            await pilot.press("j")
        assert "on disk" in screen_text(app) and "is downloaded first" in screen_text(app)
        await pilot.press("g", "ctrl+s")
        await until(pilot, lambda: started)
        assert started[0].network == network and started[0].dataset == "digits"
        assert started[0].runs == tmp_path / "runs"


async def test_a_started_run_is_shown(tmp_path: Path, started: list[Request]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_launch(pilot)
        await pilot.press("enter", *"12", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        assert started[0].epochs == 12
        FakeRun(tmp_path / "runs", "20261120-153022-other-digits-aaaa", "finished")
        FakeRun(tmp_path / "runs", RUN, alive=True)
        await until(pilot, lambda: app.screen.table.key == RUN, "the cursor goes to the new run once it is found")


@pytest.mark.parametrize(
    ("typed", "problem"), [("", "how many epochs?"), ("0", "between 1 and"), ("999999", "between")]
)
async def test_epochs_are_checked_at_the_field(
    tmp_path: Path, started: list[Request], typed: str, problem: str
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        screen.query_one("#epochs", Input).value = typed
        await pilot.press("tab", "enter")
        assert problem in words(screen, "#epochs-problem")
        assert app.screen is screen and not started


async def test_letters_cannot_be_typed_as_epochs(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        field = screen.query_one("#epochs", Input)
        field.value = ""
        await pilot.press("tab", *"3x-q7")
        assert field.value == "37"


async def test_a_folder_without_pictures_is_told_at_the_field(tmp_path: Path, started: list[Request]) -> None:
    (tmp_path / "empty").mkdir()
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await pilot.press("G")
        assert "which folder?" in words(screen, "#dataset-problem")
        await pilot.press("enter")
        folder = screen.query_one("#folder", Input)
        assert folder.has_focus
        folder.value = str(tmp_path / "nowhere")
        await pilot.press("enter")
        assert "nowhere" in words(screen, "#dataset-problem")
        folder.value = str(tmp_path / "empty")
        await pilot.press("enter")
        assert words(screen, "#dataset-problem") and not started and app.screen is screen


async def test_own_pictures_are_handed_on(tmp_path: Path, started: list[Request]) -> None:
    for name in ("cat", "dog"):
        for number in range(4):
            picture = tmp_path / "pets" / name / f"{number}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.write_bytes(b"looks like a picture by its name")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await pilot.press("G", "enter")
        screen.query_one("#folder", Input).value = str(tmp_path / "pets")
        await pilot.press("enter")
        await until(pilot, lambda: started)
        assert started[0].dataset == f"folder:{tmp_path / 'pets'}"


async def test_refusal_of_the_command_is_one_line_in_the_dialog(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(launching, "start", lambda request: Outcome(problem="disk [full] at /x"))
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_launch(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "disk [full] at /x" in screen_text(app))
        await pilot.press("escape")
        assert app.screen is not screen


def request(tmp_path: Path, **changes: object) -> Request:
    values = {"network": "lenet5", "dataset": "digits", "epochs": 1, "runs": tmp_path / "runs", "data": tmp_path}
    return Request(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("echo narration >&2; echo the-id", Outcome(run_id="the-id")),
        ("echo some; echo 'cnn-explorer: epochs: 0 is too few' >&2; exit 2", Outcome(problem="epochs: 0 is too few")),
        ("printf '\\033[31mred\\033[0m problem' >&2; exit 1", Outcome(problem="red problem")),
        ("exit 1", Outcome(problem="`train` ended with exit code 1")),
        ("exit 0", Outcome(problem="`train` ended with exit code 0")),
    ],
)
def test_answers_of_the_command(tmp_path: Path, monkeypatch, body: str, outcome: Outcome) -> None:
    script = tmp_path / "train"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(launching, "python_module", lambda module: [str(script)])
    assert launching.start(request(tmp_path)) == outcome


def test_a_command_that_cannot_be_started_is_one_line(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(launching, "python_module", lambda module: [str(tmp_path / "missing")])
    assert "cannot be started" in launching.start(request(tmp_path)).problem


def test_the_real_command_names_what_is_wrong(tmp_path: Path) -> None:
    problem = launching.start(request(tmp_path, network="lenet6")).problem
    assert "lenet6" in problem and "did you mean" in problem
    assert not list((tmp_path / "runs").glob("*"))

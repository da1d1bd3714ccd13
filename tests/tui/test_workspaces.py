"""The keys of all screens: their table in docs/app.md, one meaning for a letter, the help, what the filter offers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cnn_explorer.tui.core import workspaces
from cnn_explorer.tui.core.key_bindings import COMMANDS, Command
from cnn_explorer.tui.screens.bench import BenchScreen
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.compare import CompareScreen
from cnn_explorer.tui.screens.help import HelpScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.filter_input import FilterInput
from cnn_explorer.tui.widgets.rows import RowList
from support.tui import FakeRun, make_app, screen_text, until

WORKSPACES = {
    "catalogue": (
        *("catalogue", "filter", "list", "chart", "text", "found", "layers", "torchinfo", "walk", "pixel", "code"),
        *("diff", "lines", "two-panes", "app"),
    ),
    "compare": ("compare", "list", "app"),
    "bench": ("bench", "list", "app"),
    "pages": ("pages", "list", "text", "found", "two-panes", "app"),
    "differences": ("differences", "list", "app"),
    "runs": ("runs", "one-run", "filter", "two-panes", "charts", "grid", "list", "text", "app"),
    "run": ("run", "one-run", "charts", "grid", "list", "text", "lines", "app"),
    "launch": ("launch", "entry", "list", "dialog"),
    "dialog": ("dialog", "confirm", "bin", "help", "list"),
}
"""The places that are on the screen together, by the ``PLACE`` of a full screen; the form and the dialogs are their own."""
ROOT = Path(__file__).resolve().parents[2]
SCREENS = (CatalogueScreen, CompareScreen, BenchScreen, PageScreen, RunsScreen, RunScreen)
SAME_IDEA = {
    "j": "down",
    "k": "up",
    "g": "to the beginning",
    "G": "to the end",
    "z": "all the room for one thing",
}
"""Letters that do one thing in several ways, as it fits the place: ``j`` moves a cursor in a list and scrolls a text."""


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keys_table", ROOT / "scripts" / "keys_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_all_keys_in_the_page_is_that_of_the_code() -> None:
    text = (ROOT / "docs" / "app.md").read_text(encoding="utf-8")
    assert script().filled(text) == text, "python scripts/keys_table.py"


def test_the_table_has_every_key_of_every_place() -> None:
    rows = workspaces.table().splitlines()[2:]
    assert len(rows) == len(COMMANDS)
    assert "| everywhere | `?` `f1` | Keys of this screen |" in rows
    assert {command.where for command in COMMANDS} == set(workspaces.PLACES)


def meanings(workspace: str) -> dict[str, set[str]]:
    """Return what each letter does in a workspace: the actions, or the one idea that they share."""
    found: dict[str, set[str]] = {}
    for command in workspaces.COMMANDS:
        if command.where in WORKSPACES[workspace]:
            for key in command.keys.split(","):
                if len(key) == 1 and key.isalpha():
                    found.setdefault(key, set()).add(SAME_IDEA.get(key) or command.action)
    return found


@pytest.mark.parametrize("workspace", WORKSPACES)
def test_a_letter_has_one_meaning_within_a_workspace(workspace: str) -> None:
    several = {key: found for key, found in meanings(workspace).items() if len(found) > 1}
    assert several == {}


def test_two_meanings_of_a_letter_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspaces, "COMMANDS", (*COMMANDS, Command("m", "melt", "Melt", "chart")))
    assert meanings("catalogue")["m"] == {"mark", "melt"}
    assert meanings("runs")["m"] == {"mark"}


def test_every_place_belongs_to_a_workspace_and_each_screen_to_its_own() -> None:
    assert {place for places in WORKSPACES.values() for place in places} == set(workspaces.PLACES)
    for screen in SCREENS:
        known = WORKSPACES[screen.PLACE]
        own = {command.where for command in COMMANDS} & {screen.PLACE, *screen.PLACES}
        assert own <= set(known), screen


async def test_the_widgets_of_a_screen_have_keys_of_its_workspace_only(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished").curve(5)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        for keys in ("123456v", "C", "b", "w", "\r123456"):
            for key in keys:
                await pilot.press("enter" if key == "\r" else key)
                await pilot.pause()
                used = {place for widget in app.screen.query("*") for place in getattr(widget, "PLACES", ())}
                assert used <= set(WORKSPACES[app.screen.PLACE]), app.screen


def heads(app: Any) -> list[str]:
    rows = app.screen.query_one(RowList).rows
    return [row.cells[0] for row in rows if row.tone == "head"]


async def test_help_begins_with_the_keys_of_the_screen(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        found = heads(app)
        assert found[0] in ("charts", "runs", "one run")
        assert found.index("runs") < found.index("in a list") < found.index("everywhere")


async def test_a_page_down_in_the_help_shows_another_page(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        first = app.screen.query_one(RowList).keys_in_sight
        await pilot.press("pagedown")
        second = app.screen.query_one(RowList).keys_in_sight
        assert set(first) & set(second) == {first[-1]}
        await pilot.press("pageup")
        assert app.screen.query_one(RowList).keys_in_sight == first


@pytest.mark.parametrize("screen_key", ["a", "w"])
async def test_the_foot_offers_in_the_filter_what_works_there(tmp_path: Path, screen_key: str) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press(screen_key, "slash")
        await until(pilot, lambda: isinstance(app.focused, FilterInput))
        await until(pilot, lambda: "esc drop it" in screen_text(app))
        foot = screen_text(app).splitlines()[-1]
        assert "enter keep the filter" in foot and "train" not in foot and "mark" not in foot
        await pilot.press("escape")
        await until(pilot, lambda: "? help" in screen_text(app).splitlines()[-1])

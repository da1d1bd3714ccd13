"""What is not known yet is told as such, what is hidden by a filter is not shown, and letters that type are not offered."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from cnn_explorer.tui.core import key_bindings, saved_state
from cnn_explorer.tui.core.saved_state import SavedState
from cnn_explorer.tui.runs.run_tail import RunTail
from cnn_explorer.tui.runs.watcher import RunWatch
from cnn_explorer.tui.screens.help import HelpScreen
from cnn_explorer.tui.screens.pick import PickScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.catalogue_list_view import CatalogueList
from cnn_explorer.tui.widgets.filter_input import FilterInput
from cnn_explorer.tui.widgets.note_pane import NotePane
from cnn_explorer.tui.widgets.shell import KeyLine
from support.patience import PATIENCE_S
from support.tui import FakeRun, catalogue, make_app, screen_text, until
from textual.screen import Screen

NARROW, SIZE = (80, 24), (140, 40)
RUN = "20261120-143022-lenet5-digits-7f3a"


def foot(screen: Screen) -> str:
    return str(screen.query_one(KeyLine).render())


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch):
    """An event until which the runs folder is not read."""
    event = threading.Event()
    look = RunWatch._look

    def late(watch: RunWatch, before: tuple):
        event.wait(PATIENCE_S)
        return look(watch, before)

    monkeypatch.setattr(RunWatch, "_look", late)
    yield event
    event.set()


@pytest.mark.parametrize("there_is_one", [True, False])
async def test_runs_that_are_not_read_yet_are_not_none(
    tmp_path: Path, held: threading.Event, there_is_one: bool
) -> None:
    if there_is_one:
        FakeRun(tmp_path / "runs", RUN, "finished")
    saved_state.save(tmp_path / "state", SavedState(screen="runs", tab="runs"))
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.is_mounted)
        await pilot.pause()
        shown = screen_text(app)
        assert "no runs" not in shown and "Runs · 0" not in shown
        assert "Runs · reading …" in shown and "reading the runs …" in shown
        await pilot.press("a", "6")
        await until(pilot, lambda: "best %" in screen_text(app))
        assert "no runs" not in screen_text(app), "nor in the tab of a network"
        held.set()
        if there_is_one:
            await until(pilot, lambda: "1 run" in screen_text(app))
        else:
            await until(pilot, lambda: "no runs of this network" in screen_text(app))
        await pilot.press("w")
        words = RUN if there_is_one else "no runs; `t` on an architecture starts one"
        await until(pilot, lambda: words in screen_text(app) and "reading" not in screen_text(app).split("CPU")[0])


@pytest.mark.parametrize("screen", ["catalogue", "runs"])
async def test_no_screen_is_laid_out_for_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: str
) -> None:
    """Textual gives a screen the class of its width after its first layout."""
    seen: list[tuple[str, bool]] = []
    refresh = Screen._refresh_layout

    def spied(laid_out: Screen, *arguments, **more) -> None:
        if laid_out is laid_out.app.screen and laid_out.id != "_default":
            seen.append((type(laid_out).__name__, laid_out.has_class("-narrow") and laid_out.has_class("-tall")))
        refresh(laid_out, *arguments, **more)

    monkeypatch.setattr(Screen, "_refresh_layout", spied)
    saved_state.save(tmp_path / "state", SavedState(screen=screen))
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.pause()
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
    names = [name for name, _ in seen]
    assert "HelpScreen" in names and ("RunsScreen" in names) == (screen == "runs")
    assert [name for name, fits in seen if not fits and name != "Screen"] == []
    own = [name for name in names if name.endswith("Screen") and name != "Screen"]
    assert own[0] == ("RunsScreen" if screen == "runs" else "CatalogueScreen"), "the screen of last time comes first"


async def test_a_run_that_is_not_read_yet_has_printed_nothing_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = threading.Event()
    run = RunTail.run

    def late(tail: RunTail) -> None:
        event.wait(PATIENCE_S)
        run(tail)

    FakeRun(tmp_path / "runs", RUN, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: RUN in screen_text(app))
        monkeypatch.setattr(RunTail, "run", late)
        await pilot.press("enter", "5")
        shown = app.screen
        assert isinstance(shown, RunScreen)
        try:
            await until(pilot, lambda: shown.tabs.pane_of("log") is not None)
            await pilot.pause()
            assert "nothing was printed" not in screen_text(app)
            await pilot.press("3")
            await until(pilot, lambda: shown.tabs.pane_of("classes") is not None)
            assert "come with the first evaluation" not in screen_text(app)
        finally:
            event.set()
        await until(pilot, lambda: "come with the first evaluation" in screen_text(app))
        await pilot.press("5")
        await until(pilot, lambda: "nothing was printed" in screen_text(app))


async def test_a_filter_without_a_match_empties_the_panes_of_the_catalogue(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        screen = catalogue(app)
        await pilot.press("j", "j")
        network = screen.table.key
        await until(pilot, lambda: network in str(screen.panes.border_title))
        await until(pilot, lambda: isinstance(screen.panes.pane, NotePane) and bool(screen.panes.pane.view.source))
        title = screen.panes.border_title
        await pilot.press("slash")
        screen.catalogue_list.filter.value = "qqqq"  # at once: a `q` alone is in the name of a network
        await until(pilot, lambda: not screen.panes.border_title)
        shown = screen_text(app)
        assert "No network has all these words; escape drops the filter." in shown
        assert not any(widget.is_on_screen for widget in screen.query("#note")), "the old note is gone"
        assert screen.panes.export() is None and screen.panes.target is None
        await pilot.press("escape")
        await until(pilot, lambda: screen.panes.border_title == title)
        assert screen.table.key == network, "the cursor is where it was"
        assert "No network has all" not in screen_text(app) and screen.query_one("#note").is_on_screen


async def test_a_filter_without_a_match_empties_tree_and_chart(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(2):
            await pilot.press("v", "slash", *"qqqq")
            await until(pilot, lambda: "no network has all these words" in screen_text(app))
            await until(pilot, lambda: "No network has all these words" in screen_text(app))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen.query_one(CatalogueList).network)


async def test_a_filter_without_a_match_empties_the_pane_of_the_runs(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", RUN, "finished")
    run.curve(50)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("w")
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        await until(pilot, lambda: bool(screen.charts.runs) and RUN in screen_text(app))
        await pilot.press("slash", *"qqqq")
        await until(pilot, lambda: not screen.charts.runs, "its curves are gone")
        shown = screen_text(app)
        assert "no run has all these words" in shown and "lenet5" not in shown and RUN not in shown


async def test_search_and_choice_say_that_nothing_has_the_words(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+f", *"dropout")
        await until(pilot, lambda: "lines" in screen_text(app))
        await pilot.press(*"qqqq")
        await until(pilot, lambda: "nothing has these words" in screen_text(app))
        await pilot.press("escape")
        app.push_screen(PickScreen("Networks", ["lenet5"]))
        await pilot.press(*"qq")
        await until(pilot, lambda: "no name has all these words" in screen_text(app))


# What the foot offers


@pytest.mark.parametrize("place", ["catalogue", "runs"])
async def test_while_a_filter_is_typed_the_foot_offers_no_letters(tmp_path: Path, place: str) -> None:
    FakeRun(tmp_path / "runs", RUN, "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=(160, 45)) as pilot:
        if place == "runs":
            await pilot.press("w")
            await until(pilot, lambda: RUN in screen_text(app))
        before = foot(app.screen)
        assert "m mark" in before
        await pilot.press("slash")
        typing = foot(app.screen)
        assert "enter keep" in typing and "esc drop" in typing and "↓" in typing
        offered = [word.strip().split(" ")[0] for word in typing.split("  ") if word.strip()]
        assert not [key for key in offered if len(key) == 1 and key.isascii()], typing
        for key in ("t", "m", "v"):
            await pilot.press(key)
        assert app.screen.query_one(FilterInput).value == "tmv"
        await pilot.press("escape")
        assert foot(app.screen) == before


def test_keys_that_are_left_while_one_types() -> None:
    found = key_bindings.of("app", "filter", "list")
    left = {command.action: command.keys for command in key_bindings.while_typing(found, {"up", "end"}, ("filter",))}
    assert left["help"] == "f1" and left["keep"] == "enter" and left["interrupt"] == "ctrl+c"
    assert left["cursor_first"] == "home" and left["move(-1)"] == "up", "its own keys stay, whatever it binds"
    assert not {"leave", "show_runs", "cursor_last"} & left.keys()

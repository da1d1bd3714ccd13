"""Typing ahead: keys that arrive together are handled one after the other, each by the widget that it was meant for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.core import key_queue
from cnn_explorer.tui.core.key_queue import KeyQueue
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.launch import LaunchScreen
from cnn_explorer.tui.screens.run_notes import RunNotesScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.screens.search import SearchScreen
from cnn_explorer.tui.widgets.filter_input import FilterInput
from cnn_explorer.tui.widgets.rows import RowList
from support.patience import PATIENCE_S
from support.terminal import FIRST_NETWORK, InTerminal
from support.tui import FakeRun, make_app, send, until, write
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

SIZE = (100, 30)
RUN = "20261120-143022-lenet5-digits-7f3a"


async def open_run(pilot: Pilot) -> Path:
    """The list of runs with one finished run in it; its folder."""
    app: Any = pilot.app
    run = FakeRun(app.paths.runs, RUN, "finished")
    await pilot.press("w")
    await until(pilot, lambda: len(app.screen.table.rows) == 1)
    return run.path


def filter_of(app: ExplorerApp) -> str:
    return app.screen.query_one(FilterInput).value


async def test_what_follows_the_filter_key_is_typed_into_the_filter(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        before = app.saved_state.view, app.screen.panes.current
        await write(pilot, "/vgg16")
        assert isinstance(app.screen, CatalogueScreen)
        assert filter_of(app) == "vgg16" and isinstance(app.focused, FilterInput)
        assert (app.saved_state.view, app.screen.panes.current) == before
        await write(pilot, "\rv")
        assert filter_of(app) == "vgg16" and app.saved_state.view != before[0]


async def test_what_follows_the_search_key_is_typed_into_the_search(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await write(pilot, "\x06dropout")
        assert isinstance(app.screen, SearchScreen)
        assert app.screen.query_one(Input).value == "dropout"


@pytest.mark.parametrize("key, field", [("#", "tags"), ("n", "remark")])
async def test_tags_and_remarks_keep_what_was_typed_ahead(tmp_path: Path, key: str, field: str) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_run(pilot)
        await write(pilot, f"{key}Drop it")
        assert isinstance(app.screen, RunNotesScreen)
        assert app.screen.query_one(f"#{field}", Input).value == "Drop it"
        await write(pilot, "\r/x")
        assert isinstance(app.screen, RunsScreen) and filter_of(app) == "x"


async def test_a_field_of_the_form_is_emptied_before_it_is_filled(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await write(pilot, "tj\r\x15mnist\r")
        assert isinstance(app.screen, LaunchScreen)
        assert app.screen.form.changed == {"dataset": "mnist"}
        assert app.focused is app.screen.table


async def test_a_number_of_epochs_typed_ahead(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await write(pilot, "tjjj\r" + "\x7f" * 4 + "15\r")
        assert isinstance(app.screen, LaunchScreen)
        assert app.screen.form.changed == {"epochs": "15"}


async def test_letters_of_a_filter_delete_no_run(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        folder = await open_run(pilot)
        await write(pilot, "/DD")
        await write(pilot, "\r")
        assert isinstance(app.screen, RunsScreen) and filter_of(app) == "DD"
        assert (folder / "run.json").exists()


async def test_a_screen_that_opens_owns_what_is_typed_next(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await write(pilot, "w/abc")
        assert isinstance(app.screen, RunsScreen) and filter_of(app) == "abc"
        assert not app.screen_stack[1].query_one(FilterInput).is_open


async def test_a_dialog_that_closes_leaves_the_next_key_to_the_screen_below(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        folder = await open_run(pilot)
        await write(pilot, "Dn/y")
        assert isinstance(app.screen, RunsScreen) and filter_of(app) == "y"
        await write(pilot, "\x15Dn\x1b[D")
        assert filter_of(app) == "Dn" and folder.exists()


async def test_arrows_and_pasted_text_keep_their_place(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await write(pilot, "/\x1b[200~vgx\x1b[201~g\x1b[D\x7f\x1b[B\r\x1b[B")
        table = app.screen.catalogue_list.table
        assert filter_of(app) == "vgg" and app.focused is table
        assert len(table.rows) > 2 and table.key == table.rows[2].key


async def test_a_click_keeps_its_place(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        table = app.screen.catalogue_list.table
        x, y = table.region.x + 4, table.region.y + 4
        await write(pilot, f"/vgg\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m")
        assert filter_of(app) == "vgg" and app.focused is table


async def test_repeats_go_together_and_wait_for_no_paint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    wait_for_rest = KeyQueue._wait_for_rest

    async def counted(queue: KeyQueue) -> None:
        waits.append(1)
        await wait_for_rest(queue)

    app: Any = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("g")
        app.screen._compositor_refresh = lambda: None
        monkeypatch.setattr(KeyQueue, "_wait_for_rest", counted)
        await write(pilot, "j" * 150)
        table = app.screen.catalogue_list.table
        assert table.key == table.rows[150].key
        assert len(waits) < 10
        await write(pilot, "jj/jj")
        assert filter_of(app) == "jj"


async def test_ctrl_c_twice_ends_the_app_while_an_action_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def hang(_: ExplorerApp) -> None:
        begun.set()
        await over.wait()

    monkeypatch.setattr(ExplorerApp, "action_toggle_questions", hang)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        send(app, "Qjj")
        await asyncio.wait_for(begun.wait(), PATIENCE_S)
        send(app, "\x03\x03")
        try:
            await until(pilot, lambda: app._exit, "the app ends", 20)
        finally:
            over.set()


async def test_what_hangs_costs_the_keys_typed_ahead_and_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = asyncio.Event()

    async def hang(_: ExplorerApp) -> None:
        await over.wait()

    monkeypatch.setattr(ExplorerApp, "action_toggle_questions", hang)
    monkeypatch.setattr(key_queue, "PATIENT_NAPS", 5)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        view = app.saved_state.view
        try:
            await write(pilot, "Qvw")
            assert isinstance(app.screen, CatalogueScreen) and app.saved_state.view == view
            assert any("the 2 keys" in notice.message for notice in app._notifications)
            await write(pilot, "/vgg")
            assert filter_of(app) == "vgg"
        finally:
            over.set()


async def test_a_widget_that_hangs_does_not_hold_the_keyboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def hang(_: RowList) -> None:
        begun.set()
        await over.wait()

    monkeypatch.setattr(RowList, "key_circumflex_accent", hang, raising=False)
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE):
        send(app, "^T\x11")
        try:
            await asyncio.wait_for(begun.wait(), PATIENCE_S)
            theme = app.theme
            async with asyncio.timeout(PATIENCE_S):
                while not app._exit:
                    await asyncio.sleep(0.01)
            assert app.theme == theme
        finally:
            over.set()


class Going(Widget, can_focus=True):
    """Goes away at a key, with what was typed into it."""

    def key_x(self) -> None:
        self.remove()


async def test_a_widget_that_goes_does_not_hold_the_keyboard(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        theme = app.theme
        await app.screen.mount(going := Going())
        app.screen.set_focus(going)
        await write(pilot, "xT")
        assert not going.is_attached and app.theme != theme


def test_a_run_survives_letters_typed_ahead_in_a_terminal(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", RUN, "finished")
    with InTerminal(tmp_path) as app:
        app.read_until(FIRST_NETWORK)
        app.read_until(b"1 run")
        app.press(b"w")
        app.read_until(b"Runs")
        app.read_until(b"mark")
        app.press(b"/DD")
        assert app.wait(1) is None
        app.press(b"\r")
        assert app.wait(1) is None
        app.press(b"\x11")
        assert app.wait() == 0
    assert (run.path / "run.json").exists()

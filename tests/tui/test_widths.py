"""Wider shows more: over all widths of a terminal no pane loses a column that it had; and what has room beside it, has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.charts import state as chart_state
from cnn_explorer.tui.core import key_bindings
from cnn_explorer.tui.core.pane_widths import IN_TURNS, LEAST, SIDE_BY_SIDE, PaneWidths, has_room
from cnn_explorer.tui.screens import run
from cnn_explorer.tui.screens.catalogue import FRAME, CatalogueScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets import (
    catalogue_list_view,
    classes_pane,
    diff_pane,
    layers_pane,
    network_panes,
    network_runs_pane,
    run_columns,
    walk_pane,
)
from cnn_explorer.tui.widgets.rows import Column, RowList
from cnn_explorer.tui.widgets.shell import KeyLine
from support.tui import FakeRun, make_app, screen_text, until
from textual.pilot import Pilot
from textual.widget import Widget

WIDTHS = range(80, 221)
SOME = (80, 119, 120, 138, 139, 160, 200, 212, 219, 220)
FIRST, SECOND = "20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d"
TABS = {"layers": layers_pane, "walk": walk_pane, "diff": diff_pane, "runs": network_runs_pane}


def titles(columns: tuple[Column, ...], cells: int) -> set[str]:
    return {column.title for column in columns if column.above <= cells}


def in_the_catalogue(key: str, total: int) -> int:
    """The columns inside a pane of the catalogue, by the rule that the screen follows."""
    if total < CatalogueScreen.WIDTHS.side_by_side:
        return min(total - FRAME, IN_TURNS)
    room = total - CatalogueScreen.WIDTHS.of_list(total) - FRAME
    beside = network_panes.BESIDE.get(key, "note")
    return room - (network_panes.NEEDED[beside] if has_room(room, network_panes.NEEDED, key, beside) else 0)


def in_the_list(widths: PaneWidths, total: int) -> int:
    """The columns inside the list of a screen."""
    return widths.of_list(total) - FRAME if total >= widths.side_by_side else min(total - FRAME, IN_TURNS)


def in_a_run(key: str, total: int) -> int:
    """The same for a tab of a run."""
    room, beside = total - run.FRAME, run.COMPANIONS.get(key, "charts")
    return room - (run.NEEDED[beside] if has_room(room, run.NEEDED, key, beside) else 0)


def steps(seen: Callable[[int], set[str]]) -> Iterator[tuple[int, set[str]]]:
    """The widths at which something is lost."""
    for total in WIDTHS[1:]:
        if lost := seen(total - 1) - seen(total):
            yield total, lost


@pytest.mark.parametrize("key", TABS)
def test_a_tab_of_the_catalogue_loses_no_column(key: str) -> None:
    columns = TABS[key].COLUMNS
    assert list(steps(lambda total: titles(columns, in_the_catalogue(key, total)))) == []
    wide = titles(columns, in_the_catalogue(key, 220))
    assert wide >= titles(columns, 1000) - {"id"}, "at 220 there is room for all of it"


@pytest.mark.parametrize("columns", [catalogue_list_view.COLUMNS, catalogue_list_view.TREE_COLUMNS])
def test_the_list_of_architectures_loses_no_column(columns: tuple[Column, ...]) -> None:
    def seen(total: int) -> set[str]:
        return titles(columns, in_the_list(CatalogueScreen.WIDTHS, total))

    assert list(steps(seen)) == []
    assert seen(80) >= {"params", "MACs", "small stem"}


@pytest.mark.parametrize("live", [True, False])
def test_the_list_of_runs_loses_no_column_and_tells_runs_apart(live: bool) -> None:
    def seen(total: int) -> set[str]:
        return titles(run_columns.columns(live), in_the_list(RunsScreen.WIDTHS, total))

    assert list(steps(seen)) == []
    assert seen(80) >= ({"course", "img/s", "left"} if live else {"course", "lr", "end"})
    assert seen(160) >= {"course", "lr", "end", "best %"}
    assert seen(220) >= {"test %", "batch", "seed"}


def test_the_columns_of_runs_leave_room_for_the_name_of_the_network() -> None:
    for live in (True, False):
        columns = run_columns.columns(live)
        for cells in range(78, 200):
            taken = sum(column.width + 1 for column in columns if column.width and column.above <= cells)
            assert cells - 1 - 2 - taken >= 12, (live, cells)


def test_classes_and_charts_of_a_run_lose_nothing() -> None:
    assert list(steps(lambda total: titles(classes_pane.COLUMNS, in_a_run("classes", total)))) == []

    def charts(total: int) -> set[str]:
        metrics = chart_state.ChartState()
        return set(metrics.in_sight(metrics.arrangement(in_a_run("charts", total), 30)))

    assert list(steps(charts)) == []


def test_lines_of_a_log_and_of_the_model_file_get_no_shorter_on_a_wide_terminal() -> None:
    for key in ("log", "confusion"):
        assert all(in_a_run(key, total) >= in_a_run(key, total - 1) for total in WIDTHS[1:])
    assert all(in_the_catalogue("code", total) >= in_the_catalogue("code", total - 1) for total in range(140, 221))


@pytest.mark.parametrize(
    "widths", [CatalogueScreen.WIDTHS, CatalogueScreen.TREE_WIDTHS, PageScreen.WIDTHS, RunsScreen.WIDTHS]
)
def test_neither_list_nor_panes_get_narrower_as_the_terminal_gets_wider(widths: PaneWidths) -> None:
    totals = range(widths.side_by_side, 400)
    lists = [widths.of_list(total) for total in totals]
    panes = [total - cells for total, cells in zip(totals, lists, strict=True)]
    assert lists == sorted(lists) and panes == sorted(panes)
    assert totals[0] >= SIDE_BY_SIDE and max(lists) == widths.widest
    assert lists[0] >= widths.least and panes[0] >= widths.panes


@pytest.mark.parametrize(
    "place", ["catalogue", "layers", "walk", "runs", "one-run", "run", "charts", "bench", "compare"]
)
def test_a_wider_foot_line_has_all_keys_of_a_narrower_one(place: str) -> None:
    shown = [{found.action for found in KeyLine.chosen(key_bindings.of(place, "app"), cells)} for cells in WIDTHS]
    assert all(narrow <= wide for narrow, wide in itertools.pairwise(shown)) and shown[0] < shown[-1]


def test_a_heading_of_the_help_stands_over_all_columns() -> None:
    rows = RowList((Column("", 20), Column("")), (), titles=False, id="rows")
    assert "".join(rows._text(("in the chart of networks",), (20, 40))).rstrip() == "in the chart of networks"


def test_what_a_flexible_column_does_not_need_goes_to_those_that_could_use_more() -> None:
    rows = RowList((Column("name"), Column("data", 9, longest=20), Column("lr", 7), Column("id", 42, longest=56)), ())
    found = [rows._widths(total) for total in range(70, 200)]
    assert found[0][1:] == [9, 7, 42] and found[-1][1:] == [20, 7, 56]
    assert all(name >= 24 for total, (name, *_) in zip(range(70, 200), found, strict=True) if total >= 90)
    for narrow, wide in itertools.pairwise(found):
        assert sum(wide) == sum(narrow) + 1 and all(one <= other for one, other in zip(narrow, wide, strict=True))


def test_a_border_that_was_moved_leaves_both_something() -> None:
    widths = PaneWidths(0.4, 46, 65, 74)
    assert [widths.of_list(120, chosen) for chosen in (60, 1, 500)] == [60, LEAST, 120 - LEAST]
    for nothing in (None, 0, -3, "60", True, 1.5):
        assert widths.of_list(120, nothing) == widths.of_list(120)


# The screens themselves


def shown(table: RowList) -> set[str]:
    return set(table.column_titles)


async def at_all_widths(pilot: Pilot, table: Callable[[], RowList], all_titles: set[str]) -> None:
    """Check that the screens follow the rule: nothing is lost from one width to the next, and at the last all is there."""
    before: set[str] = set()
    for total in SOME:
        await pilot.resize_terminal(total, 40)
        await until(pilot, lambda total=total: len(screen_text(pilot.app).splitlines()[0]) == total)
        await pilot.pause()
        now = shown(table())
        assert now >= before, (total, before - now)
        await until(pilot, lambda now=now: all(title in screen_text(pilot.app) for title in now), f"at {total}")
        before = now
    assert before >= all_titles


@pytest.mark.slow
@pytest.mark.parametrize("key", [*TABS])
async def test_tabs_of_the_catalogue_at_all_widths(tmp_path: Path, key: str) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished")
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 40)) as pilot:
        screen = app.screen
        await pilot.press(str(1 + list(network_panes.NAMES).index(key)))
        await until(pilot, lambda: screen.panes.pane_of(key) and screen.panes.pane_of(key).table.rows)
        all_titles = titles(TABS[key].COLUMNS, 1000) - {"", "id"}
        await at_all_widths(pilot, lambda: screen.panes.pane_of(key).table, all_titles)


@pytest.mark.slow
async def test_runs_at_all_widths(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", FIRST, "finished")
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: app.screen.table.rows)
        await at_all_widths(pilot, lambda: app.screen.table, {"course", "lr", "end", "seed"})


@pytest.mark.slow
async def test_the_lists_of_architectures_at_all_widths(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 40)) as pilot:
        for _ in ("list", "tree"):
            await pilot.resize_terminal(80, 40)
            await at_all_widths(pilot, lambda: app.screen.table, {"year", "params", "MACs", "small stem"})
            await pilot.press("v")


async def test_a_second_pane_comes_where_both_have_all_their_columns(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(219, 40)) as pilot:
        screen = app.screen
        await pilot.press("2")
        await until(pilot, lambda: screen.panes.pane_of("layers") and screen.panes.pane_of("layers").table.rows)
        assert len(screen.panes.shown) == 1
        await pilot.resize_terminal(220, 40)
        await until(pilot, lambda: len(screen.panes.shown) == 2)
        await pilot.pause()
        layers, note = screen.panes.shown
        assert layers.size.width >= network_panes.NEEDED["layers"] and note.size.width == network_panes.NEEDED["note"]


async def test_a_second_pane_is_there_from_the_start_where_it_has_room(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    app.saved_state.tab = "layers"
    async with app.run_test(size=(220, 40)) as pilot:
        await until(pilot, lambda: [pane.id for pane in app.screen.panes.shown] == ["layers", "note"])


# One of them with the whole screen


def whole(pilot: Pilot, widget: Widget) -> bool:
    """Whether a widget has all columns of the screen but for its frame."""
    return widget.size.width >= pilot.app.size.width - 2 * FRAME


async def test_the_pane_at_hand_gets_the_whole_screen_and_gives_it_back(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = app.screen
        assert "z zoom" in screen_text(app).splitlines()[-1]
        await pilot.press("z")
        await until(pilot, lambda: whole(pilot, screen.table) and not screen.panes.display, "the list alone")
        await pilot.press("enter")
        await until(pilot, lambda: screen.panes.display and not screen.catalogue_list.display, "the panes' turn")
        await pilot.press("z")
        assert screen.catalogue_list.display and screen.panes.display and screen.in_panes
        await pilot.press("z")
        await until(pilot, lambda: whole(pilot, screen.panes.pane) and not screen.catalogue_list.display)
        await pilot.press("escape")
        assert screen.catalogue_list.display and screen.panes.display
        await pilot.resize_terminal(80, 24)
        assert not screen.check_action("zoom", ()), "there is nothing to give"


async def test_concepts_and_runs_zoom_as_well(tmp_path: Path) -> None:
    run_folder = FakeRun(tmp_path / "runs", FIRST, "finished")
    run_folder.curve(5)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, PageScreen) and app.screen.view.source)
        await pilot.press("enter", "z")
        await until(pilot, lambda: whole(pilot, app.screen.view), "the page alone")
        await pilot.press("z", "escape", "escape", "w")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.table.rows)
        await pilot.press("z")
        await until(pilot, lambda: whole(pilot, app.screen.table) and not app.screen.charts.region, "the list alone")
        await pilot.press("z", "tab", "z")
        await until(pilot, lambda: whole(pilot, app.screen.charts) and not app.screen.table.region, "one chart")
        await pilot.press("z")
        await until(pilot, lambda: app.screen.table.region and len(app.screen.charts.in_sight) > 1)


async def test_a_tab_of_a_run_gets_the_lines_above_it(tmp_path: Path) -> None:
    run_folder = FakeRun(tmp_path / "runs", FIRST, "finished")
    (run_folder.path / "train.log").write_text("a line\n" * 100)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: app.screen.table.rows)
        await pilot.press("enter", "5")
        await until(pilot, lambda: "a line" in screen_text(app))
        before = screen_text(app).count("a line")
        await pilot.press("z")
        await until(pilot, lambda: screen_text(app).count("a line") == app.size.height - 4)
        await pilot.press("escape")
        await until(pilot, lambda: screen_text(app).count("a line") == before)


# The border


async def test_the_border_is_moved_by_keys_and_remembered(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        pane = app.screen.query_one("#list-pane")
        before = pane.outer_size.width
        await pilot.press("L", "L")
        await until(pilot, lambda: pane.outer_size.width == before + 8)
        await pilot.press("H")
        await until(pilot, lambda: pane.outer_size.width == before + 4)
        await pilot.press(*"H" * 40)
        await until(pilot, lambda: pane.outer_size.width == LEAST)
        await pilot.press("L")
        await until(pilot, lambda: pane.outer_size.width == LEAST + 4)
    again: Any = make_app(tmp_path)
    async with again.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: again.screen.query_one("#list-pane").outer_size.width == LEAST + 4)
        await pilot.press("C")
        await until(pilot, lambda: isinstance(again.screen, PageScreen) and again.screen.view.source)
        assert again.screen.query_one("#list-pane").outer_size.width > LEAST + 4, "each screen has a border of its own"


async def test_the_border_is_dragged_with_the_mouse(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        pane = app.screen.query_one("#list-pane")
        edge, cursor = pane.region.right, app.screen.table.key
        await pilot.mouse_down(offset=(edge, 10))
        await pilot.hover(offset=(edge + 9, 12))
        await pilot.mouse_up(offset=(edge + 9, 12))
        await until(pilot, lambda: pane.region.right == edge + 10)
        await pilot.hover(offset=(edge - 20, 12))
        assert pane.region.right == edge + 10 and app.screen.table.key == cursor, "it was let go of"
        assert not app.screen.get_selected_text()
        await pilot.mouse_down(offset=(20, 10))
        await pilot.hover(offset=(40, 10))
        await pilot.mouse_up(offset=(40, 10))
        assert pane.region.right == edge + 10, "only the border moves the border"


@pytest.mark.parametrize("key, action", [("z", "zoom"), ("H", "border(-1)"), ("L", "border(1)")])
def test_the_letters_mean_nothing_else_anywhere(key: str, action: str) -> None:
    from cnn_explorer.tui.core.key_bindings import COMMANDS

    others = {command.action for command in COMMANDS if key in command.keys.split(",")} - {action}
    assert others <= {"chart('one')"}, "in a chart: this chart with the whole screen"

"""The first screen: list, filter, order, note, layer table, links, small terminals, what is remembered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.core import saved_state
from cnn_explorer.tui.networks import catalogue_list
from cnn_explorer.tui.networks.selection import NetworkSelection
from cnn_explorer.tui.screens.base import BaseScreen
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.filter_input import FilterInput
from cnn_explorer.tui.widgets.layers_pane import LayersPane
from cnn_explorer.tui.widgets.rows import RowList
from cnn_explorer.tui.widgets.shell import KeyLine
from cnn_explorer.tui.widgets.text_view import TextView
from support.tui import FakeRun, catalogue, make_app, screen_text, until
from textual.widgets import Input

WIDE, NARROW = (140, 40), (80, 24)


def shown(screen: CatalogueScreen) -> list[str]:
    return [row.key for row in screen.table.rows if row.selectable]


def has_note(screen: CatalogueScreen) -> bool:
    return bool(screen.query(TextView)) and bool(screen.query_one(TextView).source)


async def test_list_and_note_are_there(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        assert isinstance(screen, CatalogueScreen)
        assert shown(screen) == [
            variant.name for variant in catalogue_list.ordered(list(registry.variants().values()), "year")
        ]
        first = registry.variants()[screen.table.key]
        family = registry.family(first.family)
        await until(pilot, lambda: has_note(screen) and family.authors in screen.query_one(TextView).source)
        await until(pilot, lambda: family.authors.split(",")[0] in screen_text(app))
        assert first.name in screen_text(app) and str(first.year) in screen_text(app)


async def test_moving_changes_the_note_once_the_cursor_rests(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        await until(pilot, lambda: has_note(screen))
        await pilot.press("G")
        last = registry.variants()[screen.table.key]
        assert screen.table.key == shown(screen)[-1]
        note = catalogue_list.note(registry.family(last.family))
        await until(pilot, lambda: screen.query_one(TextView).source == note)
        await pilot.press("k", "k", "g")
        assert screen.table.key == shown(screen)[0]
        await pilot.press("ctrl+d", "j", "up", "pageup")
        assert screen.table.key == shown(screen)[0]


async def test_filter_narrows_while_typing_and_escape_brings_all_back(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        everything = shown(screen)
        await pilot.press("slash", *"resnet 2015")
        expected = catalogue_list.matching(list(registry.variants().values()), "resnet 2015")
        assert 0 < len(expected) < len(everything)
        assert sorted(shown(screen)) == sorted(variant.name for variant in expected)
        assert f"{len(expected)} of {len(everything)}" in screen_text(app)
        await pilot.press("down")
        assert screen.table.key == shown(screen)[1]
        await pilot.press("enter")
        assert screen.focused is screen.table and screen.query_one(FilterInput).value == "resnet 2015"
        await pilot.press("escape")
        assert shown(screen) == everything
        await pilot.press("slash", *"nothing like it")
        assert shown(screen) == [] and "no network has all these words" in screen_text(app)
        await pilot.press("enter", "enter", "j", "G", "2", "t", "escape", "escape")
        assert shown(screen) == everything


async def test_order_goes_round(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        here = screen.table.key
        for order in [*list(catalogue_list.ORDERS)[1:], "year"]:
            await pilot.press("o")
            assert app.saved_state.sort == order
            wanted = catalogue_list.ordered(list(registry.variants().values()), order)
            assert shown(screen) == [variant.name for variant in wanted]
            assert screen.table.key == here
            headings = [row.cells[2] for row in screen.table.rows if not row.selectable]
            assert len(headings) == len(set(headings)) and bool(headings) == (order in ("family", "tag"))


async def test_layer_table_comes_from_the_helper(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2")
        screen = catalogue(app)
        await until(pilot, lambda: screen.query(LayersPane))
        pane = screen.query_one(LayersPane)
        await until(pilot, lambda: pane.table.rows)
        assert [row.cells[0].strip(" ▾▸") for row in pane.table.rows] == ["Net", "body ×2", "conv", "+", "head"]
        assert pane.selection == NetworkSelection(screen.table.key)
        assert "4×4×4" in screen_text(app)
        assert "MACs   " in screen_text(app) and "█" in screen_text(app)
        await pilot.press("j")
        await until(
            pilot, lambda: pane.selection == NetworkSelection(screen.table.key) and pane.table.rows, "the next table"
        )
        await pilot.press("enter")
        assert screen.focused is pane.table
        await pilot.press("space")
        assert len(pane.table.rows) == 1
        await pilot.press("right", "down", "u", "u", "minus", "plus", "left", "left", "escape")
        assert screen.focused is screen.table


@pytest.mark.parametrize("columns", [80, 160, 212, 240])
async def test_the_layer_table_has_all_its_columns_however_wide_the_terminal(tmp_path: Path, columns: int) -> None:
    """A second pane comes only where it takes no column from the first."""
    app = make_app(tmp_path)
    async with app.run_test(size=(columns, 30)) as pilot:
        screen = catalogue(app)
        await pilot.press("2")
        await until(pilot, lambda: screen.query(LayersPane) and screen.query_one(LayersPane).table.rows)
        await pilot.pause()
        text = screen_text(app)
        assert "field" in text and "memory" in text


async def test_death_of_the_helper_is_told_and_healed(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        await pilot.press("2")
        await until(pilot, lambda: screen.query(LayersPane))
        pane = screen.query_one(LayersPane)
        await until(pilot, lambda: pane.table.rows and not app.questions.pending)
        assert app.helper.pid is not None
        os.kill(app.helper.pid, 9)
        await until(pilot, lambda: app.helper.state.word == "down")
        await pilot.press("j")
        await until(
            pilot, lambda: pane.selection == NetworkSelection(screen.table.key) and pane.table.rows, "a table again"
        )


async def test_helper_that_cannot_start_is_told_in_the_pane(tmp_path: Path) -> None:
    app = make_app(tmp_path, helper_command=("/nonexistent/python",))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "the helper process ended" in screen_text(app))


async def test_links_lead_to_other_notes_and_escape_back(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        known = {family.name for family in registry.families()}
        start, target = next(
            (family, link)
            for family in registry.families()
            for link in family.builds_on
            if link in known and f"]({link}.md)" in family.body
        )
        screen.go_to(start.variants[0].name)
        await until(pilot, lambda: has_note(screen))
        view = screen.query_one(TextView)
        await until(pilot, lambda: view.document.links and view.source == catalogue_list.note(start))
        await pilot.press("enter")
        assert screen.focused is view
        for _ in view.document.links:
            await pilot.press("right_square_bracket")
            assert view.link is not None
            if view.link.target == f"{target}.md":
                break
        await pilot.press("enter")
        assert registry.variants()[screen.table.key].family == target
        await pilot.press("escape")
        assert registry.variants()[screen.table.key].family == start.name


async def test_narrow_terminal_shows_one_pane_at_a_time(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        screen = app.screen
        list_pane, panes = screen.query_one("#list-pane"), screen.query_one("#panes")
        assert list_pane.display and not panes.display
        await pilot.press("enter")
        assert panes.display and not list_pane.display
        assert isinstance(screen.focused, TextView)
        await pilot.press("escape")
        assert list_pane.display and isinstance(screen.focused, RowList)
        await pilot.press("2")
        await until(pilot, lambda: panes.display)
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: list_pane.display and panes.display)


@pytest.mark.parametrize("size", [(59, 24), (80, 14), (10, 3), (1, 1)])
async def test_too_small_a_terminal_gets_a_message(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        assert app.screen.query_one("#too-small").display
        if size[0] >= 30:
            assert f"{size[0]}×{size[1]}" in screen_text(app)
        await pilot.press("j", "2", "w", "question_mark", "escape", "a")
        await pilot.resize_terminal(*NARROW)
        await until(pilot, lambda: not app.screen.query_one("#too-small").display)


async def test_stem_changes_the_figures(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        variant = next(variant for variant in registry.variants().values() if variant.small_stem is not None)
        screen.go_to(variant.name)
        await pilot.press("f")
        assert screen.panes.border_subtitle == NetworkSelection(variant.name, "small").facts()
        await pilot.press("f")
        assert screen.panes.border_subtitle == NetworkSelection(variant.name, "imagenet").facts()


async def test_place_is_remembered(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("j", "j", "o", "2")
        network = catalogue(app).table.key
        await pilot.pause()
    again = make_app(tmp_path)
    async with again.run_test(size=WIDE) as pilot:
        assert catalogue(again).table.key == network
        assert again.saved_state.sort == "family" and catalogue(again).panes.current == "layers"


@pytest.mark.parametrize("contents", ["", "{", "[]", '{"network": 7, "tab": "nonsense", "smoothing": "x"}', "\x00"])
def test_damaged_memory_is_no_error(tmp_path: Path, contents: str) -> None:
    (tmp_path / saved_state.FILE).write_text(contents)
    assert saved_state.load(tmp_path).network == ""


async def test_unknown_places_in_memory_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    names = ("network", "tab", "sort", "view", "theme", "screen", "axis", "dataset")
    values = dict.fromkeys(names, "nonsense")
    (tmp_path / "state" / saved_state.FILE).write_text(json.dumps(values))
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("o", "w", "x", "a", "t")
        assert isinstance(app.focused, RowList | Input)


async def test_a_home_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("j")
    assert (tmp_path / "state").read_text().startswith("a file")


async def test_help_lists_the_keys_of_the_screen(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("question_mark")
        text = " ".join(cell for row in app.screen.query_one(RowList).rows for cell in row.cells)
        for words in ("Train this network", "Filter the list", "everywhere", "in a list", "ctrl+d"):
            assert words in text
        assert "Train this network" in screen_text(app)
        await pilot.press("escape")
        assert isinstance(app.screen, CatalogueScreen)


async def test_palette_runs_a_command(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+p")
        await pilot.press(*"order by year")
        await until(pilot, lambda: len(app.screen.query_one(RowList).rows) == 1)
        await pilot.press("enter")
        await until(pilot, lambda: app.saved_state.sort == "family")


async def test_the_hidden_filter_never_takes_the_first_keys(tmp_path: Path, monkeypatch) -> None:
    focused = []
    monkeypatch.setattr(FilterInput, "on_focus", lambda self: focused.append(self), raising=False)
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: app.screen.focused is catalogue(app).table)
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.focused is app.screen.table)
        assert not focused
        await pilot.press("slash")
        await until(pilot, lambda: focused)


async def test_only_keys_that_do_something_are_offered(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        for key, action in (("b", "show_bench"), ("C", "show_concepts"), ("w", "show_runs"), ("a", "show_catalogue")):
            await pilot.press(key)
            assert isinstance(app.screen, BaseScreen)
            offered = {command.action for command in app.screen.active_commands()}
            assert action not in offered and len(offered & {"show_bench", "show_runs", "show_catalogue"}) >= 2
        await pilot.press("question_mark")
        keys = screen_text(app).splitlines()[-1]
        assert "? close" in keys and "next field" not in keys
        await pilot.press("escape", "ctrl+f")
        await until(pilot, lambda: "tab next field" in screen_text(app).splitlines()[-1])


async def test_enter_is_offered_only_on_rows_that_open_something(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = catalogue(app)

        def opens() -> bool:
            return any(command.action == "choose" for command in screen.active_commands())

        screen.go_to("resnet18")
        assert opens()
        await pilot.press("5", "enter")
        await until(pilot, lambda: "params before" in screen_text(app))
        assert not opens(), "the rows of a difference"
        await pilot.press("6")
        await until(pilot, lambda: "no runs of this network" in screen_text(app))
        assert not opens(), "a list without rows"
        FakeRun(tmp_path / "runs", "20261120-143022-resnet18-digits-7f3a", "finished", network="resnet18")
        await until(pilot, lambda: "finished" in screen_text(app))
        assert opens()


def foot(app: ExplorerApp) -> set[str]:
    """The words of the line at the foot."""
    return {command.foot for command in app.screen.query_one(KeyLine).shown}


@pytest.mark.parametrize("view", ["list", "chart"])
async def test_a_filter_without_a_match_leaves_no_key_at_the_foot_that_does_nothing(tmp_path: Path, view: str) -> None:
    app = make_app(tmp_path)
    of_a_network = {"open", "train", "mark", "compare", "predict", "stem", "definition", "image"}
    async with app.run_test(size=(220, 30)) as pilot:
        if view == "chart":
            await pilot.press("v", "v")
        await until(pilot, lambda: of_a_network <= foot(app))
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: not foot(app) & {"next line", "line before"})
        assert foot(app) == {"keep the filter", "drop it"}
        await pilot.press("enter")
        await until(pilot, lambda: "filter" in foot(app))
        assert not foot(app) & of_a_network and {"back", "help", "runs"} <= foot(app)
        await pilot.press("escape")
        await until(pilot, lambda: of_a_network <= foot(app))


async def test_a_list_without_networks_opens_no_empty_pane(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW, notifications=True) as pilot:
        await pilot.press("slash", *"nothing at all", "enter", "2")
        await until(pilot, lambda: "escape drops the filter" in screen_text(app))
        assert not app.screen.has_class("-reading")


async def test_filter_puts_the_cursor_on_what_is_called_so(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        await pilot.press("G", "slash", *"resnet50")
        assert catalogue(app).table.key == "resnet50" and len(catalogue(app).table.rows) > 1
        await pilot.press("enter", "j")
        assert catalogue(app).table.key != "resnet50"


async def test_search_finds_the_line_of_a_note_that_was_never_open(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=NARROW) as pilot:
        app.open_page("resnet.md", "projection")
        await until(pilot, lambda: app.screen.query(TextView) and app.screen.query_one(TextView)._match is not None)
        view = app.screen.query_one(TextView)
        line = view._match
        assert line is not None
        await until(pilot, lambda: view.scroll_offset.y <= line < view.scroll_offset.y + view.size.height)
        assert line > view.size.height, "it had to be scrolled to"


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_the_cursor_of_a_dialog_stays_in_sight(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        await pilot.press("question_mark", "G")
        rows = app.screen.query_one(RowList)
        assert rows.rows[-1].key in rows.keys_in_sight and rows.rows[0].key not in rows.keys_in_sight
        assert rows.rows[-1].cells[1] in screen_text(app), "the last line of the help"
        await pilot.press("escape", "ctrl+f", *"convolution")
        await until(pilot, lambda: "lines" in screen_text(app))
        await pilot.press(*["down"] * 30)
        await until(pilot, lambda: "▶" in screen_text(app), "a line that was found")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 45)])
async def test_the_chart_explains_its_signs_cuts_no_title_and_tells_what_is_missing(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        await pilot.press("v", "v")
        await until(pilot, lambda: "1998" in screen_text(app) and "MACs over year" in screen_text(app))
        for words in ("· one", "• several", "◉ cursor", "◆ marked"):
            assert words in screen_text(app)
        catalogue(app).go_to("vit_nano")
        for _ in range(3):
            await pilot.press("x")
        await until(pilot, lambda: "without a figure)" in " ".join(screen_text(app).replace("│", " ").split()))
        await until(pilot, lambda: "vit_nano: no published top-1 %" in screen_text(app))

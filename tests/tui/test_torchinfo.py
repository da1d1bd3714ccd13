"""torchinfo's own summary in the Layers tab: its key, depth and columns, scrolling, saving, waiting, refusing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cnn_explorer.models.anatomy import server
from cnn_explorer.tui.core.options import AppOptions
from cnn_explorer.tui.networks import torchinfo_text
from cnn_explorer.tui.screens.choose_several import ChooseColumnsScreen
from cnn_explorer.tui.widgets.layers_pane import LayersPane
from cnn_explorer.tui.widgets.torchinfo_view import TorchinfoView
from cnn_explorer.tui.worker.requests import Listener, Reply
from support.tui import catalogue, make_app, screen_text, until
from textual.pilot import Pilot
from textual.widgets import Input
from torchinfo.formatting import HEADER_TITLES

SIZE = (80, 24)


async def open_layers(pilot: Pilot) -> LayersPane:
    """The Layers tab with the keyboard in it and the tree filled."""
    screen = catalogue(pilot.app)
    await pilot.press("2")
    await until(pilot, lambda: screen.query(LayersPane) and screen.query_one(LayersPane).table.network is not None)
    pane = screen.query_one(LayersPane)
    await until(pilot, lambda: pilot.app.focused is pane.table)
    return pane


async def open_torchinfo(pilot: Pilot) -> LayersPane:
    """The same with torchinfo's summary."""
    pane = await open_layers(pilot)
    await pilot.press("I")
    await until(pilot, lambda: pane.torchinfo.shown is not None)
    return pane


def asked_for(pane: LayersPane) -> list[str]:
    """The questions about torchinfo that are answered, or waited for."""
    questions = pane.explorer.questions
    return [key for key in (*questions._known, *questions._waiting) if '"torchinfo"' in key]


async def test_one_key_shows_torchinfos_summary_and_the_tree_again(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_layers(pilot)
        assert asked_for(pane) == [], "it is computed for those who want it"
        assert "I torchinfo" in screen_text(app).splitlines()[-1]
        await pilot.press("I")
        await until(pilot, lambda: "depth 3: output_size num_params" in screen_text(app))
        text = screen_text(app)
        assert "├─Conv2d: 1-1" in text and "depth 3 of 4, 2 of 7 columns" in text
        assert "torchinfo counts no attention here." in text and text.count("reason.") == 8, "folded, not cut"
        assert app.focused is pane.torchinfo.table and "I layers" in text.splitlines()[-1]
        await pilot.press("I")
        await until(pilot, lambda: app.focused is pane.table)
        await until(pilot, lambda: "field" in screen_text(app) and "Conv2d: 1-1" not in screen_text(app))
        await pilot.press("I", "escape")
        await until(pilot, lambda: app.focused is pane.table and not pane.shows_torchinfo)
        assert len(asked_for(pane)) == 1, "what was computed is kept"


async def test_all_keys_of_the_view_stand_in_its_foot(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_torchinfo(pilot)
        foot = "  ".join(("+ deeper", "- less", "s columns", "I layers", "e save", "y copy", "G end", "→ more"))
        await until(pilot, lambda: screen_text(app).splitlines()[-1].strip() == f"? help  {foot}")
        await pilot.press("I")
        await until(pilot, lambda: "I torchinfo" in screen_text(app).splitlines()[-1])
        assert "e save" not in screen_text(app).splitlines()[-1]


async def test_depth_goes_from_one_to_the_deepest_level(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_torchinfo(pilot)
        for key, depth in (("+", 4), ("+", 4), ("-", 3), ("-", 2), ("-", 1), ("-", 1)):
            await pilot.press("plus" if key == "+" else "minus")
            await until(pilot, lambda depth=depth: f"depth {depth}: output" in screen_text(app))
            assert pane.torchinfo.depth == depth and f"depth {depth} of 4" in screen_text(app)


async def test_columns_are_chosen_from_a_list(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_torchinfo(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChooseColumnsScreen))
        assert "[x] Output Shape" in screen_text(app) and "[ ] Mult-Adds" in screen_text(app)
        await pilot.press("enter", "G", "enter")  # the first one too, then "show them"
        await until(pilot, lambda: "depth 3: kernel_size output_size num_params" in screen_text(app))
        assert "3 of 7 columns" in screen_text(app)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, ChooseColumnsScreen))
        await pilot.press("enter", "escape")
        await until(pilot, lambda: app.screen is catalogue(app))
        assert pane.torchinfo.columns == ("kernel_size", "output_size", "num_params"), "escape changes nothing"


async def test_it_scrolls_both_ways(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await open_torchinfo(pilot)
        assert "the end" not in screen_text(app)
        await pilot.press("G", *["right"] * 30)
        await until(pilot, lambda: "the end" in screen_text(app))
        await pilot.press("g")
        await until(pilot, lambda: "depth 3: output" in screen_text(app) and "the end" not in screen_text(app))


async def test_all_of_it_is_saved(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_torchinfo(pilot)
        await pilot.press("e")
        app.screen.query_one("#export-folder", Input).value = str(tmp_path)
        await pilot.press("enter")
        name = f"cnn-explorer-torchinfo-{pane.selection.network if pane.selection else ''}.txt"
        await until(pilot, lambda: (tmp_path / name).exists())
    lines = (tmp_path / name).read_text().splitlines()
    assert lines[0].startswith("depth 3") and "row 59" in lines[-2] and lines[-2].endswith("the end")
    assert lines[-1].startswith("torchinfo counts no attention here.")


async def test_it_follows_the_network_and_its_stem(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(140, 40)) as pilot:
        screen = catalogue(app)
        await pilot.press("2")
        await until(pilot, lambda: screen.query(LayersPane) and screen.query_one(LayersPane).table.network is not None)
        await pilot.press("enter")
        pane = screen.query_one(LayersPane)
        await pilot.press("I")
        await until(pilot, lambda: pane.torchinfo.shown is not None)
        first = pane.torchinfo.table.lines[2].split()[0]
        screen.table.focus()
        await pilot.press("j")
        await until(pilot, lambda: pane.selection is not None and pane.selection.network != first)
        await until(pilot, lambda: pane.torchinfo.shown is not None)
        assert pane.selection is not None
        assert pane.torchinfo.table.lines[2].split()[0] == pane.selection.network
        assert app.focused is screen.table, "the keyboard stays in the list"


async def test_words_stand_where_the_table_will_be_and_why_there_is_none(tmp_path: Path) -> None:
    app = make_app(tmp_path, helper_command=("sleep", "600"))
    async with app.run_test(size=SIZE) as pilot:
        screen = catalogue(app)
        await pilot.press("2")
        await until(pilot, lambda: screen.query(LayersPane) and app.focused is screen.query_one(LayersPane).table)
        pane = screen.query_one(LayersPane)
        await pilot.press("I")
        await until(pilot, lambda: "torch is being loaded" in screen_text(app))
        assert pane.export() is None
        await pilot.press("plus")
        assert pane.torchinfo.depth == 3, "the deepest level is not known yet"
        pane.failed("torchinfo", "torchinfo cannot run it")
        await until(pilot, lambda: "torchinfo cannot run it" in screen_text(app))


async def test_the_newest_answer_stands_on_the_screen(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_torchinfo(pilot)
        pane.failed("torchinfo", "the process died at depth 3")
        await until(pilot, lambda: "died at depth 3" in screen_text(app) and "Conv2d: 1-1" not in screen_text(app))
        await pilot.press("minus")
        await until(pilot, lambda: "depth 2: output" in screen_text(app))
        assert "died" not in screen_text(app) and pane.torchinfo.shown is not None


async def test_an_answer_beside_leaves_the_error_of_the_pane_to_be_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        pane = await open_layers(pilot)
        asked, selection = [], pane.selection
        assert selection is not None
        replies = {"layers": Reply(None, "it died"), "torchinfo": Reply(None, "it died too")}

        def ask(question: str, details: object, parse: object, listener: Listener) -> bool:
            asked.append(question)
            listener(replies[question])
            return True

        monkeypatch.setattr(pane.explorer.questions, "ask", ask)
        pane.fill(selection)
        await pilot.press("I")
        assert asked == ["layers", "torchinfo"]
        pane.show(selection)
        assert asked[2:] == ["torchinfo", "layers"], "the table that is missing is asked for again"


async def test_in_ascii_its_lines_are_ascii_too(tmp_path: Path) -> None:
    app = make_app(tmp_path, options=AppOptions(ascii=True, color="16"))
    async with app.run_test(size=SIZE) as pilot:
        await open_torchinfo(pilot)
        await until(pilot, lambda: "+-Conv2d: 1-1" in screen_text(app))
        assert screen_text(app).isascii()


def test_titles_are_torchinfos() -> None:
    assert {column.value: title for column, title in HEADER_TITLES.items()} == torchinfo_text.TITLES
    assert set(torchinfo_text.TITLES.values()) <= set(TorchinfoView.TERMS)


@pytest.mark.parametrize("columns", [["output_size"], list(torchinfo_text.TITLES)])
def test_the_helper_answers_for_a_depth_and_columns(columns: list[str]) -> None:
    asked = {"id": 7, "ask": "torchinfo", "network": "lenet5", "depth": 1, "columns": columns}
    reply = server.answer(json.dumps(asked))
    found = torchinfo_text.parse_torchinfo(reply["answer"])
    assert found.deepest == 2 and "1-1" in found.text and "2-1" not in found.text
    assert all((torchinfo_text.TITLES[name] in found.lines[1]) == (name in columns) for name in torchinfo_text.TITLES)
    assert found.explanation == ("417 k MACs; torchinfo counts 423 k: also biases (6.52 k more).",)


def test_the_helper_refuses_in_one_line() -> None:
    asked = {"id": 8, "ask": "torchinfo", "network": "lenet6", "depth": 1, "columns": ["output_size"]}
    assert "did you mean" in server.answer(json.dumps(asked))["error"]

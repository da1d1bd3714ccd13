"""Learning an architecture: walk, code, difference, runs, comparing, questions, pages, search, copy, export, colours."""

from __future__ import annotations

import gc
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.core.options import THEMES, AppOptions
from cnn_explorer.tui.networks import pages, related, source_code
from cnn_explorer.tui.networks.layer_tree import LayerNode
from cnn_explorer.tui.networks.markdown import layout
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.compare import CompareScreen
from cnn_explorer.tui.screens.input_size import InputSizeScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.question import QuestionScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.screens.search import SearchScreen
from cnn_explorer.tui.widgets.code_pane import CodePane, CodeView
from cnn_explorer.tui.widgets.diff_pane import DiffPane
from cnn_explorer.tui.widgets.layers_pane import LayersPane
from cnn_explorer.tui.widgets.network_runs_pane import NetworkRunsPane
from cnn_explorer.tui.widgets.pixel_view import PixelView
from cnn_explorer.tui.widgets.rows import ListRow
from cnn_explorer.tui.widgets.scatter_view import ScatterView
from cnn_explorer.tui.widgets.text_view import TextView
from cnn_explorer.tui.widgets.walk_pane import WalkPane
from cnn_explorer.tui.worker.requests import Reply
from support.tui import FakeRun, catalogue, make_app, screen_text, until
from textual.pilot import Pilot
from textual.widgets import Input

WIDE = (140, 40)


async def open_pane(pilot: Pilot, key: str, kind: type, filled=lambda pane: True):
    """Press the number of a tab and wait until its pane is filled; the keyboard is in it afterwards."""
    screen = pilot.app.screen
    await pilot.press(key)
    await until(pilot, lambda: screen.query(kind) and screen.query_one(kind).selection is not None, f"pane {key}")
    pane = screen.query_one(kind)
    await until(pilot, lambda: not pane.waiting and filled(pane), f"pane {key} is filled")
    await pilot.press("enter")
    return pane


def labels(pane) -> list[str]:
    return [row.cells[0].strip(" ▾▸") for row in pane.table.rows]


async def test_walk_goes_into_blocks_and_down_to_one_value(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        pane = await open_pane(pilot, "3", WalkPane, lambda pane: pane.table.rows)
        assert labels(pane) == ["body ×2", "head"]
        assert "goes in: 3×8×8" in screen_text(app)
        await pilot.press("enter")
        assert labels(pane) == ["conv", "+"]
        assert "Net › body" in screen_text(app)
        await pilot.press("right")
        view = pane.query_one(PixelView)
        await until(pilot, lambda: "bias 0.2500 = 1.2500" in screen_text(app))
        assert view.has_focus
        await pilot.press("down", "right", "full_stop")
        await until(pilot, lambda: "channel 1, row 2, column 3" in screen_text(app))
        await pilot.press(*["down"] * 9)
        await until(pilot, lambda: "row 3, column 3" in screen_text(app), "stays inside the output")
        await pilot.press("escape")
        assert labels(pane) == ["conv", "+"]
        await pilot.press("left")
        assert labels(pane) == ["body ×2", "head"] and pane.table.key == "0.0"
        await pilot.press("escape")
        assert app.screen.focused is catalogue(app).table


async def test_one_value_with_the_weights_of_a_trained_run(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await open_pane(pilot, "3", WalkPane, lambda pane: pane.table.rows)
        await pilot.press("enter", "right")
        await until(pilot, lambda: "weights as drawn" in screen_text(app))
        await pilot.press("W")
        await until(pilot, lambda: "no trained run of lenet5" in screen_text(app))
        run = FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished")
        config = json.loads((run.path / "run.json").read_text())
        config["network"] |= {"in_channels": 1, "image_size": 28, "num_classes": 10, "stem": None}
        (run.path / "run.json").write_text(json.dumps(config))
        run.status("finished", best={"accuracy": 0.9, "epoch": 3})
        await until(pilot, lambda: app.runs and app.runs[0].best_epoch == 3, "the run is found")
        await pilot.press("W")
        await until(pilot, lambda: f"weights of the run {run.path.name}" in screen_text(app))
        assert "bias 0.7500 = 1.7500" in screen_text(app), "the helper was given the file of the weights"
        await pilot.press("W")
        await until(pilot, lambda: "weights as drawn" in screen_text(app))


async def test_walk_can_hide_what_comes_out(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        pane = await open_pane(pilot, "3", WalkPane, lambda pane: pane.table.rows)
        steps = [replace(pane.steps[0], key=f"0.{number}") for number in range(12)]
        shown, pane.levels = pane.levels, [replace(pane.levels[0], children=tuple(steps))]
        pane._rebuild()
        await pilot.press("j", "j", "h")
        hidden = [row.cells[2] == "?" for row in pane.table.rows]
        assert hidden == [False] * 3 + [True] * 9, "the steps to come, also those from the tenth on"
        await pilot.press("h")
        pane.levels = shown
        pane._rebuild("0.0")
        await pilot.press("h")
        assert [row.cells[2] for row in pane.table.rows] == ["4×4×4", "?"]
        await pilot.press("j")
        assert [row.cells[2] for row in pane.table.rows] == ["4×4×4", "10"]
        await pilot.press("g", "h")
        assert pane.table.rows[1].cells[2] == "10"


async def test_code_shows_the_network_and_the_layer(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        catalogue(app).go_to("resnet18")
        pane = await open_pane(pilot, "4", CodePane)
        view = pane.query_one(CodeView)
        await until(pilot, lambda: view.definition == "resnet18")
        line = view.source.definitions["resnet18"]
        await until(pilot, lambda: view.scroll_offset.y == min(line - 2, view.max_scroll_y), "it is in sight")
        assert view.scroll_offset.y <= line < view.scroll_offset.y + view.size.height
        assert "models/resnet.py" in screen_text(app)
        await pilot.press("right", "right", "left")
        await until(pilot, lambda: view.scroll_offset.x == 8)
        await pilot.press(
            "left", "g", "right_square_bracket", "right_square_bracket", "left_square_bracket", "j", "k", "G", "space"
        )
        assert view.cursor == len(view.source.lines) - 1
        while view.definition != "resnet18":
            view.action_definition(-1)
        await pilot.press("enter")
        await until(pilot, lambda: catalogue(app).panes.current == "layers" and app.screen.query(LayersPane))
        layers = app.screen.query_one(LayersPane)
        await until(pilot, lambda: layers.table.network is not None)
        assert layers.table.key == "0"
        layers.reveal("Linear")
        node = layers.table.node
        assert node is not None and node.type == "Linear"


def layer(name: str, layer_type: str) -> LayerNode:
    return LayerNode("0", name, "module", layer_type, (), (), 0, 0, 0, None, False, True, 1, "")


async def test_code_of_a_layer_is_its_class_or_where_that_is_made(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        catalogue(app).go_to("resnet18")
        pane = await open_pane(pilot, "4", CodePane)
        view, network = pane.view, layer("", "ResNet")
        pane.show_layer((network, layer("stage1", "Sequential"), layer("stage1.0", "BasicBlock")))
        assert view.definition == "BasicBlock"
        pane.show_layer((network, layer("pool", "AdaptiveAvgPool2d")))
        assert view.definition == "ResNet" and "self.pool" in "".join(s.text for s in view.source.lines[view.cursor])
        pane.show_layer((network, layer("nowhere", "Sequential")))
        assert view.cursor == view.source.definitions["ResNet"]


async def test_a_class_above_which_nothing_stands_is_told(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        pane = await open_pane(pilot, "4", CodePane)
        await until(pilot, lambda: pane.view.has_focus)
        await pilot.press("g", "enter")
        await until(pilot, lambda: "above the first class" in screen_text(app))


async def test_layer_leads_to_its_definition(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        catalogue(app).go_to("resnet18")
        await open_pane(pilot, "2", LayersPane, lambda pane: pane.table.rows)
        await pilot.press("d")
        await until(pilot, lambda: catalogue(app).panes.current == "code" and app.screen.query(CodeView))


def test_definitions_are_found_in_sibling_files() -> None:
    resnet = registry.family("resnet").code_path
    shown, line = source_code.find(resnet, "ConvNormAct")
    assert shown.path.name == "layers.py" and line is not None
    assert "".join(span.text for span in shown.lines[line]).startswith("class ConvNormAct")
    assert source_code.find(resnet, "NoSuchClass") == (source_code.read(resnet), None)


def test_the_row_of_a_variant_is_a_definition_and_a_constant_is_none() -> None:
    shown = source_code.read(registry.family("resnet").code_path)
    line = shown.line_of("resnet50")
    assert line is not None and "".join(span.text for span in shown.lines[line]).startswith("resnet50 = variant(")
    assert shown.definition_at(line) == "resnet50" and shown.definition_at(line - 1) != "resnet50"
    assert shown.line_of("DEPTHS") is None and shown.line_of("Block") is None


async def test_diff_against_the_predecessor_and_any_other(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        catalogue(app).go_to("resnet18")
        pane = await open_pane(pilot, "5", DiffPane, lambda pane: pane.table.rows)
        before = related.counterpart(registry.variants()["resnet18"])
        assert before is not None
        assert f"{before.name} → resnet18" in screen_text(app)
        assert "+ added" in screen_text(app) and "Conv2d 3×3" in screen_text(app)
        given = [("Linear", "2.5 M"), ("Conv2d 3×3", "513 k"), ("Dropout", "")]
        pane.table.set_rows(ListRow(kind, ("", kind, "1", "1", size, size)) for kind, size in given)
        await pilot.press("o", "o")
        await until(pilot, lambda: "resnet18 · by kind of layer" in screen_text(app))
        assert [row.key for row in pane.table.rows] == ["Conv2d 3×3", "Dropout", "Linear"]
        titles = screen_text(app).splitlines()[pane.table.region.y]
        for kinds in (["Conv2d 3×3", "Linear", "Dropout"], ["Linear", "Conv2d 3×3", "Dropout"]):
            await pilot.click(pane.table, offset=(titles.index("params before") - pane.table.region.x, 0))
            await until(pilot, lambda kinds=kinds: [row.key for row in pane.table.rows] == kinds)
        assert "by params before, reversed" in screen_text(app)
        await pilot.press("A", *"lenet5", "enter")
        await until(pilot, lambda: "lenet5 → resnet18" in screen_text(app))
        assert pane.other.startswith("lenet5")


async def test_only_the_later_of_two_questions_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        pane = await open_pane(pilot, "5", DiffPane, lambda pane: pane.table.rows)
        listeners = []
        monkeypatch.setattr(app.questions, "ask", lambda question, details, parse, listener: listeners.append(listener))
        pane.compare_with("vgg11")
        pane.compare_with("alexnet")
        late, right = ({**one, "depth": depth} for one, depth in ((SUMMARY, 111), (SUMMARY, 222)))
        listeners[1](Reply({"changes": [], "summaries": [right, right]}))
        listeners[0](Reply({"changes": [], "summaries": [late, late]}))
        await pilot.pause()
        assert "222 → 222" in screen_text(app) and "111 → 111" not in screen_text(app)
        listeners.clear()
        pane.compare_with("vgg11")
        listeners[0](Reply(None, "the image is too small"))
        pane.compare_with("alexnet")
        assert len(listeners) == 2, "another network can be chosen where the first could not be compared"


SUMMARY = {"parameters": 1, "macs": 1, "depth": 1, "receptive_field": 3, "is_global": False}


async def test_compare_shows_the_form_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        listeners = []
        monkeypatch.setattr(app.questions, "ask", lambda question, details, parse, listener: listeners.append(listener))
        await pilot.press("c", "f", "f", "f")
        listeners[-1](Reply([]))
        screen = app.screen
        assert isinstance(screen, CompareScreen) and len(listeners) == 4 and screen._stem == "small"
        listeners[0](Reply([{"name": "of the other stem"}]))
        assert screen._summaries == []
        listeners[-1](Reply(None, "the image is too small for a network"))
        await pilot.pause()
        assert "the image is too small for a network" in screen_text(app)


def test_predecessors_follow_the_notes() -> None:
    for variant in registry.variants().values():
        known = {family.name for family in registry.families()}
        expected = [name for name in registry.family(variant.family).builds_on if name in known]
        assert [other.family for other in related.predecessors(variant)] == expected


async def test_runs_of_the_network_lead_to_their_curves(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        network = catalogue(app).table.key
        pane = await open_pane(pilot, "6", NetworkRunsPane)
        assert not pane.table.rows
        run = FakeRun(tmp_path / "runs", "20261120-143022-x-digits-7f3a", "finished", network=network)
        FakeRun(tmp_path / "runs", "20261120-153022-y-digits-8c1d", "finished", network="another")
        await until(pilot, lambda: [row.key for row in pane.table.rows] == [run.path.name])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.table.key == run.path.name)


async def test_marked_networks_are_compared(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        names = [row.key for row in catalogue(app).table.rows][:5]
        for _ in names:
            await pilot.press("m", "j")
        assert catalogue(app).catalogue_list.marked == names[:4]
        await until(pilot, lambda: "4 are marked already" in screen_text(app))
        assert "4 marked" in screen_text(app) and "◆" in screen_text(app)
        await pilot.press("c")
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        await until(pilot, lambda: any(row.key == "depth" for row in screen.table.rows))
        text = screen_text(app)
        assert all(name[:10] in text for name in names[:4]) and "4.10 kB" in text and "MACs" in text
        await pilot.press("f", "j", "escape", "g", "m")
        assert catalogue(app).catalogue_list.marked == names[1:4]


async def test_comparing_without_marks_takes_the_predecessor(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        catalogue(app).go_to("resnet18")
        await pilot.press("c")
        assert isinstance(app.screen, CompareScreen)
        other = related.counterpart(registry.variants()["resnet18"])
        assert other is not None and app.screen._names == ["resnet18", other.name]


async def test_views_of_the_catalogue(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        screen = catalogue(app)
        screen.go_to("vit_base_16")
        await pilot.press("v")
        assert screen.table.key == "vit_base_16", "its family stands for it"
        assert "o order" not in screen_text(app)
        families = [registry.variants()[row.key].family for row in screen.table.rows]
        assert sorted(families) == sorted(family.name for family in registry.families())
        await pilot.press("v")
        await until(pilot, lambda: screen.catalogue_list.chart is not None and screen.catalogue_list.chart.has_focus)
        chart = screen.catalogue_list.chart
        assert isinstance(chart, ScatterView)
        seen = {chart.key}
        for _ in range(6):
            await pilot.press("right")
            assert screen.selection is not None
            assert screen.selection.network == chart.key == app.saved_state.network
            seen.add(chart.key)
        assert len(seen) == 7
        await pilot.press("x", "down", "up", "x", "x", "x", "enter")
        await pilot.press("escape", "v")
        assert screen.table.display and screen.table.has_focus and "o order" in screen_text(app)
        assert screen.selection is not None and screen.table.key == screen.selection.network


async def test_another_image_changes_every_pane(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        pane = await open_pane(pilot, "2", LayersPane, lambda pane: pane.table.rows)
        await pilot.press("i")
        screen = app.screen
        assert isinstance(screen, InputSizeScreen)
        screen.query_one("#image-size", Input).value = "0"
        await pilot.press("enter")
        assert "between 1 and 4096" in screen_text(app)
        screen.query_one("#image-size", Input).value = "64"
        screen.query_one("#image-batch", Input).value = "7"
        await pilot.press("enter")
        await until(pilot, lambda: pane.table.network and pane.table.network.inputs[0] == (3, 64, 64))
        await until(pilot, lambda: "batch 7" in screen_text(app))
        await pilot.press("i")
        app.screen.query_one("#image-size", Input).value = "1"
        await pilot.press("enter")
        await until(pilot, lambda: "the image is too small" in screen_text(app))


async def test_question_is_answered_and_counted(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    app.rng = random.Random(3)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("p")
        screen = app.screen
        assert isinstance(screen, QuestionScreen)
        await pilot.press("abcd"[screen._question.right])
        assert "1 of 1 right so far" in screen_text(app) and screen._question.because in screen_text(app)
        await pilot.press("enter")
        assert isinstance(app.screen, CatalogueScreen)
        await open_pane(pilot, "2", LayersPane, lambda pane: pane.table.rows)
        await pilot.press("j", "j", "p", "enter", "enter")
        assert app.saved_state.asked == 2
        await pilot.press("escape", "Q", "p")
        assert isinstance(app.screen, CatalogueScreen)
    assert json.loads((tmp_path / "state" / "app.json").read_text())["quiz"] is False


async def test_questions_can_be_switched_off_in_the_settings(tmp_path: Path) -> None:
    app = make_app(tmp_path, options=AppOptions(quiz=False))
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("p", "Q", "p")
        assert isinstance(app.screen, CatalogueScreen)
        assert "predict" not in screen_text(app).splitlines()[-1]


async def test_concept_pages_and_their_links(tmp_path: Path) -> None:
    if not pages.concepts():
        pytest.skip("there are no concept pages")
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("C")
        screen = app.screen
        assert isinstance(screen, PageScreen)
        await until(pilot, lambda: screen.query_one(TextView).document.lines)
        assert [row.key for row in screen.table.rows] == [page.key for page in pages.concepts()]
        await pilot.press("j")
        await until(pilot, lambda: screen.query_one(TextView).source == pages.text(pages.concepts()[1]))
        await pilot.press("enter", "escape", "escape")
        assert isinstance(app.screen, CatalogueScreen)


async def test_link_from_a_concept_to_a_note_and_back(tmp_path: Path) -> None:
    linked = [
        (page, link)
        for page in pages.concepts()
        for link in layout(pages.text(page), 70).links
        if (found := pages.find(link.target)) is not None and found.kind == "note"
    ]
    if not linked:
        pytest.skip("no concept page has a link to a note")
    page, link = linked[0]
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        app.open_concept(page)
        await until(pilot, lambda: isinstance(app.screen, PageScreen) and app.screen.query(TextView))
        view = app.screen.query_one(TextView)
        await until(pilot, lambda: view.document.links)
        while view.link is None or view.link.target != link.target:
            await pilot.press("right_square_bracket")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CatalogueScreen))
        family = pages.find(link.target)
        variant = catalogue(app).variant
        assert family is not None and variant is not None and variant.family == family.name
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PageScreen))
        assert isinstance(app.screen, PageScreen) and app.screen.page == page
        await pilot.press("escape")
        assert isinstance(app.screen, CatalogueScreen)


async def test_search_leads_to_the_line(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+f")
        assert isinstance(app.screen, SearchScreen)
        await pilot.press(*"degradation problem")
        screen = app.screen
        await until(pilot, lambda: screen._hits)
        await pilot.press("down", "up", "enter")
        await until(pilot, lambda: not isinstance(app.screen, SearchScreen))
        await until(pilot, lambda: app.screen.query(TextView) and app.screen.query_one(TextView)._match is not None)
        view = app.screen.query_one(TextView)
        first = view._match
        await pilot.press("n", "N")
        assert view._match == first
        await pilot.press("slash", *"nothing like this at all")
        await until(pilot, lambda: "nothing has these words" in screen_text(app))


def test_search_puts_titles_first() -> None:
    hits = pages.search("resnet")
    assert hits[0].text.startswith("#")
    assert all("resnet" in hit.text.lower() or "resnet" in hit.page.title.lower() for hit in hits)
    assert pages.search("   ") == []


def test_links_of_notes_and_concepts_lead_somewhere() -> None:
    for page in (*pages.notes(), *pages.concepts()):
        assert pages.find(f"{'../concepts/' if page.kind == 'concept' else ''}{page.name}.md") == page
    assert pages.find("https://example.org/x.md") is None
    assert pages.find("nowhere.md") is None


def test_all_figures_of_a_page_are_filled_in() -> None:
    """The page on the 1×1 convolution names the parameters of two networks."""
    assert "97.5 M" in pages.text(pages.find("../concepts/one-by-one.md"))
    assert not [page.name for page in (*pages.notes(), *pages.concepts()) if "{{" in pages.text(page)]


async def test_copy_goes_to_the_terminal_and_says_so(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    copied: list[str] = []
    app.copy_to_clipboard = lambda text: copied.append(text)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        await pilot.press("y")
        assert copied and copied[0].splitlines()[0].split()[:3] == ["marked", "year", "network"]
        await until(pilot, lambda: "lines copied" in screen_text(app))
        await open_pane(pilot, "2", LayersPane, lambda pane: pane.table.rows)
        await pilot.press("y")
        assert "conv" in copied[1]


@pytest.mark.parametrize(("keys", "suffix"), [((), "txt"), (("j",), "json"), (("j", "j"), "svg")])
async def test_export_writes_a_file(tmp_path: Path, monkeypatch, keys: tuple[str, ...], suffix: str) -> None:
    monkeypatch.chdir(tmp_path)
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE, notifications=True) as pilot:
        listed = [row.key for row in catalogue(app).table.rows]
        await pilot.press("e", *keys, "enter")
        await until(pilot, lambda: list(tmp_path.glob(f"*.{suffix}")))
        await until(pilot, lambda: "written" in screen_text(app))
    (path,) = tmp_path.glob("cnn-explorer-*")
    contents = path.read_text()
    if suffix == "json":
        networks = [row["name"] for row in json.loads(contents)["data"]]
        assert networks == listed
    assert ("<svg" in contents) == (suffix == "svg")


async def test_export_into_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("e")
        app.screen.query_one("#export-folder", Input).value = str(tmp_path / "missing")
        await pilot.press("enter")
        await until(pilot, lambda: "cannot be" in screen_text(app) and "No such file" in screen_text(app))


async def test_themes_go_round_and_are_remembered(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=WIDE) as pilot:
        assert app.theme == "dark"
        for theme in (*THEMES[1:], THEMES[0], THEMES[1]):
            await pilot.press("T")
            assert app.theme == theme
    again = make_app(tmp_path)
    async with again.run_test(size=WIDE):
        assert again.theme == THEMES[1]
    chosen = make_app(tmp_path, options=AppOptions(theme="high-contrast"))
    async with chosen.run_test(size=WIDE):
        assert chosen.theme == "high-contrast"


async def test_ascii_draws_nothing_else(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", "20261120-143022-x-digits-7f3a", "finished").curve(50)
    app = make_app(tmp_path, options=AppOptions(ascii=True))
    async with app.run_test(size=WIDE) as pilot:
        for keys in ((), ("2",), ("3",), ("5",), ("v",), ("v",), ("b",), ("w",), ("question_mark",)):
            await pilot.press(*keys)
            await pilot.pause(0.3)
            drawn = screen_text(app)
            assert drawn.isascii(), (keys, {character for character in drawn if not character.isascii()})


async def test_two_panes_stand_side_by_side_where_there_is_room(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(220, 50)) as pilot:
        screen = catalogue(app)
        await pilot.press("2")
        await until(pilot, lambda: len(screen.panes.shown) == 2)
        await until(pilot, lambda: screen.query_one(LayersPane).table.rows and screen.query_one(TextView).source)
        await pilot.resize_terminal(140, 40)
        await until(pilot, lambda: len(screen.panes.shown) == 1)
        assert isinstance(screen.panes.pane, LayersPane)


async def test_what_stays_is_not_searched_for_garbage_while_the_app_runs(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test() as pilot:
        await until(pilot, lambda: gc.get_freeze_count() > 10_000)
        before = gc.get_freeze_count()
        await app.load_charts()
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


async def test_a_message_covers_the_frame_at_the_foot_and_no_line_of_text(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        app.show_message("a short message")
        await until(pilot, lambda: "a short message" in screen_text(app))
        toast = app.screen.query_one("Toast")
        assert (toast.region.y, toast.region.height) == (28, 1)

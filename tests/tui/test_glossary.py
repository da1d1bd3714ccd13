"""The glossary: every term that a screen names is there, and `?` shows those of the screen."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer import cli, tui
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config import recipe
from cnn_explorer.trainer.runs.states import STATES
from cnn_explorer.tui.launch import form
from cnn_explorer.tui.networks import glossary, pages
from cnn_explorer.tui.screens.help import HelpScreen
from cnn_explorer.tui.widgets.rows import RowList
from support.tui import FakeRun, make_app, screen_text, until

TUI = Path(tui.__file__).parent
CLI = Path(cli.__file__).parent


def classes_with_terms() -> dict[str, tuple[str, ...]]:
    """The ``TERMS`` of every class of the app."""
    found = {}
    for module in pkgutil.walk_packages([str(TUI)], f"{tui.__name__}."):
        for name, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if "TERMS" in vars(value):
                found[name] = vars(value)["TERMS"]
    return found


TERMS = classes_with_terms()


def column_titles() -> set[str]:
    """The titles that the sources give to columns, in the app and in the table of `runs`."""
    calls = (
        node
        for folder in (TUI, CLI)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Column", "_Column")
    )
    firsts = (call.args[0] for call in calls if call.args)
    return {
        str(first.value) for first in firsts if isinstance(first, ast.Constant) and isinstance(first.value, str)
    } - {""}


def test_an_entry_is_read_with_its_names_and_its_continuation() -> None:
    source = (
        "# Title\n\nSome words.\n\n- **best %** (`best`, top): the highest\n  so far.\n- **◆**: marked.\n- no entry\n"
    )
    assert glossary.parse(source) == [
        glossary.GlossaryEntry("best %", ("best", "top"), "the highest so far."),
        glossary.GlossaryEntry("◆", (), "marked."),
    ]


def test_every_bullet_of_the_page_is_an_entry_and_a_sentence() -> None:
    bullets = [line for line in glossary.PATH.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    assert len(bullets) == len(glossary.entries()) > 200
    terms = [entry.term for entry in glossary.entries()]
    assert len(terms) == len(set(terms)), "a term stands once"
    for entry in glossary.entries():
        assert entry.text.endswith(".") and ". " not in entry.text, entry


@pytest.mark.parametrize("name", sorted(TERMS))
def test_terms_that_a_screen_names_exist(name: str) -> None:
    assert [term for term in TERMS[name] if glossary.find(term) is None] == []


def test_every_column_title_is_a_term() -> None:
    titles = column_titles()
    assert {"field", "img/s", "taken for", "kind of layer", "age"} <= titles
    assert {title for title in titles if glossary.find(title) is None} == set()


def test_settings_tags_and_states_are_terms() -> None:
    named = {*recipe.FIELDS, *form.TITLES, *STATES}
    named |= {tag for variant in registry.variants().values() for tag in variant.tags}
    assert {name for name in named if glossary.find(name) is None} == set()
    for state in STATES.values():
        entry = glossary.find(state.name)
        assert entry is not None and entry.label(state.name) == f"{state.symbol} {state.name}"


def test_headings_of_the_notes_are_terms() -> None:
    bodies = [family.body for family in registry.families()]
    headings = {line[3:] for body in bodies for line in body.splitlines() if line.startswith("## ")}
    assert {heading for heading in headings if glossary.find(heading) is None} == set()


def test_a_legend_names_each_entry_once_and_skips_what_is_unknown() -> None:
    found = glossary.legend(["MACs", "resnet18", "multiply-adds", "◆"])
    assert list(found) == ["MACs", "◆"] and found["◆"].startswith("a network that is marked")


def test_a_legend_calls_each_entry_as_the_screen_does() -> None:
    names = ["run", "data set", "calibrate", "○ queued", "queued", "rho", "►"]
    assert list(glossary.legend(names)) == ["run", "data set", "calibrate", "○ queued", "ρ rho", "►"]


def test_the_glossary_is_a_page_that_search_finds() -> None:
    page = pages.find("../glossary.md")
    assert page is not None and page in pages.concepts()
    assert "receptive field" in pages.text(page)
    assert page in {hit.page for hit in pages.search("taken for")}


def legend_of(screen: Any) -> list[str]:
    """The terms in the help, below the heading of the legend."""
    rows = screen.query_one(RowList).rows
    start = next(place for place, row in enumerate(rows) if row.key == "legend")
    return [row.cells[0].strip() for row in rows[start + 1 :] if row.cells[0].strip()]


async def test_help_shows_the_signs_and_columns_of_the_screen_at_80x24(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        terms = legend_of(app.screen)
        assert {"year", "MACs", "small stem", "◆"} <= set(terms)
        assert "gained" not in terms and "img/s" not in terms, "columns of other screens"
        await pilot.press("G")
        last = app.screen.query_one(RowList).rows[-1].cells[1]
        await until(pilot, lambda: last in screen_text(app))
        await pilot.press("escape", "2", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert {"field", "×N", "concat"} <= set(legend_of(app.screen)), "the pane in sight"


async def test_help_of_the_runs_and_of_the_form(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", "finished")
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await until(pilot, lambda: app.runs)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        terms = legend_of(app.screen)
        assert {"best %", "course", "✓ finished", "† crashed"} <= set(terms) and "kernel" not in terms
        await pilot.press("escape", "a", "t", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert {"setting", "weight decay", "ρ rho", "channels last"} <= set(legend_of(app.screen))
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "LaunchScreen")


async def test_help_explains_the_points_of_the_chart_and_the_brackets_of_the_tree(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("v", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "(+ …)" in legend_of(app.screen) and "•" not in legend_of(app.screen)
        await pilot.press("escape", "v", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert {"·", "•", "◉", "◆"} <= set(legend_of(app.screen))


async def test_help_calls_a_column_as_its_title_does(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter", "6", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        assert "end" in legend_of(app.screen) and "run" not in legend_of(app.screen), "the titles of the columns"


async def test_the_form_offers_its_help_at_its_foot_and_cuts_no_name_of_a_setting(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("t")
        await until(pilot, lambda: type(app.screen).__name__ == "LaunchScreen")
        assert "? help" in screen_text(app).splitlines()[-1]
        column = app.screen.query_one("#settings", RowList).columns[0]
        assert column.width >= max(map(len, form.TITLES))

"""The palette finds commands, networks, runs and concepts, and goes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.core import key_bindings, palette
from cnn_explorer.tui.core.palette import PaletteEntry
from cnn_explorer.tui.networks import pages
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.page import PageScreen
from cnn_explorer.tui.screens.palette import PaletteScreen
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.search import SearchScreen
from support.tui import FakeRun, make_app, screen_text, until
from textual.pilot import Pilot

RUN = "20261120-143022-lenet5-digits-7f3a"


def test_everything_is_listed_once_and_can_be_found() -> None:
    found = palette.entries(key_bindings.of("app", "catalogue"), ())
    assert {entry.key for entry in found if entry.kind == "network"} == set(registry.variants())
    assert {entry.key for entry in found if entry.kind == "concept"} == {page.name for page in pages.concepts()}
    assert len({(entry.kind, entry.key) for entry in found}) == len(found)
    assert all("\n" not in entry.title + entry.more for entry in found), "one line each"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("resnet18", ("network", "resnet18")),
        ("VGG16", ("network", "vgg16")),
        ("vit_b_16", ("network", "vit_base_16")),
        ("attention", ("concept", "attention")),
        ("train this", ("command", "train")),
        ("concept pages", ("command", "show_concepts")),
    ],
)
def test_the_best_comes_first(text: str, first: tuple[str, str]) -> None:
    found = palette.entries(key_bindings.of("app", "catalogue"), ())
    best = palette.matching(found, text)[0]
    assert (best.kind, best.key) == first


def test_without_words_there_are_the_commands_and_the_newest_runs() -> None:
    runs = [PaletteEntry("run", str(number), str(number)) for number in range(99)]
    found = palette.matching([PaletteEntry("network", "a", "a"), *runs, PaletteEntry("command", "c", "c")], "")
    assert [entry.key for entry in found] == ["c", *map(str, range(palette.NEWEST_RUNS))]
    assert palette.matching(found, "nothing such") == []


async def choose(pilot: Pilot, key: str, words: str) -> None:
    app: Any = pilot.app
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
    await pilot.press(*words.replace(" ", "\x00").replace("\x00", " "))
    await until(pilot, lambda: app.screen.query_one("#palette-words").value == words)
    await pilot.press("enter")


async def test_the_palette_leads_to_networks_runs_and_concepts(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", RUN, "finished")
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.runs)
        await choose(pilot, "ctrl+p", "7f3a")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.run_id == RUN)
        await choose(pilot, "colon", "convnext_tiny")
        await until(pilot, lambda: isinstance(app.screen, CatalogueScreen) and app.screen.variant is not None)
        assert app.screen.variant.name == "convnext_tiny" and app.screen.has_class("-reading")
        await until(pilot, lambda: "ConvNeXt" in screen_text(app))
        await choose(pilot, "colon", "attention")
        await until(pilot, lambda: isinstance(app.screen, PageScreen))
        assert app.screen.page.name == "attention"


async def test_an_entry_is_one_line_without_an_emoji_and_the_second_keys_work(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"densenet")
        await until(pilot, lambda: "densenet121" in screen_text(app))
        text = screen_text(app)
        lines = [line for line in text.splitlines() if "densenet" in line and "network" in line]
        assert len(lines) >= 6 and "🔎" not in text
        await pilot.press("escape", "E")
        await until(pilot, lambda: isinstance(app.screen, SearchScreen))

"""What `e` writes as JSON: numbers, lists, dates and null, and not the words and bars of the tables."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.core.screen_export import Export
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.widgets.catalogue_list_view import CatalogueList
from cnn_explorer.tui.widgets.layers_pane import LayersPane
from cnn_explorer.tui.widgets.walk_pane import WalkPane
from support.tui import FakeRun, eval_record, make_app, train_record, until
from textual.pilot import Pilot

NAMES = ("20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d")
DRESSED = re.compile(r"[▁-█·↑★◆●]|\d\s?%|^[+-]?[\d,.]+$|\d×\d|\d [kMG]$")
"""A bar, a sign, or a number as a table writes it."""


def data_of(export: Export | None) -> Any:
    """Return the data of the JSON file; nothing in it is NaN, which JSON has not."""
    assert export is not None

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    whole = json.loads(export.json(), parse_constant=refuse)
    assert whole["schema"] == 2 and whole["name"] == export.name
    return whole["data"]


def strings(value: Any) -> list[str]:
    """Return all texts in data; those of keys are no values."""
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in strings(item)]
    return [value] if isinstance(value, str) else []


def make_run(folder: Path, name: str = NAMES[0]) -> FakeRun:
    run = FakeRun(folder, name, "finished")
    run.status("finished", best={"accuracy": 0.75, "epoch": 2}, test={"accuracy": 0.7, "loss": 0.5, "epoch": 2})
    run.write(*(train_record(step, math.inf if step == 50 else 1.0, step / 400) for step in range(300)))
    run.write(
        *(eval_record(epoch, accuracy) | {"per_class": [accuracy, None]} for epoch, accuracy in ((1, 0.5), (2, 0.75)))
    )
    test = {"split": "test", "best_epoch": 2, "per_class": [0.7, None], "confusion": [[7, 3], [0, 0]]}
    run.write(eval_record(3, 0.7, 0.5) | test)
    return run


async def open_run(pilot: Pilot, app: Any) -> None:
    await pilot.press("w")
    await until(pilot, lambda: app.runs)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._news and app.screen._news.test)


async def test_the_list_of_runs_is_data(tmp_path: Path) -> None:
    for name in NAMES:
        make_run(tmp_path / "runs", name)
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: len(app.runs) == 2)
        await pilot.press("w", "m", "p")
        await until(pilot, lambda: len(app.screen._previews) == 2)
        exported = app.screen.export()
        runs = data_of(exported)["runs"]
        assert "75.0" in exported.text, "the text stays as it was"
    assert [run["id"] for run in runs] == [NAMES[1], NAMES[0]]
    first = runs[0]
    assert (first["best_accuracy"], first["best_epoch"], first["test_accuracy"]) == (0.75, 2, 0.7)
    assert first["created"] == "2026-11-20T14:30:22Z" and first["eta_s"] is None and first["tags"] == []
    assert first["accuracies"] == [0.5, 0.75] and first["images_per_s"] == 1000.0
    assert [(run["marked"], run["pinned"]) for run in runs] == [(True, True), (False, False)]
    assert not any(DRESSED.search(text) for text in strings(runs))


async def test_every_tab_of_a_run_is_data(tmp_path: Path) -> None:
    make_run(tmp_path / "runs")
    app: Any = make_app(tmp_path)
    found = {}
    async with app.run_test(size=(120, 40)) as pilot:
        await open_run(pilot, app)
        for number, name in enumerate(("overview", "charts", "classes", "confusion", "log", "setup"), start=1):
            await pilot.press(str(number))
            await until(
                pilot,
                lambda name=name: app.screen.tabs.current == name and app.screen.tabs.pane in app.screen.tabs.shown,
            )
            if name == "charts":
                await until(pilot, lambda: app.screen.tabs.pane.drawn.charts)
            if name == "overview":
                await until(pilot, lambda: app.screen.tabs.pane.known)
            if name == "classes":
                await until(pilot, lambda: app.screen.tabs.pane.table.rows)
            found[name] = data_of(app.screen.export())
    assert found["setup"]["run"]["best_accuracy"] == 0.75 and found["setup"]["config"]["recipe"] == {"epochs": 10}
    assert found["setup"]["status"]["test"]["epoch"] == 2
    for name in ("overview", "charts"):
        assert found[name]["run"] == found["setup"]["run"] and found[name]["reading"]
    accuracy = found["overview"]["curves"]["accuracy"]
    assert accuracy["test"] == {"epoch": 2, "value": 0.7} and accuracy["validation"][1] == {"epoch": 2, "value": 0.75}
    charts = {chart["metric"]: chart["curves"] for chart in found["charts"]["curves"]["charts"]}
    loss = {curve["curve"]: curve for curve in charts["loss"]}
    assert len(loss["train"]["x"]) == len(loss["train"]["value"]) == 300
    assert loss["train"]["value"][49:52] == [1.0, None, 1.0], "an infinite loss is null"
    assert (loss["test"]["x"], loss["test"]["value"], loss["test"]["weights_epoch"]) == ([2], [0.5], 2)
    cat, dog = found["classes"][:2]
    assert (cat["class"], cat["now"], cat["gained"], cat["course"]) == ("0", 0.75, 0.25, [0.5, 0.75])
    assert (cat["test"], cat["taken_for"], cat["taken_for_count"]) == (0.7, "1", 3)
    assert (dog["now"], dog["test"], dog["taken_for"], dog["taken_for_count"]) == (None, None, None, 0)
    assert found["confusion"]["confusion"] == [[7, 3], [0, 0]] and found["confusion"]["classes"][1] == "1"
    assert found["log"] == {"lines": []}


@pytest.mark.parametrize(
    ("key", "kind", "count", "wanted"),
    [
        ("1", CatalogueList, 2, {"name": "lenet5", "year": 1998, "marked": False}),
        ("2", LayersPane, 4, {"parameters": 50, "output": [10], "level": 0}),
        ("3", WalkPane, 2, {"type": "Block", "parameters": 20, "output": [4, 4, 4], "phrase": "does something"}),
    ],
)
async def test_tables_of_networks_are_data(tmp_path: Path, key: str, kind: type, count: int, wanted: dict) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("/", *"lenet5", "enter", key)
        await until(pilot, lambda: app.screen.query(kind) and app.screen.query_one(kind).export() is not None)
        await until(pilot, lambda: len(data_of(app.screen.query_one(kind).export())) >= count)
        data = data_of(app.screen.query_one(kind).export())
    assert any({name: row[name] for name in wanted} == wanted for row in data)
    # A title may hold a number, as ResNet-18 does; a figure may not be a text.
    plain = [{name: value for name, value in row.items() if name not in ("title", "phrase")} for row in data]
    assert not [text for text in strings(plain) if DRESSED.search(text)]


async def test_steps_that_are_to_be_predicted_are_not_in_the_data(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("/", *"lenet5", "enter", "3")
        await until(pilot, lambda: app.screen.query(WalkPane) and app.screen.query_one(WalkPane).export() is not None)
        app.screen.query_one(WalkPane).table.focus()
        await pilot.press("h")
        await until(pilot, lambda: data_of(app.screen.query_one(WalkPane).export())[-1]["output"] is None)
        assert data_of(app.screen.query_one(WalkPane).export())[0]["output"] is not None


def test_data_are_made_when_they_are_written_and_hold_no_nan() -> None:
    made: list[int] = []

    def data() -> list[float]:
        made.append(1)
        return [1.5, math.nan, math.inf]

    export = Export("curves", "text", data)
    assert not made
    assert data_of(export) == [1.5, None, None] and made == [1]
    assert data_of(Export("code", "text")) == "text"

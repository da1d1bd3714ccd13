"""The comparison: what was published, what one's own runs came to, what changed; and Enter opens the chosen network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.runs.annotations import Notes
from cnn_explorer.trainer.runs.run import RunSnapshot
from cnn_explorer.tui.runs import comparison
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.compare import CompareScreen
from support.tui import FakeRun, make_app, screen_text, until
from textual.pilot import Pilot

NAMES = ["resnet18", "resnet34"]


def run_of(network: str, dataset: str = "digits", **status: object) -> RunSnapshot:
    config = {"network": {"name": network}, "data": {"name": dataset}}
    return RunSnapshot("x", Path("/runs/x"), config, dict(status), Notes(), "finished")


def test_published_accuracies_are_rows_and_published_sizes_are_not() -> None:
    variants = [registry.variants()[name] for name in NAMES]
    rows = {row.key: row for row in comparison.of_catalogue(variants, "imagenet")}
    published = [key for key in rows if key.startswith("published")]
    assert published and not any(size in " ".join(published) for size in comparison.SIZES)
    name = published[0].removeprefix("published ")
    assert rows[published[0]].cells[1:] == tuple(str(variant.published.get(name, "")) for variant in variants)
    assert rows[published[0]].tab == "note" and rows["macs"].tab == "layers"


def test_own_runs_are_told_by_data_set_and_the_test_counts_before_the_validation() -> None:
    runs = [
        run_of("resnet18", test={"accuracy": 0.91}, best={"accuracy": 0.99}),
        run_of("resnet18", test={"accuracy": 0.93}, best={"accuracy": 0.94}),
        run_of("resnet34", best={"accuracy": 0.95}),
        run_of("resnet34", "folder:/images/pets", best={"accuracy": 0.5}),
        run_of("vgg16", "cifar10", best={"accuracy": 0.5}),
        run_of("resnet18", "mnist"),
    ]
    rows = comparison.of_runs(NAMES, runs)
    assert [row.cells for row in rows] == [
        ("my runs on digits", "93.0 % test", "95.0 % valid."),
        ("my runs on pets/", "", "50.0 % valid."),
    ]


def test_what_changed_stands_under_the_two_that_it_concerns() -> None:
    changes = [{"kind": "Conv2d 3×3", "before": 0, "after": 2, "verdict": "added"}]
    rows = comparison.of_diff(2, ["a", "b", "c"], changes)
    assert [row.cells for row in rows] == [("what changed", "", "before", "after"), ("+ Conv2d 3×3", "", "–", "2")]
    assert comparison.of_diff(1, ["a", "b", "c"], changes)[0].cells == ("what changed", "before", "after", "")
    assert [row.tab for row in rows] == ["", "diff"]
    assert comparison.of_diff(1, ["a", "b"], [])[1].cells == ("the same layers",)


async def open_compare(pilot: Pilot) -> CompareScreen:
    app: Any = pilot.app
    app.screen.go_to(NAMES[0])
    await pilot.press("m")
    app.screen.go_to(NAMES[1])
    await pilot.press("m", "c")
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    await until(pilot, lambda: any(row.key.startswith("diff") for row in screen.table.rows), "what changed")
    return screen


async def test_enter_opens_the_chosen_network_where_it_tells_of_the_row(tmp_path: Path) -> None:
    FakeRun(tmp_path / "runs", "20261120-143022-x-digits-7f3a", "finished", network=NAMES[1]).status(
        "finished", best={"accuracy": 0.875}
    )
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_compare(pilot)
        await until(pilot, lambda: "87.5 % valid." in screen_text(app), "the run")
        text = screen_text(app)
        assert "published top-1" in text and "+ Conv2d 3×3" in text and f"▸{NAMES[0]}" in text
        await pilot.press("right")
        await until(pilot, lambda: f"▸{NAMES[1]}" in screen_text(app))
        for name in NAMES[:2]:
            title = screen_text(app).splitlines()[screen.table.region.y]
            await pilot.click(screen.table, offset=(title.index(name) - screen.table.region.x, 0))
            await until(pilot, lambda name=name: f"▸{name}" in screen_text(app))
        assert screen.table.go_to("macs")
        await pilot.press("enter")
        assert isinstance(app.screen, CatalogueScreen)
        await until(pilot, lambda: app.screen.panes.current == "layers" and app.screen.in_panes)
        assert app.screen.table.key == NAMES[1]


async def test_every_row_of_the_comparison_leads_somewhere(tmp_path: Path) -> None:
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_compare(pilot)
        assert all(screen._tabs[row.key] for row in screen.table.rows if row.selectable)
        await pilot.press("z")
        assert not screen.query_one("#compare-bars").display and "z zoom" in screen_text(app).splitlines()[-1]
        await pilot.press("escape")
        assert screen.query_one("#compare-bars").display and app.screen is screen

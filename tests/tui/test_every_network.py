"""A walk through the architectures with the real helper process: each tab of each one opens and says something true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.app import AppPaths, ExplorerApp
from cnn_explorer.tui.widgets.network_panes import NAMES
from support.families import FAMILIES, SAMPLE
from support.tui import catalogue, screen_text, until

FIRST = list(SAMPLE)[::2]


@pytest.mark.parametrize(
    "names",
    [FIRST, pytest.param([name for name in FAMILIES if name not in FIRST], marks=pytest.mark.slow)],
    ids=["first", "others"],
)
async def test_every_tab_of_every_architecture(tmp_path: Path, names: list[str]) -> None:
    app = ExplorerApp(AppPaths(tmp_path / "runs", tmp_path / "data", tmp_path / "state", tmp_path / "cache"))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = catalogue(app)
        for family in [family for family in registry.families() if family.name in names]:
            variant = family.variants[0]
            assert screen.go_to(variant.name)
            for number, key in enumerate(NAMES, start=1):
                await pilot.press(str(number))
                await until(pilot, lambda key=key: screen.panes.pane_of(key) and screen.panes.current == key)
                pane: Any = screen.panes.pane_of(key)
                wanted = f"{variant.name}: {key}"
                await until(
                    pilot,
                    lambda pane=pane, name=variant.name: (
                        not pane.waiting and pane.selection is not None and pane.selection.network == name
                    ),
                    wanted,
                )
                if key == "layers":
                    assert pane.table.network is not None, f"{wanted}: {pane.words}"
                    assert pane.table.network.parameters == variant.paper_stem.parameters, wanted
                    assert pane.table.network.macs == variant.paper_stem.macs, wanted
                if key == "walk":
                    assert pane.table.rows, wanted
                if key == "code":
                    assert pane.query_one("CodeView").source.path == family.code_path, wanted
            text = screen_text(app)
            assert "cannot be read" not in text and "helper process ended" not in text, text

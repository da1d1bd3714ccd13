"""Screenshots, few of them: a change is looked at, then accepted with `pytest --snapshot-update`.

They are drawn from a catalogue and runs of this file alone. Another version of Textual draws differently, so they are
compared with the one they were made with only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import textual
from cnn_explorer.machine import Gpu
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.app import AppPaths, ExplorerApp
from cnn_explorer.tui.charts.view import ChartedRun
from cnn_explorer.tui.core.saved_state import SavedState
from cnn_explorer.tui.launch import commands
from cnn_explorer.tui.runs.machine import Readings, Sample, Sampler
from cnn_explorer.tui.screens import launch_commands
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from cnn_explorer.tui.widgets.image_view import ImageView
from cnn_explorer.tui.widgets.machine_strip import MachineStrip
from cnn_explorer.tui.widgets.reading_view import ReadingView
from support.tui import HELPER_COMMAND, FakeRun, eval_record, explorer, screen_text, until
from textual.app import App
from textual.pilot import Pilot

MADE_WITH = "8.2.8"
pytestmark = pytest.mark.skipif(textual.__version__ != MADE_WITH, reason=f"the images were made by Textual {MADE_WITH}")

NOTE = """+++
title = "{title}"
year = {year}
authors = "A. Author, B. Author"
venue = "A venue, {year}"
paper = "A paper about {title}"
arxiv = ""
builds_on = []
tags = ["cnn", "sample"]
deviations = ["None that anybody would notice."]

[variants.{name}_a]
title = "{title} A"
small = [3, 32, 32]
[variants.{name}_b]
title = "{title} B"

[counts.{name}_a]
parameters = 61706
macs = 416520
[counts.{name}_a.small]
input = [3, 32, 32]
classes = 10
parameters = 11173962
macs = 555422720
[counts.{name}_b]
parameters = 138357544
macs = 15470264320
+++

# {title}

## What hurt

Everything was *slow*, **wrong** and written in `FORTRAN`; see [the other one](second.md) for what came of it.

```text
   x ──┬── conv3×3 ── ReLU ──(+)──▶
       └───── identity ──────┘
```

## What it costs

{{{{variants}}}}

1. A list
2. of two things
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A working directory with two notes and two runs; the names of folders on the screen are relative to it."""
    notes = tmp_path / "notes"
    notes.mkdir()
    for name, title, year in (("first", "The First", 1998), ("second", "The Second", 2015)):
        (notes / f"{name}.md").write_text(NOTE.format(name=name, title=title, year=year))
    monkeypatch.setattr(registry, "NOTES", notes)
    monkeypatch.delenv("CNN_EXPLORER_MODELS", raising=False)
    # Whatever terminal the tests run in: images are drawn with colours.
    monkeypatch.setattr(ImageView, "by_colour", property(lambda view: True))
    monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.chdir(tmp_path)
    # Neither this machine's speed nor its GPUs belong into an image.
    monkeypatch.setattr(launch_commands, "DELAY_S", 600.0)
    monkeypatch.setattr(commands, "devices", lambda: ())
    run = FakeRun(Path("runs"), "20261120-143022-first_a-digits-7f3a", "finished", network="first_a")
    run.curve(300)
    run.write(*(eval_record(epoch, 0.5 + 0.1 * epoch, 1.5 - 0.3 * epoch) for epoch in range(1, 4)))
    run.status("finished", best={"accuracy": 0.8, "epoch": 3}, test={"accuracy": 0.79, "loss": 0.7})
    FakeRun(Path("runs"), "20261120-133022-second_b-digits-8c1d", "diverged", network="second_b").curve(20)
    registry.forget()
    yield tmp_path
    registry.forget()


def app_of(network: str = "", **saved_state: object) -> ExplorerApp:
    Path("state").mkdir(exist_ok=True)
    Path("state/app.json").write_text(json.dumps({"network": network, **saved_state}))
    return ExplorerApp(AppPaths(Path("runs"), Path("data"), Path("state"), Path("cache")), HELPER_COMMAND, 0.05)


async def still(pilot: Pilot) -> None:
    """Wait until nothing has moved on the screen for a while."""
    seen: list[str] = []
    while len(seen) < 4 or len(set(seen[-4:])) > 1:
        await pilot.pause(0.1)
        seen.append(screen_text(pilot.app))


async def idle(pilot: Pilot) -> None:
    """The runs are read, the helper is ready, the pane is filled."""
    app = explorer(pilot)
    await until(pilot, lambda: app.runs and app.helper.state.word == "ready", "runs and helper")
    await until(pilot, lambda: app.screen.query("TextView, ChartGrid"))
    await still(pilot)


def snapshot(snap_compare, app: ExplorerApp, size: tuple[int, int], *keys: str) -> bool:
    """Whether the screen after some keys looks as before; the helper's answers are waited for."""

    async def go(pilot: Pilot) -> None:
        await idle(pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.1)
            await until(pilot, lambda: not explorer(pilot).questions.pending)
        await still(pilot)

    return snap_compare(app, terminal_size=size, run_before=go)


SIZES = {"80x24": (80, 24), "120x40": (120, 40), "140x40": (140, 40), "200x60": (200, 60)}


@pytest.mark.parametrize("size", ["80x24", "140x40", "200x60"])
def test_catalogue(place: Path, snap_compare, size: str) -> None:
    assert snapshot(snap_compare, app_of("first_b"), SIZES[size])


def test_catalogue_in_sixteen_colours(place: Path, snap_compare) -> None:
    assert snapshot(snap_compare, app_of("first_b", theme="ansi-dark"), SIZES["140x40"])


KEYS = {
    "note-80x24": ("enter",),
    "layers-80x24": ("2", "j", "j"),
    "layers-200x60": ("2", "enter", "j"),
    "walk-140x40": ("3", "enter", "enter"),
    "diff-140x40": ("5", "enter"),
    "chart-140x40": ("v", "v"),
    "compare-120x40": ("m", "j", "m", "c"),
    "bench-120x40": ("b", "plus", "J"),
    "launch-80x24": ("t",),
}


@pytest.mark.parametrize("name", KEYS)
def test_screen(place: Path, snap_compare, name: str) -> None:
    assert snapshot(snap_compare, app_of("first_b"), SIZES[name.rpartition("-")[2]], *KEYS[name])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one GPU, always equally busy."""
    gib = 1 << 30
    gpu = Gpu(0, "GPU-0", "card", 141 * gib, 120 * gib, 0.87, 512.0, 700.0, 61.0, ())
    sample = Sample(0.34, 0.2, 12 * gib, 128 * gib, 3 * gib, (gpu,), {0: 18 * gib})
    load = (0.1, 0.3, 0.9, 0.87)
    monkeypatch.setattr(Sampler, "_read", lambda sampler, nvml: Readings(sample, load, {0: load}))


def charts_done(grid: ChartGrid) -> bool:
    """Whether what is in sight was drawn in the size that it has now."""
    return not grid.is_on_screen or (grid.drawn.wanted == grid._wanted and set(grid.in_sight) <= set(grid.drawn.charts))


async def curves_drawn(pilot: Pilot) -> None:
    """The charts of the screen show all records, and the strip, where it is to be seen, one sample."""
    await idle(pilot)
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: screen.charts.drawn.runs and screen.charts.drawn.runs[0].records == 303)
    await until(pilot, lambda: all(strip.readings for strip in screen.query(MachineStrip)))
    await until(pilot, lambda: all(row.cells[6].strip() for row in screen.table.rows))
    await until(pilot, lambda: screen.query_one(ReadingView).findings)
    await still(pilot)


@pytest.mark.parametrize("size", ["80x24", "120x40", "200x60"])
def test_runs(place: Path, machine: None, snap_compare, size: str) -> None:
    assert snap_compare(app_of(screen="runs"), terminal_size=SIZES[size], run_before=curves_drawn)


@pytest.mark.parametrize("size", ["80x24", "200x60"])
def test_run(place: Path, machine: None, snap_compare, size: str) -> None:
    async def ready(pilot: Pilot) -> None:
        await curves_drawn(pilot)
        await pilot.press("enter", "2")
        screen = pilot.app.screen
        assert isinstance(screen, RunScreen)
        await until(pilot, lambda: screen.query_one(ReadingView).findings and screen._known())
        await until(pilot, lambda: len(screen.tabs.shown) == 1 + (pilot.app.size.width >= 200))
        await until(pilot, lambda: all(charts_done(grid) for grid in screen.query(ChartGrid)))
        await still(pilot)

    assert snap_compare(app_of(screen="runs"), terminal_size=SIZES[size], run_before=ready)


def test_help(place: Path, snap_compare) -> None:
    assert snapshot(snap_compare, app_of("first_a"), (100, 50), "question_mark")


class ChartsApp(App):
    """The charts of both runs over one another, the first of them pinned."""

    def __init__(self, **saved_state: Any) -> None:
        super().__init__()
        self.saved_state = SavedState(**saved_state)

    def compose(self):
        yield ChartGrid(self.saved_state, every_s=0.05)

    def on_mount(self) -> None:
        runs = sorted(Path("runs").iterdir())
        self.query_one(ChartGrid).show(
            [ChartedRun(run, run.name[16:24], slot, slot == 0) for slot, run in enumerate(runs)]
        )


def test_one_chart(place: Path, snap_compare) -> None:
    async def ready(pilot: Pilot) -> None:
        grid = pilot.app.query_one(ChartGrid)
        grid.focus()
        await until(pilot, lambda: [curves.records for curves in grid.drawn.runs] == [20, 303])
        for key in ("z", "full_stop", "left", "left", "left"):
            await pilot.press(key)
            await pilot.pause()
            await until(pilot, lambda: grid.drawn.wanted == grid._wanted and grid.drawn.charts)
        await still(pilot)

    app = ChartsApp(axis="step", log_charts="loss")
    assert snap_compare(app, terminal_size=SIZES["80x24"], run_before=ready)

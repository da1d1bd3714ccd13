"""Ten texts in one write each, and chunks of random keys against a model: in the app itself, and over a real terminal."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.tui.networks import pages
from cnn_explorer.tui.screens.launch import LaunchScreen
from support import reporting_app
from support.patience import PATIENCE_S
from support.terminal import InTerminal
from support.tui import FakeRun, make_app, until, write
from support.typing_model import CTRL_F, CTRL_P, CTRL_U, ESCAPE, TypingModel, more_observed, observed, random_chunk
from support.weekly import first_of

SIZE = (120, 40)
RUN = "20261120-143022-lenet5-digits-7f3a"
WORDS = f"{RUN} lenet5 digits finished"

TEXTS: dict[str, dict[str, Any]] = {
    "/vgg16": {"stack": ["CatalogueScreen"], "field": "vgg16"},
    f"{CTRL_F}dropout": {"stack": ["CatalogueScreen", "SearchScreen"], "field": "dropout"},
    f"{CTRL_P}Quit now": {"stack": ["CatalogueScreen", "PaletteScreen"], "field": "Quit now"},
    "C/resid": {"stack": ["CatalogueScreen", "PageScreen", "SearchScreen"], "field": "resid"},
    "w\r5/eDyq": {"stack": ["CatalogueScreen", "RunsScreen", "RunScreen", "SearchScreen"], "field": "eDyq"},
    "w/DDyS": {"stack": ["CatalogueScreen", "RunsScreen"], "field": "DDyS"},
    "w#tag one": {"stack": ["CatalogueScreen", "RunsScreen", "RunNotesScreen"], "field": "tag one"},
    "wnDrop every": {"stack": ["CatalogueScreen", "RunsScreen", "RunNotesScreen"], "field": "Drop every"},
    f"tj\r{CTRL_U}mnist\r": {"stack": ["CatalogueScreen", "LaunchScreen"], "form": {"dataset": "mnist"}},
    f"tjjj\r{CTRL_U}15\r": {"stack": ["CatalogueScreen", "LaunchScreen"], "form": {"epochs": "15"}},
    "5\rAlenet5": {"stack": ["CatalogueScreen", "PickScreen"], "field": "lenet5", "pane": "diff"},
    f"i{CTRL_U}64\r": {"stack": ["CatalogueScreen"], "field": None, "image": 64},
    f"e\t{CTRL_U}/tmp/TDy": {"stack": ["CatalogueScreen", "ExportScreen"], "field": "/tmp/TDy"},
}
"""What is typed at the catalogue in one write, and what of it may be seen afterwards."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, and a current folder in which exported files would lie."""
    FakeRun(tmp_path / "runs", RUN, "finished")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def nothing_happened(folder: Path) -> bool:
    """Whether no run was deleted, changed or started, and no file written."""
    run = sorted(found.name for found in (folder / "runs" / RUN).iterdir())
    return (
        os.listdir(folder / "runs") == [RUN] and run == ["run.json", "status.json"] and not os.listdir(folder / "here")
    )


def seen(app: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    found = observed(app) | more_observed(app)
    return {key: found.get(key) for key in wanted}


@pytest.mark.parametrize("text", first_of(TEXTS, 6))
async def test_a_text_in_one_write(folder: Path, text: str) -> None:
    app = make_app(folder)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.runs)
        before = app.saved_state.view, app.theme, app.saved_state.quiz
        await write(pilot, text)
        assert seen(app, TEXTS[text]) == TEXTS[text]
        assert (app.saved_state.view, app.theme, app.saved_state.quiz) == before
    assert nothing_happened(folder)


@pytest.mark.parametrize(
    ("words", "stack"),
    [
        ("watch runs", ["CatalogueScreen", "RunsScreen"]),
        ("convolution bench", ["CatalogueScreen", "BenchScreen"]),
        ("no command is called so", ["CatalogueScreen", "PaletteScreen"]),
    ],
)
async def test_enter_takes_what_the_palette_found_for_these_words(folder: Path, words: str, stack: list[str]) -> None:
    app = make_app(folder)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.runs)
        await write(pilot, f"{CTRL_P}{words}\r")
        assert [type(screen).__name__ for screen in app.screen_stack[1:]] == stack


async def test_arrows_and_enter_choose_among_what_the_search_found(folder: Path) -> None:
    hits = pages.search("dropout")
    app: Any = make_app(folder)
    async with app.run_test(size=SIZE) as pilot:
        chosen: list[Any] = []
        app._found = chosen.append
        await write(pilot, f"{CTRL_F}dropout\x1b[B\x1b[B\r")
        assert chosen == [(hits[2], "dropout")] and hits[0] != hits[2]
        await write(pilot, f"{CTRL_F}dropout\r")
        assert chosen[1:] == [(hits[0], "dropout")]


async def chunks_in_the_app(folder: Path, seed: int, count: int) -> None:
    """Write so many random chunks, and compare with the model after each."""
    chance, model, written = random.Random(seed), TypingModel(WORDS), []
    app = make_app(folder)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.runs)
        before = {key: more_observed(app)[key] for key in ("view", "theme", "pane", "quiz")}
        for _ in range(count):
            written.append(random_chunk(chance, model))
            await write(pilot, written[-1])
            assert observed(app) == model.expected(), written[-3:]
            assert seen(app, before) == before and nothing_happened(folder), written[-3:]
        assert app._exception is None


@pytest.mark.parametrize("seed", first_of(range(8), 1))
async def test_random_chunks_act_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(LaunchScreen, "plan_later", lambda _: None)  # it would time a training in a process
    await chunks_in_the_app(folder, seed, 25)


# Over a terminal


class Reported:
    """The app on a pty, and what it says of itself."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "report.json"
        self.terminal = InTerminal(folder, command=(reporting_app.__file__, str(folder), str(self.report)))
        self.pressed = 0

    def press(self, keys: str) -> None:
        """Write keys of one character each."""
        self.terminal.press(keys.encode())
        self.pressed += len(keys)

    def ask(self) -> dict[str, Any]:
        """Return what the app says once everything that was typed has been read and handled.

        Without the count of keys it might answer before it has read them; an escape is a key after a tenth of a second.
        """
        deadline = time.monotonic() + PATIENCE_S
        while (said := self._answer()).pop("keys") < self.pressed or "problem" in said:
            assert time.monotonic() < deadline, json.dumps(said)
        return said

    def _answer(self) -> dict[str, Any]:
        self.report.unlink(missing_ok=True)
        deadline = time.monotonic() + PATIENCE_S
        os.kill(self.terminal.pid, signal.SIGUSR1)
        while not self.report.exists():
            assert time.monotonic() < deadline
            assert self.terminal.wait(0.05) is None, self.terminal.seen[-2000:]
        return json.loads(self.report.read_text())

    def comes_to(self, wanted: dict[str, Any]) -> None:
        """Wait until the app says what is wanted: what a helper's answer changes comes after the keys.

        It may take as long as it likes while it goes on: on a busy machine hundreds of chunks do.
        """
        deadline, found = time.monotonic() + PATIENCE_S, None
        while found != wanted:
            before, said = found, self.ask()
            found = {key: said.get(key) for key in wanted}
            if found != before:
                deadline = time.monotonic() + PATIENCE_S
            assert time.monotonic() < deadline, json.dumps([found, wanted])

    def goes_to(self, home: dict[str, Any]) -> None:
        """Press escape until the app is there."""
        deadline = time.monotonic() + PATIENCE_S
        while (said := self._said(home)) != home:
            assert time.monotonic() < deadline, json.dumps([said, home])
            self.press(ESCAPE)

    def _said(self, keys: Iterable[str]) -> dict[str, Any]:
        said = self.ask()
        return {key: said.get(key) for key in keys}


@pytest.fixture
def busy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Processes that do nothing but compute, as many as the parameter says, for as long as this one lives."""
    code = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    burners = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(request.param)]
    yield
    for burner in burners:
        burner.kill()
        burner.wait()


LOADS = first_of([0, 2, 10], 1)


@pytest.mark.parametrize("busy", LOADS, indirect=True)
def test_texts_in_one_write_over_a_terminal(folder: Path, busy: None) -> None:
    home = {"stack": ["CatalogueScreen"], "field": None}
    app = Reported(folder)
    with app.terminal:
        app.terminal.read_until(b"1 run")
        before = {key: app.ask()[key] for key in ("view", "theme", "quiz")}
        kept: dict[str, str] = {}
        for text, wanted in TEXTS.items():
            app.press(text)
            if "form" in wanted:  # the form has kept what was changed before
                kept |= wanted["form"]
                wanted = wanted | {"form": dict(kept)}
            app.comes_to(wanted | before)
            app.goes_to(home)
        assert nothing_happened(folder)
        app.terminal.press(b"\x11")
        assert app.terminal.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("busy", [0, 10], indirect=True)
def test_200_random_chunks_over_a_terminal(folder: Path, busy: None) -> None:
    chance, model, written = random.Random(200), TypingModel(WORDS), []
    app = Reported(folder)
    with app.terminal:
        app.terminal.read_until(b"1 run")
        before = {key: app.ask()[key] for key in ("view", "theme", "pane", "quiz")}
        for _ in range(200):
            written.append(random_chunk(chance, model))
            app.press(written[-1])
            app.comes_to(model.expected() | before)
            assert nothing_happened(folder), written[-3:]
        app.terminal.press(b"\x11")
        assert app.terminal.wait() == 0

"""The app in a real terminal (a pty): what it loads for the first screen, and that it ends when the terminal is gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.runs import reader
from cnn_explorer.trainer.runs.run import RunSnapshot
from support.patience import PATIENCE_S
from support.terminal import FIRST_NETWORK, InTerminal
from support.tui import FakeRun, make_app
from support.weekly import first_of

HEAVY = {"torch", "torchvision", "torchinfo", "numpy", "einops", "plotext", "textual_plotext", "PIL"}


@pytest.mark.parametrize("term", first_of(["xterm-256color", "linux", "xterm", "screen", "vt100"], 2))
def test_opens_and_quits_on_any_terminal(tmp_path: Path, term: str) -> None:
    with InTerminal(tmp_path, term) as app:
        app.read_until(FIRST_NETWORK)
        app.press(b"jq")
        assert app.wait() == 0


def test_ends_when_the_line_drops_and_leaves_the_run_alone(tmp_path: Path) -> None:
    run = FakeRun(tmp_path / "runs", "20261120-143022-lenet5-digits-7f3a", alive=True)
    with InTerminal(tmp_path) as app:
        app.read_until(FIRST_NETWORK)
        app.read_until(b"1 training")
        app.hang_up()
        assert app.wait() is not None
    assert sorted(path.name for path in run.path.iterdir()) == ["lock", "run.json", "status.json"]


def test_a_training_started_in_the_app_outlives_its_terminal(tmp_path: Path) -> None:
    """From the keyboard to a finished run: the line drops in the middle, the run goes on, the next start shows it."""

    def runs() -> list[RunSnapshot]:
        return reader.list_runs(tmp_path / "runs") if (tmp_path / "runs").is_dir() else []

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, [(run.id, run.state, run.error) for run in runs()]
            time.sleep(0.05)

    with InTerminal(tmp_path) as app:
        app.read_until(FIRST_NETWORK)
        app.press(b"t")
        app.read_until(b"ctrl+s")
        app.press(b"jjj\r")  # to the number of epochs, and into it
        assert app.wait(1) is None
        app.press(b"\x7f" * 4 + b"15\r")
        app.press(b"\x13")  # ctrl+s
        app.read_until(b"training")
        wait_for(lambda: [run.state for run in runs()] == ["training"])
        app.hang_up()
        assert app.wait() is not None
    assert runs()[0].live
    wait_for(lambda: not runs()[0].live)
    assert runs()[0].state == "finished" and runs()[0].epochs == 15 and runs()[0].test_accuracy is not None
    with InTerminal(tmp_path) as app:
        app.read_until(b"1 run")
        app.press(b"w")
        app.read_until(b"finished")
        app.press(b"q")
        assert app.wait() == 0


def test_ends_without_a_terminal_even_when_nobody_says_so(tmp_path: Path) -> None:
    """SIGHUP blocked: the app has to notice by itself, and not spin meanwhile."""
    code = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})\n"
        "from cnn_explorer.cli.main import main; import sys; sys.argv = ['cnn-explorer']; main()"
    )
    with InTerminal(tmp_path, command=("-c", code)) as app:
        app.read_until(FIRST_NETWORK)
        app.hang_up()
        assert app.wait() is not None


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_signals_end_it_and_restore_the_screen(tmp_path: Path, number: signal.Signals) -> None:
    with InTerminal(tmp_path) as app:
        app.read_until(FIRST_NETWORK)
        os.kill(app.pid, number)
        assert app.wait() is not None
        assert b"\x1b[?1049l" in app.seen


def test_without_a_terminal_it_says_so() -> None:
    done = subprocess.run([sys.executable, "-m", "cnn_explorer"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "terminal" in done.stderr


def test_first_screen_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import asyncio, json, sys
from pathlib import Path
from typing import Any
from cnn_explorer.tui.app import ExplorerApp, AppPaths

async def main():
    app = ExplorerApp(AppPaths(*[Path(sys.argv[1])] * 4))
    async with app.run_test(size=(120, 40)) as pilot:
        early = sorted(sys.modules)
        assert app.screen.table.rows
        await pilot.pause(1.0)
        print(json.dumps([early, sorted(sys.modules)]))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    early, later = json.loads(done.stdout)
    assert not HEAVY & set(early)
    assert not HEAVY & set(later)


def test_what_draws_charts_is_loaded_beside_the_thread_of_the_screen(tmp_path: Path) -> None:
    """A run that is opened in the moment in which the runs appear, and a form some time after the start."""
    code = """
import asyncio, json, sys, threading
from pathlib import Path
from typing import Any

class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name in ("textual_plotext", "cnn_explorer.tui.screens.run", "cnn_explorer.tui.screens.launch"):
            loaded[name.rpartition(".")[2]] = threading.current_thread() is threading.main_thread()

loaded = {}
sys.meta_path.insert(0, Recorder())
from cnn_explorer.tui import app as module
from support.tui import FakeRun, make_app, until

async def main():
    folder = Path(sys.argv[1])
    FakeRun(folder / "runs", "20261120-143022-lenet5-digits-7f3a", "finished").curve(10)
    if sys.argv[2] == "form":
        module.CHARTS_AFTER_S = 0.01
    app = make_app(folder)
    async with app.run_test(size=(80, 24)) as pilot:
        if sys.argv[2] == "run":
            await until(pilot, lambda: app.runs)
            await pilot.press("w", "enter", "3")
            await until(pilot, lambda: type(app.screen).__name__ == "RunScreen" and app.screen.tabs.current == "classes")
        else:
            await until(pilot, lambda: app._charts_loaded)
            await pilot.press("t")
            await until(pilot, lambda: type(app.screen).__name__ == "LaunchScreen")
    print(json.dumps(loaded))

asyncio.run(main())
"""
    for what in ("run", "form"):
        command = [sys.executable, "-c", code, str(tmp_path / what), what]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout) == {"textual_plotext": False, "run": False, "launch": False}


async def test_a_byte_that_is_no_utf8_ends_no_reading_of_keys(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    driver: Any = app.get_driver_class()(app)
    read, write = os.pipe()
    heard: list[str] = []

    def hear(message: Any) -> None:
        heard.append(getattr(message, "character", None) or "")
        if heard[-1] == "6":
            driver.exit_event.set()

    driver.fileno, driver.process_message = read, hear
    os.write(write, b"\xff\xe9/vgg16")
    try:
        driver.run_input_thread()
    finally:
        os.close(read)
        os.close(write)
    assert "".join(heard).endswith("/vgg16")

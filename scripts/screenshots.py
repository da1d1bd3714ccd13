"""The images of the app in docs/screens, made by the app itself.

    python scripts/screenshots.py [--out docs/screens]

Trains LeNet-5 on the bundled digits first (half a minute), so that the runs shown are real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Read when Textual is imported: the images have all colours wherever they are made.
os.environ["TEXTUAL_COLOR_SYSTEM"] = "truecolor"

from cnn_explorer.tui.app import AppPaths, ExplorerApp
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from textual.pilot import Pilot
from textual.widgets import Static

SHOTS: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {
    "catalogue": ((140, 34), ("to:resnet18", "rest")),
    "catalogue-80x24": ((80, 24), ("to:resnet18", "rest")),
    "layers": ((140, 34), ("to:resnet18", "2", "tables", "enter", "j", "j", "j", "j")),
    "walk": ((140, 34), ("to:vgg16", "3", "tables", "enter")),
    "code": ((140, 34), ("to:resnet18", "4", "rest", "enter", "right_square_bracket", "rest")),
    "diff": ((140, 34), ("to:resnet18", "5", "tables", "enter")),
    "family-tree": ((140, 34), ("to:resnet18", "v", "rest")),
    "chart": ((140, 34), ("to:resnet18", "v", "v", "rest")),
    "compare": ((120, 34), ("to:resnet18", "m", "to:vgg16", "m", "to:mobilenet_v2_100", "m", "c", "tables")),
    "bench": ((120, 30), ("b", "rest", "J", "J", "right", "right")),
    "question": ((140, 34), ("to:resnet18", "p", "rest")),
    "concepts": ((120, 34), ("C", "rest", "j", "j", "j", "j", "j", "enter", "rest")),
    "launch": ((120, 34), ("to:lenet5", "t", "plan")),
    "runs": ((160, 42), ("w", "rest", "m", "j", "m", "k", "rest", "rest", "rest", "rest", "rest", "rest")),
    "run": ((120, 40), ("w", "rest", "enter", "rest", "rest", "rest", "rest")),
    "classes": ((120, 34), ("w", "rest", "enter", "rest", "3", "rest", "rest", "rest")),
    "help": ((100, 44), ("question_mark", "rest")),
    "wide": ((200, 50), ("to:resnet18", "2", "tables", "enter")),
}
PATIENCE_S = 600.0


async def wait(pilot: Pilot, done: Callable[[], bool], what: str) -> None:
    """Let the app work until something is done."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come")
        await pilot.pause(0.05)


async def take(name: str, paths: AppPaths, out: Path) -> None:
    """Save one image."""
    size, steps = SHOTS[name]
    app = ExplorerApp(paths)
    async with app.run_test(size=size) as pilot:
        await wait(pilot, lambda: bool(app.runs), "the runs")
        for step in steps:
            if step.startswith("to:"):
                screen = app.screen_stack[1]
                assert isinstance(screen, CatalogueScreen)
                if not screen.go_to(step.removeprefix("to:")):
                    raise SystemExit(f"{name}: no network is called {step.removeprefix('to:')}")
            elif step == "tables":
                await pilot.pause(0.5)
                await wait(pilot, lambda: not app.questions.pending, "the answer of the helper process")
            elif step == "plan":
                estimate = app.screen.query_one("#estimate", Static)
                await wait(pilot, lambda line=estimate: "an epoch" in str(line.render()), "the time of a training")
            elif step != "rest":
                await pilot.press(step)
            await pilot.pause(0.4)
        await wait(pilot, lambda: app.helper.state.word != "loading", "torch in the helper process")
        (out / f"{name}.svg").write_text(app.export_screenshot(title="cnn-explorer"), encoding="utf-8")
        print(name)


def train(runs: Path) -> None:
    """Two short real runs, side by side."""
    words = ["--dataset", "digits", "--epochs", "12", "--runs", str(runs)]
    commands = [[sys.executable, "-m", "cnn_explorer", "train", name, *words] for name in ("lenet5", "basic_convnet")]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit("a training failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/screens"))
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(SHOTS)}; all without any")
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # The names of folders stand on the screens, so they are relative ones.
        os.chdir(folder)
        train(Path("runs"))
        for name in chosen.names or SHOTS:
            state = Path(tempfile.mkdtemp(dir=folder))
            asyncio.run(take(name, AppPaths(Path("runs"), Path("data"), state, Path("cache")), out))


if __name__ == "__main__":
    main()

"""What the tests of the app share: run directories written by hand, an app in folders of its own, a helper without torch."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.tui.app import AppPaths, ExplorerApp
from cnn_explorer.tui.charts.followers import Followers
from cnn_explorer.tui.networks.layer_tree import LayerNode, from_answer
from cnn_explorer.tui.screens.catalogue import CatalogueScreen
from cnn_explorer.tui.screens.runs import RunsScreen
from textual._context import visible_screen_stack
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.pilot import Pilot

from support.patience import PATIENCE_S

# Answers every question about a network of two blocks and a head; "die" in the name ends the process.
FAKE_HELPER = r"""
import json, sys, time
print(json.dumps({"ready": True, "torch": "0"}), flush=True)
def row(name, layer_type, inputs, output, parameters, children=(), **more):
    made = {"name": name, "kind": "module", "type": layer_type, "inputs": [inputs], "output": output,
            "parameters": parameters,
            "macs": parameters, "output_bytes": 64, "receptive_field": 3, "is_global": False, "depth": 1, "settings": {},
            "executed": True, "times": 1, "phrase": "does something", "formulas": [], "children": list(children)}
    axes = more.get("layout", {"axes": []})["axes"][1:]
    one = {"inputs": [inputs[1:]], "output": output[1:], "axes": axes, "batch_axis": 0}
    return made | more | {"of_one_image": one}
def layers(asked):
    if "refuse" in asked["network"] or asked.get("image_size") == 1:
        raise ValueError("the image is too small")
    side = asked.get("image_size", 8)
    formula = {"what": "parameters", "general": "k·k·C_in·C_out", "filled": "1·1·5·4", "value": 20}
    layout = {"axes": ["batch", "channels", "rows", "columns"], "rows": 4, "columns": 4, "frames": None, "channels": 4,
              "extra": 0, "windows": 1}
    details = {"settings": {"kernel_size": [1, 1], "stride": [2, 2]}, "formulas": [formula], "layout": layout, "opens": True}
    conv = row("body.conv", "Conv2d", [1, 3, side, side], [1, 4, 4, 4], 20, **details)
    plus = row("body", "+", [1, 4, 4, 4], [1, 4, 4, 4], 0, kind="operation")
    body = row("body", "Block", [1, 3, side, side], [1, 4, 4, 4], 20, [conv, plus], times=2)
    head = row("head", "Linear", [1, 4, 4, 4], [1, 10], 10, is_global=True)
    return {"schema": 1, "tree": row("", "Net", [1, 3, side, side], [1, 10], 50, [body, head])}
def summary(asked):
    return {"name": asked["network"], "input": [3, 8, 8], "parameters": 50, "macs": 50, "depth": 3, "receptive_field": 3,
            "is_global": True, "memory_bytes": 4096, "parts": [["body", 40, 40], ["head", 10, 10]]}
def answer(asked):
    what = asked["ask"]
    if what == "layers":
        return layers(asked)
    if what == "memory":
        return {"memory": [{"batch": asked["batch"], "precision": "fp32", "peak": 2048}]}
    if what == "diff":
        changes = [{"kind": "Conv2d 3×3", "before": 0, "after": 2, "parameters_before": 0, "parameters_after": 40,
                    "verdict": "added"}]
        return {"changes": changes, "summaries": [summary(asked["older"]), summary(asked["newer"])]}
    if what == "summaries":
        return {"summaries": [summary(one) for one in asked["networks"]]}
    if what == "torchinfo":
        if "refuse" in asked["network"]:
            raise ValueError("torchinfo cannot run it")
        rows = [f"{asked['network']} row {number} " + "wide " * 40 + "the end" for number in range(60)]
        head = f"depth {asked['depth']}: " + " ".join(asked["columns"])
        return {"text": "\n".join([head, "├─Conv2d: 1-1", *rows]), "deepest": 4,
                "explanation": ["torchinfo counts no attention here. " + "A long reason. " * 8]}
    if what == "pixel":
        assert len(asked["image"]) == 28
        bias = 0.75 if asked.get("weights", "").endswith("best.pt") and asked["num_classes"] == 10 else 0.25
        parts = [{"name": "values", "numbers": [[[2.0]]]}, {"name": "weights", "numbers": [[[0.5]]]}]
        return {"layer": asked["layer"], "kind": "convolution", "position": asked["position"], "shape": [1, 4, 4, 4],
                "parts": parts, "rule": f"the sum of 1 products 1.0000 + bias {bias:.4f}", "computed": 1 + bias,
                "total": 1 + bias}
for line in sys.stdin:
    asked = json.loads(line)
    if "die" in asked.get("network", ""):
        print("killed on purpose", file=sys.stderr)
        sys.exit(3)
    try:
        reply = {"id": asked["id"], "answer": answer(asked)}
    except Exception as error:
        reply = {"id": asked["id"], "error": str(error)}
    print(json.dumps(reply), flush=True)
"""
HELPER_COMMAND = (sys.executable, "-S", "-c", FAKE_HELPER)  # without site: the helper starts in half the time


def train_record(step: int, loss: float = 1.0, accuracy: float = 0.5) -> dict:
    """A training record as the trainer writes it."""
    return {
        "kind": "train",
        "step": step,
        "epoch": step / 100,
        "images": step * 128,
        "time": step * 0.5,
        "loss": loss,
        "accuracy": accuracy,
        "images_per_s": 1000.0,
    }


def eval_record(epoch: int, accuracy: float, loss: float = 1.0) -> dict:
    """A record of the validation after an epoch."""
    step = epoch * 100
    times = {"step": step, "epoch": epoch, "images": step * 128, "time": step * 0.5}
    return {"kind": "eval", "split": "validation", "loss": loss, "accuracy": accuracy, **times}


class FakeRun:
    """A run directory written by hand; ``lock`` holds its lock, as a living trainer would."""

    def __init__(
        self, runs: Path, name: str, state: str = "training", *, alive: bool = False, network: str = "lenet5"
    ) -> None:
        self.path = runs / name
        self.path.mkdir(parents=True)
        self.lock = RunLock.acquire(self.path) if alive else None
        config = {
            "schema": 1,
            "id": name,
            "created": "2026-11-20T14:30:22Z",
            "network": {"name": network},
            "data": {"name": "digits", "classes": list("0123456789")},
            "recipe": {"epochs": 10},
        }
        (self.path / "run.json").write_text(json.dumps(config))
        self.status(state)

    def status(self, state: str, **more: object) -> None:
        """Write status.json."""
        values = {"schema": 1, "state": state, "phase": "epoch 3 of 10", "progress": 0.3, **process.identity(), **more}
        (self.path / "status.json").write_text(json.dumps(values))

    def write(self, *records: dict) -> None:
        """Append records."""
        self.append("".join(json.dumps(record) + "\n" for record in records))

    def append(self, text: str) -> None:
        """Append anything."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(text)

    def curve(self, count: int) -> None:
        """Append a falling loss of ``count`` steps."""
        self.write(*(train_record(step, 2.3 * math.exp(-step / 100), step / count) for step in range(count)))


def make_app(folder: Path, **options: Any) -> ExplorerApp:
    """An app whose runs, data and memory lie in ``folder`` and whose helper needs no torch."""
    paths = AppPaths(folder / "runs", folder / "data", folder / "state", folder / "cache")
    arguments: dict[str, Any] = {"helper_command": HELPER_COMMAND, "watch_every_s": 0.05} | options
    return ExplorerApp(paths, **arguments)


async def until(pilot: Pilot, condition, what: str = "", patience_s: float = PATIENCE_S) -> None:
    """Let the app work until ``condition()`` is true."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what or condition}"
        await pilot.pause(0.02)


def catalogue(app: App[Any]) -> CatalogueScreen:
    """Return the catalogue, which must be the screen at the top."""
    assert isinstance(app.screen, CatalogueScreen)
    return app.screen


def explorer(pilot: Pilot) -> ExplorerApp:
    """Return the app under a pilot."""
    assert isinstance(pilot.app, ExplorerApp)
    return pilot.app


def screen_text(app: App[Any]) -> str:
    """What is to be seen on the screen at the top, as text."""
    # As the app sets it for its own paints. A screen that is painted here before that would else be without what is to be
    # seen through it, and keep it so.
    visible_screen_stack.set(app._background_screens)
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


def send(app: App, text: str) -> None:
    """Hand all events of one write to the app, as the driver does: without a moment between them."""
    parser = XTermParser()
    assert app._driver is not None
    for event in [*parser.feed(text), *parser.feed("")]:
        app._driver.process_message(event)


async def write(pilot: Pilot, text: str) -> None:
    """One write, and what comes of it."""
    send(pilot.app, text)
    await pilot.pause()
    await pilot.app._press_keys([])
    await pilot.pause()


async def open_runs(pilot: Pilot, count: int = 1) -> RunsScreen:
    await pilot.press("w")
    screen = pilot.app.screen
    assert isinstance(screen, RunsScreen)
    await until(pilot, lambda: len(screen.table.rows) == count, f"{count} runs in the list")
    return screen


def layer_node(**changes: Any) -> LayerNode:
    """Return a row of a layer table: a 3×3 convolution from 3 channels to 64, every second place."""
    values: dict[str, Any] = {
        "name": "conv",
        "kind": "module",
        "type": "Conv2d",
        "inputs": [[1, 3, 32, 32]],
        "output": [1, 64, 16, 16],
        "parameters": 1792,
        "macs": 1,
        "output_bytes": 4,
        "receptive_field": 3,
        "is_global": False,
        "executed": True,
        "times": 1,
        "phrase": "looks through a 3×3 window",
        "settings": {"kernel_size": [3, 3], "stride": [2, 2], "padding": [1, 1], "groups": 1, "bias": True},
        "formulas": [{"what": "parameters", "general": "k·k·C", "filled": "3·3·3·64 + 64", "value": 1792}],
        "children": [],
    }
    return from_answer(answered(values | changes))


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the shapes of one image, as the helper process sends it; the first axis is that of the batch."""
    one = {"inputs": [shape[1:] for shape in row["inputs"]], "output": row["output"][1:], "axes": (), "batch_axis": 0}
    return {**row, "of_one_image": one, "children": [answered(child) for child in row["children"]]}


def drawable(followers: Followers) -> set[Path]:
    """Return the runs whose history is in memory."""
    return {path for path, follower in followers._known.items() if follower.history is not None}

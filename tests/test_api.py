"""The Python interface: what it offers, loads, refuses and leaves alone; runs of own networks from end to end."""

from __future__ import annotations

import ast
import importlib
import json
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import cnn_explorer as cx
import numpy
import pytest
import torch
from cnn_explorer.cli import from_python
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.runs import requests
from support.patience import PATIENCE_S
from support.training import call, create_run, same, weights_of
from torch import nn

QUICK = {"threads": 1, "device": "cpu", "calibrate": False, "batch_size": 256}

OWN = '''
"""A network in a file of one's own, beside another file."""
import os
import time
import torch
from torch import nn
from mylayers import Squash


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 5, stride=4)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(0.2)
        self.squash = Squash()
        self.head = nn.LazyLinear(10)

    def forward(self, x):
        if "/runs/" in __file__ and self.training and self.norm.num_batches_tracked >= 8:
            while os.path.exists(os.environ.get("HOLD", "")):
                time.sleep(0.01)
        return self.head(self.dropout(self.squash(self.norm(self.conv(x)))).flatten(1))


class Broken(Net):
    def forward(self, x):
        if self.training and len(x) > 2:
            raise ZeroDivisionError("cannot go on")
        return super().forward(x)
'''
LAYERS = "from torch import nn\nclass Squash(nn.Module):\n    def forward(self, x):\n        return x.tanh()\n"


@pytest.fixture
def own(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the search path with ``mynet.py``; runs are written below ``home``."""
    folder = home / "src"
    folder.mkdir()
    (folder / "mynet.py").write_text(OWN)
    (folder / "mylayers.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(str(folder))
    before = list(sys.path)
    yield folder
    sys.path[:] = before
    for name in ("mynet", "mylayers"):
        sys.modules.pop(name, None)


def plan_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Have runs planned in this process, where torch is loaded, instead of in one of their own; both run one command.

    The process itself is what the tests of networks of one's own files and cells go through.
    """

    class Planned:
        def __init__(self, command: list[str], **_: object) -> None:
            self.words = command[command.index("cnn_explorer") + 1 :]
            self.returncode = 0

        def communicate(self) -> tuple[str, str]:
            capsys.readouterr()
            with pytest.MonkeyPatch.context() as patch:
                self.returncode = call(patch, *self.words)
            return capsys.readouterr()

    monkeypatch.setattr(from_python, "subprocess", SimpleNamespace(Popen=Planned, PIPE=None, DEVNULL=None))


@pytest.fixture
def planned_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plan_here(monkeypatch, capsys)


def made(kind: str = "Net") -> nn.Module:
    torch.manual_seed(5)
    network = getattr(importlib.import_module("mynet"), kind)(4)
    nn.Module.eval(network)(torch.zeros(1, 1, 28, 28))
    return network.train()


def words_of_numpy() -> list[int]:
    return numpy.random.get_state(legacy=False)["state"]["key"].tolist()


def python(code: str, **more: str) -> subprocess.CompletedProcess:
    """Run code as ``python -``, where its classes belong to __main__ and have no file."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | more
    return subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(code), capture_output=True, text=True, check=False, env=environment
    )


def until_trained_for_an_epoch(run: cx.Run) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while run.state in ("queued", "starting", "training") and not run.metrics("eval"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def let_go_when_asked_to_stop(run: cx.Run, hold: Path) -> None:
    """Remove the file for which the network waits as soon as the run is asked to stop, so that this comes in its middle."""
    while not requests.is_requested(run.path, requests.STOP):
        time.sleep(0.01)
    hold.unlink()


# What there is


def test_importing_and_listing_load_no_torch() -> None:
    code = "import sys, cnn_explorer as cx; cx.networks(tag='residual'); cx.runs(); cx.train; cx.Run; cx.UsageError\n"
    code += "from cnn_explorer.cli import from_python; from_python.words({'epochs': 1})\n"
    done = python(code + "print(sorted({'torch', 'numpy', 'textual', 'pandas'} & set(sys.modules)))")
    assert done.stdout == "[]\n", done.stderr


def test_every_name_is_there_and_documented() -> None:
    api = importlib.import_module("cnn_explorer.api")
    assert set(api.__all__) | {"__version__"} == set(cx.__all__) == set(dir(cx))
    for name in api.__all__:
        assert getattr(cx, name) is getattr(api, name), name
        assert name == "RunState" or getattr(cx, name).__doc__, name
    for name in dir(cx.Run):
        assert name.startswith("_") or getattr(cx.Run, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = getattr(cx, "trian")  # noqa: B009


def test_the_version_can_be_read_without_running_the_file() -> None:
    tree = ast.parse((Path(cx.__file__).parent / "settings.py").read_text())
    values = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VERSION"
    ]
    assert [ast.literal_eval(value) for value in values] == [cx.__version__]


def test_networks_are_those_of_the_catalogue() -> None:
    found = cx.networks()
    assert [network.name for network in found] == list(registry.variants())
    resnet = next(network for network in found if network.name == "resnet18")
    assert (resnet.parameters, resnet.year, resnet.family) == (11_689_512, 2015, "resnet")
    tagged = cx.networks(tag="attention")
    assert 0 < len(tagged) < len(found) and all("attention" in network.tags for network in tagged)
    with pytest.raises(cx.UsageError, match="did you mean 'residual'"):
        cx.networks(tag="residul")
    number: Any = 3
    with pytest.raises(cx.UsageError, match="tag: 3 is not the tag of any network; there are adaptation, "):
        cx.networks(tag=number)


def test_create_builds_what_is_asked_for() -> None:
    small = cx.create("resnet18", stem="small", num_classes=7, in_channels=1)
    with torch.no_grad():
        assert small.eval()(torch.zeros(2, 1, 32, 32)).shape == (2, 7)
    assert sum(p.numel() for p in cx.create("resnet18").parameters()) == 11_689_512
    assert cx.create("torchvision:squeezenet1_1", num_classes=4).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 4)
    assert isinstance(cx.create("torch.nn:Identity"), nn.Identity)
    counted: Any = numpy.int64(3)  # a class count often comes from numpy
    assert cx.create("lenet5", num_classes=counted).eval()(torch.zeros(1, 1, 28, 28)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("resnt18", {}, "did you mean 'resnet18'"),
        ("resnet18", {"stem": "smal"}, "choose one of imagenet, small"),
        ("alexnet", {"image_size": 3}, "alexnet"),
        ("googlenet", {"stem": "large"}, "is unknown"),
        ("torchvision:squeezenet1_1", {"stem": "small"}, "networks of the catalogue"),
        ("torchvision:squeezenet1_1", {"in_channels": 1}, "3 channels, not 1"),
        ("torchvision:raft_small", {}, "does not classify images"),
        ("timm:resnt18", {}, "did you mean"),
        ("own:Net", {}, "cnn_explorer.load"),
        (3, {}, "'int' is not a name"),
        ("resnet18", {"num_classes": 2.5}, "num_classes: 2.5 must be a whole number above zero"),
        ("resnet18", {"in_channels": True}, "in_channels: True must be"),
        ("lenet5", {"image_size": "28"}, "image_size: '28' must be"),
        ("torchvision:squeezenet1_1", {"num_classes": 0}, "num_classes: 0 must be"),
    ],
)
def test_create_refuses_in_one_line(name: Any, options: dict, words: str) -> None:
    with pytest.raises(cx.UsageError, match=words) as caught:
        cx.create(name, **options)
    assert "\n" not in str(caught.value)


def test_one_layer_is_not_several(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    one, two = nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert str(cx.anatomy(one)).splitlines()[0].endswith(" 1 layer with weights")
    assert str(cx.anatomy(two)).splitlines()[0].endswith(" 2 layers with weights")
    (tmp_path / "one.py").write_text("from torch import nn\n\n\ndef net():\n    return nn.Conv2d(3, 4, 3)\n")
    assert call(monkeypatch, "show", f"{tmp_path / 'one.py'}:net") == 0
    assert " 1 layer with weights on the longest path" in capsys.readouterr().out


def test_a_long_curve_is_one_line() -> None:
    """A cell of a notebook that ends in ``run.curve(…)`` shows it; hundreds of points would fill the page."""
    curve = cx.Curve("loss", "train", list(range(500)), [step / 10 for step in range(500)], [2.5] * 499 + [0.25])
    assert repr(curve) == "<Curve loss of train: 500 points, steps 0 to 499, last 0.25>"
    assert repr(cx.Curve("loss", "validation", [8], [1.0], [0.5])) == "<Curve loss of validation: 1 point, step 8, 0.5>"
    assert repr(cx.Curve("loss", "test", [], [], [])) == "<Curve loss of test: no points>"


def test_the_network_of_a_run_is_not_taken_for_a_file() -> None:
    with pytest.raises(cx.UsageError, match="is the network of a run"):
        cx.anatomy("own:Net")


# Options


def test_python_takes_the_options_of_the_command() -> None:
    assert set(get_type_hints(cx.TrainOptions)) == set(from_python.options()) - {"dataset"}


def test_options_become_flags() -> None:
    given = {
        "lr": 0.1,
        "augment": ["crop", "flip"],
        "class_weights": [1, 2.5],
        "channels_last": True,
        "tf32": False,
        "set": {"gamma": 0.5, "milestones": [0.5, 0.9]},
        "seed": None,
        "runs": Path("/x y"),
    }
    assert from_python.words(given) == [
        "--lr=0.1",
        "--augment=crop,flip",
        "--class-weights=1,2.5",
        "--channels-last",
        "--no-tf32",
        "--set=gamma=0.5",
        "--set=milestones=[0.5, 0.9]",
        "--runs=/x y",
    ]
    assert from_python.words({"augment": []}) == ["--no-augment"]
    assert from_python.words({"epochs": 2.0, "lr": numpy.float32(0.5)}) == ["--epochs=2", "--lr=0.5"]
    assert from_python.words({"init_from": cx.Run("/runs/a")}) == ["--init-from=/runs/a"]


def test_what_a_network_prints_does_not_hide_the_run(home: Path) -> None:
    text = '{"loud": 1}\n{\n}}\n{\n "id": "a",\n "path": "/runs/a"\n}\n'
    assert from_python._result(text)["path"] == "/runs/a"
    assert from_python._result('{"loud": 1}\n{"id": "b", "path": "/runs/b"}\n')["path"] == "/runs/b"
    with pytest.raises(cx.WorkError, match="nothing that can be read"):
        from_python._result("x\n{\n")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"epoch": 3}, TypeError, "no option 'epoch'; did you mean 'epochs'"),
        ({"detach": True}, TypeError, "no option 'detach'"),
        ({"channels_last": 1}, cx.UsageError, "True or False"),
        ({"epochs": True}, cx.UsageError, "must be a value"),
        ({"set": "gamma=1"}, cx.UsageError, "dictionary"),
        ({"epochs": "many"}, cx.UsageError, "^epochs: 'many' must be a whole number"),
        ({"epochs": 1.5}, cx.UsageError, "^epochs: 1.5 must be a whole number"),
        ({"lr": [0.1]}, cx.UsageError, r"^lr: \[0.1\] must be a number"),
    ],
)
def test_wrong_options_name_what_would_work(given: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cx.train("lenet5", **given)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"lr": -1}, "lr", "^lr: -1.0 must be above 0"),
        ({"batch_size": 0}, "batch_size", "^batch_size: 0 must be a number of images, at least 1"),
    ],
)
def test_what_the_process_of_its_own_refuses_names_the_argument(
    home: Path, given: dict, field: str, words: str
) -> None:
    with pytest.raises(cx.UsageError, match=words) as caught:
        cx.train("lenet5", **given)
    assert caught.value.field == field
    assert cx.runs() == []


# Training


def test_a_network_of_a_file_is_trained_stopped_resumed_and_loaded(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = own.parent / "hold"
    hold.touch()
    monkeypatch.setenv("HOLD", str(hold))
    network = made()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = QUICK | {"epochs": 6, "seed": 3, "keep": 1, "runs": own.parent / "runs"}
    with monkeypatch.context() as patch:
        plan_here(patch, capsys)
        straight = cx.train(network, "digits", **options)
    drawn = torch.get_rng_state(), random.getstate(), words_of_numpy()
    broken_off = cx.train(network, "digits", name="mine", **options)
    until_trained_for_an_epoch(broken_off)
    threading.Thread(target=let_go_when_asked_to_stop, args=(broken_off, hold), daemon=True).start()
    broken_off.stop()
    assert broken_off.state == "stopped"
    assert same(dict(broken_off.load("last").state_dict()), weights_of(broken_off.path, "last"))
    (own / "mynet.py").write_text("raise SystemExit('the run does not need this file any more')")
    assert broken_off.resume() is broken_off
    assert broken_off.wait(PATIENCE_S).state == straight.wait(PATIENCE_S).state == "finished"

    assert same(weights_of(straight.path), weights_of(broken_off.path))
    loaded = cx.load(broken_off)
    assert same(dict(loaded.state_dict()), weights_of(broken_off.path, "best")) and not loaded.training
    assert not same(dict(loaded.state_dict()), before)
    assert same(dict(network.state_dict()), before) and network.training
    assert torch.equal(torch.get_rng_state(), drawn[0]) and random.getstate() == drawn[1]
    assert words_of_numpy() == drawn[2]

    config = straight.config["network"]
    assert (config["name"], broken_off.config["network"]["name"]) == ("own:Net", "own:mine")
    for run in (straight, broken_off):
        assert not any(word.startswith("stored:") for word in run.config["argv"])
    assert config["own"]["path"] == f"{own / 'mynet.py'}:Net" and "runs the code" in config["own"]["warning"]
    first = torch.load(straight.path / "network" / "initial.pt", weights_only=True)["state_dict"]
    assert same(dict(first), before)
    assert [run.id for run in cx.runs()] == [broken_off.id, straight.id]
    assert cx.run("last") == broken_off == cx.run(broken_off.path) and cx.run(straight.id[-4:]) == straight


@pytest.mark.usefixtures("planned_here")
def test_what_a_run_tells(home: Path) -> None:
    run = cx.train("tiny", epochs=3, **QUICK).wait(PATIENCE_S)
    accuracy = run.curve("accuracy", "validation")
    assert accuracy.epochs == [1.0, 2.0, 3.0] and len(list(accuracy)) == 3
    best = run.best()
    assert best is not None and best.accuracy == max(accuracy.values) and best.step in accuracy.steps
    assert len(run.metrics("train")) == len(run.curve("lr")) > 0
    assert run.metrics("eval")[-1]["split"] == "test" and run.test_accuracy == run.metrics("eval")[-1]["accuracy"]
    assert len(run.metrics()) == sum(len(run.metrics(kind)) for kind in ("train", "eval", "event"))
    assert run.config["recipe"]["epochs"] == 3 and run.status["state"] == "finished" and run.log()
    scores = run.load()(run.inputs(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)))
    assert scores.shape == (2, 10)
    wrong: Any = run
    for ask, words in (
        (lambda: run.curve("accurcy"), "did you mean 'accuracy'"),
        (lambda: wrong.curve(split="val"), "choose one of train"),
        (lambda: wrong.metrics("evals"), "choose one of train, eval, event"),
        (lambda: wrong.load("bst"), "did you mean 'best'"),
        (run.stop, "nothing to stop"),
        (run.resume, "it is finished"),
        (
            lambda: run.inputs(torch.zeros(1, 8, 8)),
            r"^images: \(1, 8, 8\) must be of shape \(B, C, H, W\) with 1 channel$",
        ),
        (lambda: run.inputs(torch.zeros(2, 3, 8, 8)), r"^images: \(2, 3, 8, 8\) must be of shape"),
        (lambda: wrong.inputs([[0]]), "^images: 'list' is not a tensor"),
    ):
        with pytest.raises(cx.UsageError, match=words):
            ask()
    pandas = pytest.importorskip("pandas")
    assert list(accuracy.to_pandas()) == ["step", "epoch", "accuracy"]
    assert isinstance(run.metrics().to_pandas(), pandas.DataFrame)


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        ("run.wait('x')", "timeout: 'x' must be a number of seconds, or None for any time"),
        ("run.wait(float('nan'))", "timeout: nan must be a number of seconds, or None for any time"),
        ("run.stop([1])", "timeout: [1] must be a number of seconds, or None for any time"),
        ("run.log('a')", "lines: 'a' must be a whole number"),
        ("run.log(2.5)", "lines: 2.5 must be a whole number"),
        ("run.curve(5)", "curve: 5 is not the name of a quantity; choose one of epoch, loss, step"),
        ("run.curve([])", "curve: [] is not the name of a quantity; choose one of epoch, loss, step"),
        ("run.curve('loss', [])", "split: [] is unknown; choose one of train, validation, test"),
        ("run.metrics([])", "kind: [] is unknown; choose one of train, eval, event"),
        *((f"run.load({given})", f"checkpoint: {given} is unknown; choose one of best, last") for given in ("5", "[]")),
        ("cx.load(run, None)", "checkpoint: is unknown; choose one of best, last"),
        ("cx.load(5)", "run: 'int' names no run; an id, a directory, a tag or 'last' does"),
        ("cx.run('x', 5)", "folder: 5 is not a path"),
        ("cx.train('lenet5', runs=5)", "runs: 5 is not a path"),
        ("cx.train('lenet5', data=[1])", "data: [1] is not a path"),
        ("cx.train('lenet5', config=5)", "config: 5 is not a path"),
        ("cx.train('lenet5', init_from=5)", "init_from: 5 names no run"),
        ("cx.create('lenet5', num_classes=10**20)", f"num_classes: {10**20} is too large: at most 2,147,483,647"),
        ("cx.runs(5)", "folder: 5 is not a path"),
        ("cx.Run(None)", "path: is not the directory of a run; cnn_explorer.run takes ids and tags too"),
        ("cx.anatomy(nn.Linear(3, 2), (3,)).text('x')", "depth: 'x' must be a number of levels"),
        ("cx.networks(5)", "tag: 5 is not the tag of any network; there are adaptation, "),
    ],
)
def test_an_argument_of_another_kind_is_one_line(home: Path, ask: str, line: str) -> None:
    path, lock = create_run(home / "runs")
    lock.release()
    (path / "metrics.jsonl").write_text('{"kind": "train", "step": 1, "epoch": 1, "loss": 0.5}\n')
    with pytest.raises(cx.UsageError) as caught:
        eval(ask, {"cx": cx, "nn": nn, "run": cx.run(path.name)})
    assert str(caught.value).startswith(line)


@pytest.mark.usefixtures("planned_here")
def test_a_wait_can_end_before_the_run(home: Path) -> None:
    run = cx.train("tiny_slow", epochs=200, **QUICK)
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(0.05)
    run.stop()


def test_a_run_without_a_checkpoint_cannot_be_loaded(home: Path) -> None:
    path, lock = create_run(home / "runs")
    with pytest.raises(cx.WorkError, match="has no best checkpoint yet"):
        cx.run(path.name).load()
    lock.release()


@pytest.mark.usefixtures("planned_here")
def test_an_error_in_the_persons_forward_is_one_line(own: Path) -> None:
    run = cx.train(made("Broken"), "digits", epochs=1, **QUICK)
    line = OWN.splitlines().index('            raise ZeroDivisionError("cannot go on")') + 1
    with pytest.raises(
        cx.WorkError, match=rf"failed: ZeroDivisionError: cannot go on \(mynet.py, line {line}; traceback"
    ):
        run.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        (nn.Linear(3, 3), {}, r"'own:Linear' does not take images of 1×28×28"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(784, 7)),
            {},
            "returns 7 scores for an image, and digits has 10 classes",
        ),
        (nn.Conv2d(1, 10, 3), {}, "returns 2×10×26×26 for 2 images"),
        (
            nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(9, 10).requires_grad_(False)),
            {},
            "no parameters that",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Softmax(1)), {}, "returns probabilities"),
        (nn.Conv2d(1, 10, 3), {"name": "a b"}, "name: 'a b' must be letters"),
        ("lenet5", {"name": "x"}, "is for a network of your own"),
        ("resnt18", {}, "did you mean 'resnet18'"),
        ("lenet5", {"dataset": "digit"}, "did you mean 'digits'"),
        (3, {}, "neither a torch.nn.Module"),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).half(), {}, "weights in torch.float16, .* call .float()"),
        ("lenet5", {"name": 3}, "is for a network of your own"),
        (nn.Linear(784, 10), {"name": 3}, "name: 3 must be letters"),
    ],
)
@pytest.mark.usefixtures("planned_here")
def test_what_cannot_be_trained_is_refused_before_there_is_a_run(
    home: Path, network: Any, options: dict, words: str
) -> None:
    with pytest.raises(cx.UsageError, match=words) as caught:
        cx.train(network, **options)
    assert "\n" not in str(caught.value) and not list((home / "runs").glob("*"))


def test_a_call_at_the_top_of_the_networks_own_file_does_not_start_runs_without_end(own: Path) -> None:
    path = own / "mynet.py"
    path.write_text(
        OWN + "\nimport os, cnn_explorer\nif os.environ.get('TRAIN_ON_IMPORT'):\n    cnn_explorer.train(Net(4))\n"
    )
    network = made()
    os.environ["TRAIN_ON_IMPORT"] = "1"
    try:
        with pytest.raises((cx.UsageError, cx.WorkError), match="put it under if __name__"):
            cx.train(network, **QUICK)
    finally:
        del os.environ["TRAIN_ON_IMPORT"]
    assert not list((own.parent / "runs").glob("*"))


# Notebooks

CELL = """
import torch
from torch import nn
import cnn_explorer as cx

class Block(nn.Sequential):
    pass

class Net(nn.Module):
    width = 4
    def __init__(self, classes):
        super().__init__()
        self.body = Block(nn.Conv2d(1, self.width, 5, stride=4), nn.BatchNorm2d(self.width), nn.ReLU())
        self.head = nn.Linear(self.width, classes)
    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
"""
QUICK_CELL = "quick = dict(threads=1, device='cpu', calibrate=False, batch_size=256)\n"


def test_a_class_of_a_cell_is_trained_stopped_resumed_and_loaded(home: Path) -> None:
    pytest.importorskip("cloudpickle")
    code = """
    import json, time
    network = Net(10)
    run = cx.train(network, "digits", epochs=40_000, seed=1, **quick)
    while run.state != "training" or not run.metrics("train"):
        assert run.state in ("queued", "starting", "training"), run.error
        time.sleep(0.05)
    run.stop()
    Net.width = 9
    before = dict(vars(Net))
    loaded = run.load("last")
    assert isinstance(loaded, Net) and type(loaded.body) is Block
    assert dict(vars(Net)) == before and Net.width == 9
    del network, loaded
    old, Net = Net, None
    import gc; gc.collect()
    assert isinstance(run.load("last"), old) and old.width == 9
    run.resume()
    while run.state in ("queued", "starting"):
        time.sleep(0.05)
    run.stop()
    assert run.metrics("event").to_pandas()["name"].tolist().count("resumed") == 1
    print(json.dumps([str(run.path), run.config["network"]["own"]]))
    """
    done = python(CELL + QUICK_CELL + textwrap.dedent(code))
    assert done.returncode == 0, done.stderr
    path, own = json.loads(done.stdout.splitlines()[-1])
    assert own["pickled"] == "cloudpickle" and own["path"] == "notebook:Net" and "runs the code" in own["warning"]
    loaded: Any = cx.load(path, "last")
    assert same(dict(loaded.state_dict()), weights_of(Path(path), "last"))
    assert type(loaded).__name__ == "Net" and type(loaded).width == 4


@pytest.mark.slow
def test_the_same_cell_in_another_session_knows_its_class(home: Path) -> None:
    pytest.importorskip("cloudpickle")
    store = "import os, pathlib\nfrom cnn_explorer.models.own import stored, storing\n"
    store += "folder = pathlib.Path(os.environ['KEPT'])\n"
    kept = str(home / "kept")
    done = python(CELL + store + "storing.store(Net(10), 'own:Net', folder, print)", KEPT=kept)
    assert done.returncode == 0, done.stderr
    again = "network = stored.build(folder, {})\nprint(isinstance(network, Net), network.width)"
    assert python(CELL + store + again, KEPT=kept).stdout == "True 4\n"
    edited = CELL.replace("mean((2, 3))", "amax((2, 3))")
    assert python(edited + store + again, KEPT=kept).stdout == "False 4\n"


@pytest.mark.slow
def test_a_class_or_function_of_a_cell_is_called_for_the_data(home: Path) -> None:
    pytest.importorskip("cloudpickle")
    code = """
    def make(num_classes, in_channels):
        return nn.Sequential(Block(nn.Conv2d(in_channels, 4, 9, stride=9)), nn.Flatten(), nn.Linear(36, num_classes))
    run = cx.train(make, epochs=1, **quick).wait(300)
    print(sum(p.numel() for p in run.load().parameters()), run.config["network"]["own"]["kind"])
    """
    done = python(CELL + QUICK_CELL + textwrap.dedent(code))
    assert done.stdout == f"{4 * 81 + 4 + 360 + 10} callable\n", done.stderr


def test_without_cloudpickle_the_cell_raises_at_once(home: Path) -> None:
    code = """
    import sys
    sys.modules["cloudpickle"] = None
    import subprocess
    subprocess.Popen = None
    try:
        cx.train(Net(10))
    except cx.UsageError as error:
        print(error)
    """
    done = python(CELL + textwrap.dedent(code))
    assert "%%writefile net.py" in done.stdout and "pip install 'cnn-explorer[notebook]'" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1 and not list((home / "runs").glob("*"))

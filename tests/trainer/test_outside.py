"""Networks from outside the catalogue, trained by the command: of torchvision, of timm, and of a person's own file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cnn_explorer as cx
import pytest
import torch
from cnn_explorer.models.own import outside
from cnn_explorer.trainer.config import config_file
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.planning import planner
from safetensors.torch import load_file
from support.training import call, same, weights_of

QUICK = ("--threads", "1", "--device", "cpu", "--no-calibrate", "--epochs", "1")

NETS = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 5, stride=4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).tanh().mean((2, 3)))


def colour():
    return Small(10, in_channels=3)


class ByValue(Small):
    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)


class TwoLinesOfError(Small):
    def __init__(self):
        raise RuntimeError("first line\\nsecond line")


class Forgets(Small):
    def forward(self, x):
        return self.tail(x)


class Words(Small):
    def forward(self, x):
        return {"scores": super().forward(x)}


class InModule(nn.Module):
    # All names of weights begin with "module.", as if a wrapper had put that before them.
    def __init__(self, num_classes):
        super().__init__()
        self.module = Small(num_classes)

    def forward(self, x):
        return self.module(x)


class WithoutLength(Small):
    def __len__(self):
        raise TypeError("has no length")


def hungry(width):
    return Small(width)


ready = Small(10)
"""


@pytest.fixture
def nets(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with ``nets.py``."""
    folder = home / "work"
    folder.mkdir()
    (folder / "nets.py").write_text(NETS)
    monkeypatch.chdir(folder)
    before = list(sys.path)
    yield folder
    sys.path[:] = before
    sys.modules.pop("nets", None)


def only_run(home: Path) -> Path:
    (found,) = (home / "runs").iterdir()
    return found


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:test_resnet"])
def test_networks_of_libraries_are_trained_and_loaded(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    assert call(monkeypatch, "train", name, *QUICK, "--batch-size", "640") == 0
    run = only_run(home)
    assert not (run / "network").exists() and "own" not in json.loads((run / "run.json").read_text())["network"]
    loaded = cx.load(run)
    assert same(dict(loaded.state_dict()), weights_of(run, "best"))
    channels = 3 if name.startswith("torchvision") else 1
    assert cx.run(run).inputs(torch.zeros(2, 1, 28, 28)).shape == (2, channels, 28, 28)


def test_a_name_of_ones_own_is_trained_resumed_cloned_and_exported(
    nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "nets:Small", *QUICK) == 0
    run = only_run(home)
    assert (run / "network" / "code" / "nets.py").read_text() == NETS
    (nets / "nets.py").unlink()
    sys.modules.pop("nets", None)
    assert same(dict(cx.load(run).state_dict()), weights_of(run, "best"))
    capsys.readouterr()

    assert call(monkeypatch, "runs", "show", run.name) == 0
    assert "nets:Small" in capsys.readouterr().out
    target = home / "weights.safetensors"
    assert call(monkeypatch, "runs", "export", run.name, "--format", "safetensors", "-o", str(target)) == 0
    assert call(monkeypatch, "runs", "clone", run.name, "--epochs", "2") == 0
    (clone,) = (path for path in (home / "runs").iterdir() if path != run)
    assert (clone / "network" / "code" / "nets.py").read_text() == NETS
    status = json.loads((clone / "status.json").read_text())
    (clone / "status.json").write_text(json.dumps(status | {"state": "stopped"}))
    assert call(monkeypatch, "runs", "resume", clone.name) == 0

    with pytest.raises(cx.UsageError, match="is stored in the directory of its run alone"):
        outside.build("nets:Small", num_classes=10, in_channels=1, image_size=28)


@pytest.mark.parametrize("name", ["InModule", "WithoutLength"])
def test_unusual_networks_are_trained_loaded_and_exported(
    nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert call(monkeypatch, "train", f"nets:{name}", *QUICK) == 0
    run, target = only_run(home), home / "weights.safetensors"
    assert same(dict(cx.load(run).state_dict()), weights_of(run, "best"))
    assert call(monkeypatch, "runs", "export", run.name, "--format", "safetensors", "-o", str(target)) == 0
    assert load_file(target).keys() == weights_of(run, "best").keys()


def test_the_weights_of_such_a_run_begin_another(nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "train", "nets:Small", *QUICK) == 0
    first = only_run(home)
    assert call(monkeypatch, "train", "nets:Small", *QUICK, "--init-from", first.name, "--lr", "1e-9") == 0
    (second,) = (path for path in (home / "runs").iterdir() if path != first)
    start, end = weights_of(first, "best"), weights_of(second)
    assert all(torch.allclose(start[key], end[key], atol=1e-5) for key in start)


def test_grey_images_get_three_channels_where_the_network_takes_them(
    nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "nets:colour", *QUICK) == 0
    assert "grey images become 3 equal channels, which is what nets:colour takes" in capsys.readouterr().err
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    made = cx.run(only_run(home)).inputs(images)
    assert made.shape == (2, 3, 28, 28) and torch.equal(made[:, 0], made[:, 2]) and made.std() > 0.5


def test_a_network_that_reads_values_is_trained(nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "train", "nets:ByValue", *QUICK) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nets:Smal", "did you mean 'Small'"),
        ("netz:Small", "No module named 'netz'"),
        ("nets:ready", "is a network already"),
        ("nets:hungry", "'nets:hungry' cannot be built: TypeError: hungry() missing 1 required"),
        ("nets:TwoLinesOfError", "cannot be built: RuntimeError: first line (nets.py, line 27)"),
        ("nets:Forgets", "'Forgets' object has no attribute 'tail' (nets.py, line 32)"),
        ("nets:Words", "returns a dict; to be trained it must return scores of shape (batch, classes)"),
        ("torch.nn:Flatten", "returns 784 scores for an image, and digits has 10 classes"),
        ("torchvision:resnt18", "did you mean 'resnet18'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "does not classify images"),
        ("own:Small", "runs clone"),
        ("stored:/nowhere", "cannot be read"),
    ],
)
def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(
    nets: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    assert call(monkeypatch, "train", name, *QUICK) == (1 if name.startswith("stored") else 2)
    said = capsys.readouterr().err.splitlines()
    assert words in said[-1] and not any("Traceback" in line for line in said)
    assert not list((home / "runs").glob("*"))


def test_a_stem_is_for_the_catalogue(nets: Path, home: Path) -> None:
    with pytest.raises(cx.UsageError, match="stem: 'small' is for networks of the catalogue"):
        planner.plan(TrainRequest.of("nets:Small", stem="small"), print)


def test_published_weights_of_torchvision_fit_its_own_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models as zoo

    torch.manual_seed(1)
    reference = zoo.squeezenet1_1()
    url = zoo.SqueezeNet1_1_Weights.DEFAULT.url
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(home / "hub"))
    (home / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(reference.state_dict(), home / "hub" / "checkpoints" / url.rsplit("/", 1)[1])
    words = ("--pretrained", "--freeze", "backbone", "--image-size", "32", "--batch-size", "640")
    assert call(monkeypatch, "train", "torchvision:squeezenet1_1", *QUICK, *words) == 0
    trained, published = weights_of(only_run(home)), reference.state_dict()
    kept = [name for name in published if not name.startswith("classifier")]
    assert len(kept) == 50 and all(torch.equal(trained[name], published[name]) for name in kept)


def test_a_run_json_without_the_key_is_read_as_before(home: Path, tmp_path: Path) -> None:
    network = {"name": "lenet5", "stem": None, "image_size": 28}
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"network": network, "data": {"name": "digits"}, "recipe": {}, "engine": {}, "seed": 0}))
    assert config_file.read(path).stored is None

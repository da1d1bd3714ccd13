"""`cnn-explorer show` with a file of weights or a run, and sizes that leave pixels unread: one line and exit code 2."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cnn_explorer.cli import show_file
from cnn_explorer.models.catalogue import registry
from support.training import call

Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Here:
    """A command in this process; the runs lie in a folder of the test."""
    monkeypatch.setenv("CNN_EXPLORER_RUNS", str(tmp_path / "runs"))

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = call(monkeypatch, *words)
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, shown.out, shown.err)

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file as many programs write it: the names wrapped, an epoch beside."""
    state = registry.build("resnet20", num_classes=7).state_dict()
    path = tmp_path / "my net.pth"
    torch.save({"net": {f"module.{name}": value for name, value in state.items()}, "epoch": 5, "acc": 93.25}, path)
    return path


def test_a_file_is_shown_with_the_command_that_uses_it(here: Here, file: Path) -> None:
    done = here("show", str(file))
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert any(line.startswith("weights       116 tensors under 'net', 270,922 values") for line in lines)
    assert "prefix        module. stands before the names" in lines
    assert "beside        epoch 5, acc 93.25" in lines
    assert "not finite    none: no NaN, no infinity" in lines
    assert "fits          resnet20: all but the head (7 classes), by name" in lines
    use = next(line for line in lines if line.startswith("use")).split(maxsplit=1)[1]
    assert shlex.split(use)[-2:] == ["--init-from", str(file)]


def test_the_command_that_is_named_works(here: Here, file: Path) -> None:
    lines = here("show", str(file)).stdout.splitlines()
    use = next(line for line in lines if line.startswith("use")).split(maxsplit=1)[1]
    done = here(*shlex.split(use)[1:], "--dataset", "digits", "--plan", "--no-calibrate")
    assert done.returncode == 0, done.stderr


def test_the_tree_alone_and_its_depth(here: Here, file: Path) -> None:
    shallow = here("show", str(file), "--layers", "--depth", "2").stdout
    assert "fits" not in shallow and "stage1" in shallow and "conv1" not in shallow
    assert "×3" in here("show", str(file), "--layers", "--depth", "4").stdout


def test_json_into_a_file(here: Here, file: Path, tmp_path: Path) -> None:
    done = here("show", str(file), "--json", "-o", str(tmp_path / "out.json"))
    assert done.returncode == 0 and done.stdout == ""
    found = json.loads((tmp_path / "out.json").read_text())
    assert (found["schema"], found["key"], found["prefix"], found["tensors"]) == (1, "net", "module.", 116)
    assert found["fits"][0]["network"] == "resnet20" and found["fits"][0]["classes"] == 7
    assert found["weights"][0]["shape"] == [16, 3, 3, 3] and found["nan"] == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [("nothing.pt", "No such file"), ("./nothing/x", "No such file"), ("folder", "is a folder without a run")],
)
def test_what_cannot_be_shown_is_one_line(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    done = here("show", name, "-o", str(tmp_path / "out.txt"))
    assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1
    assert done.stdout == "" and not (tmp_path / "out.txt").exists()


def test_a_run_is_shown_by_its_id_and_by_its_directory(here: Here, tmp_path: Path) -> None:
    assert here("train", "lenet5", "--dataset", "digits", "--epochs", "1", "--no-calibrate").returncode == 0
    (run,) = (path for path in (tmp_path / "runs").iterdir() if path.is_dir() and (path / "run.json").exists())
    for name in ("last", run.name, str(run)):
        done = here("show", name)
        assert done.returncode == 0, done.stderr
        assert f"run           {run.name}: lenet5 on digits, finished" in done.stdout
        assert "best.pt" in done.stdout and "last.pt" in done.stdout
        assert "says          of lenet5, 10 classes" in done.stdout
        assert "fits          lenet5: wholly, by name" in done.stdout
    beside = here("show", str(run / "checkpoints" / "last.pt")).stdout
    assert "state of an optimiser" in beside and "run           " not in beside
    found = json.loads(here("show", "last", "--json").stdout)
    assert found["run"] == run.name and {row["file"] for row in found["checkpoints"]} >= {"best.pt", "last.pt"}


def test_a_network_comes_before_a_file_of_the_same_name(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5").write_text("no weights")
    assert not show_file.means_weights("lenet5") and not show_file.means_weights("torchvision:resnet18")
    assert show_file.means_weights("./lenet5") and show_file.means_weights("lenet5.pt")
    assert "61,706" in here("show", "lenet5").stdout


def test_a_name_in_a_file_does_nothing_to_the_terminal(here: Here, tmp_path: Path) -> None:
    torch.save({"\x1b[31mred.weight": torch.ones(2, 2), "text": "\x1b]0;title\x07"}, tmp_path / "x.pt")
    done = here("show", str(tmp_path / "x.pt"))
    assert done.returncode == 0 and "\x1b" not in done.stdout and "red" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("show", "vit_base_16", "--image-size", "100"),
        ("show", "vit_base_16", "--input", "3x100x100"),
        ("compare", "vit_base_16", "resnet18", "--image-size", "100"),
        ("train", "vit_mini_16", "--dataset", "digits", "--image-size", "100", "--stem", "imagenet"),
        ("train", "vit_mini_16", "--dataset", "digits", "--image-size", "100", "--stem", "imagenet", "--plan"),
    ],
)
def test_a_size_that_is_no_multiple_of_the_patch_is_one_line_everywhere(
    here: Here, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = here(*words)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("100 is not a multiple of the patch 16; 96 or 112 works")
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())

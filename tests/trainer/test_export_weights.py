"""`runs export`: weights as safetensors that give the same outputs, curves as TensorBoard events, nothing overwritten."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cnn_explorer.cli.runs import runs_app
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.runs.run_writer import checkpoint_paths, read_notes
from cnn_explorer.trainer.weights import checkpoint, weight_files
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.training import create_run, records_of, write_models
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one finished run of tiny, with a moving average of the weights; the best epoch is not the last."""
    folder = tmp_path_factory.mktemp("export")
    write_models(folder / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CNN_EXPLORER_MODELS", str(folder / "models"))
        patch.setattr("cnn_explorer.trainer.loop.trainer.BestEvaluation.beaten_by", lambda self, evaluation: False)
        registry.forget()
        path, lock = create_run(folder / "runs", "tiny", recipe={"epochs": 2, "ema": 0.9})
        assert execute_run(path, lock, log=lambda line: None) == 0
        yield folder / "runs"
    registry.forget()


@pytest.fixture
def run(runs: Path) -> Path:
    return next(runs.iterdir())


def call(runs: Path, *words: str):
    return CliRunner().invoke(runs_app, [words[0], "--runs", str(runs), *words[1:]])


def scores_of(path: Path) -> torch.Tensor:
    found = weight_files.load_network(path)
    images = torch.randint(0, 256, (4, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return found.network(found.normalised(images))


@pytest.mark.parametrize("which", ["best", "last"])
def test_exported_weights_give_the_same_outputs(runs: Path, run: Path, tmp_path: Path, which: str) -> None:
    target = tmp_path / "tiny.safetensors"
    assert (
        call(runs, "export", "last", "--format", "safetensors", "--checkpoint", which, "-o", str(target)).exit_code == 0
    )
    assert torch.equal(scores_of(target), scores_of(getattr(checkpoint_paths(run), which)))
    state = checkpoint.read(getattr(checkpoint_paths(run), which))
    evaluated = state["model"] if which == "best" else state["average"]["network"]
    tensors = load_file(target)
    assert tensors.keys() == evaluated.keys() and all(torch.equal(tensors[name], evaluated[name]) for name in evaluated)
    with safe_open(target, framework="pt") as file:
        facts = json.loads(file.metadata()["cnn_explorer"])
    assert (facts["network"]["name"], facts["run"], facts["schema"]) == ("tiny", run.name, 1)
    assert facts["classes"] == [str(n) for n in range(10)] and len(facts["mean"]) == len(facts["std"]) == 1


def test_the_best_weights_are_exported_unless_the_last_are_asked_for(runs: Path, run: Path, tmp_path: Path) -> None:
    files = {}
    for name, words in {"default": (), "best": ("--checkpoint", "best"), "last": ("--checkpoint", "last")}.items():
        files[name] = tmp_path / f"{name}.safetensors"
        assert call(runs, "export", "last", "--format", "safetensors", *words, "-o", str(files[name])).exit_code == 0
    best, last = (scores_of(getattr(checkpoint_paths(run), which)) for which in ("best", "last"))
    assert not torch.equal(best, last)
    assert torch.equal(scores_of(files["default"]), best) and torch.equal(scores_of(files["best"]), best)
    assert torch.equal(scores_of(files["last"]), last)


def test_exported_weights_begin_another_run(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "tiny.safetensors"
    call(runs, "export", "last", "--format", "safetensors", "-o", str(target))
    path, lock = create_run(tmp_path / "runs", "tiny", init_from=str(target))
    lock.release()
    begin = json.loads((path / "run.json").read_text())["network"]["pretrained"]
    assert begin["fresh"] == [] and begin["name"] == "tiny.safetensors"


def test_a_file_that_does_not_say_enough_cannot_become_a_network(tmp_path: Path, runs: Path, run: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(UsageError, match="do not say of which network"):
        weight_files.load_network(tmp_path / "bare.safetensors")
    state = checkpoint.read(checkpoint_paths(run).best)
    checkpoint.write({k: v for k, v in state.items() if k not in ("schema", "mean")}, tmp_path / "old.pt")
    with pytest.raises(UsageError, match="do not say how images are normalised"):
        weight_files.load_network(tmp_path / "old.pt")
    (tmp_path / "bad.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")
    with pytest.raises(WorkError, match=r"bad\.safetensors: is not a safetensors file"):
        weight_files.load_network(tmp_path / "bad.safetensors")
    del state["model"]["head.bias"]
    checkpoint.write({k: v for k, v in state.items() if k != "schema"}, tmp_path / "part.pt")
    with pytest.raises(WorkError, match="does not fit tiny"):
        weight_files.load_network(tmp_path / "part.pt")


def test_events_are_what_tensorboard_reads(runs: Path, run: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    target = tmp_path / "board" / "one"
    assert call(runs, "export", "last", "--format", "tensorboard", "-o", str(target)).exit_code == 0
    board = accumulator.EventAccumulator(str(target), size_guidance={"scalars": 0})
    board.Reload()
    evaluations = [record for record in records_of(run, "eval") if record["split"] == "validation"]
    read = board.Scalars("accuracy/validation")
    assert [event.step for event in read] == [record["step"] for record in evaluations]
    assert [event.value for event in read] == pytest.approx([record["accuracy"] for record in evaluations])
    assert {"loss/train", "lr", "loss/test", "accuracy of a class, validation/3"} <= set(board.Tags()["scalars"])
    begun = json.loads((run / "run.json").read_text())
    assert read[0].wall_time > 1.7e9 and begun["created"]
    assert call(runs, "export", "last", "--format", "tensorboard", "-o", str(target)).exception
    assert call(runs, "export", "last", "--format", "tensorboard", "-o", str(target), "--force").exit_code == 0
    assert len(list(target.iterdir())) == 1


def test_without_tensorboard_the_extra_is_named(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    result = call(runs, "export", "last", "--format", "tensorboard", "-o", str(tmp_path / "board"))
    assert isinstance(result.exception, UsageError)
    assert "pip install 'cnn-explorer[tensorboard]'" in str(result.exception)
    assert not (tmp_path / "board").exists()


@pytest.mark.parametrize("file_format", ["csv", "safetensors", "tensorboard"])
def test_nothing_is_overwritten(runs: Path, run: Path, tmp_path: Path, file_format: str) -> None:
    there = tmp_path / "there"
    if file_format == "tensorboard":
        there.mkdir()
        (there / "mine.txt").write_text("mine")
    else:
        there.write_text("mine")
    result = call(runs, "export", "last", "--format", file_format, "-o", str(there))
    assert isinstance(result.exception, UsageError) and "exists; --force replaces it" in str(result.exception)
    assert (there / "mine.txt" if there.is_dir() else there).read_text() == "mine"
    before = (run / "metrics.jsonl").read_bytes()
    for inside in ("metrics.jsonl", "checkpoints/best.pt", "new"):
        result = call(runs, "export", "last", "--format", file_format, "--force", "-o", str(run / inside))
        assert isinstance(result.exception, UsageError) and "run directory" in str(result.exception)
    (tmp_path / "link").symlink_to(run)
    result = call(runs, "export", "last", "--format", file_format, "--force", "-o", str(tmp_path / "link" / "x"))
    assert isinstance(result.exception, UsageError) and "run directory" in str(result.exception)
    assert (run / "metrics.jsonl").read_bytes() == before and not (run / "new").exists()
    if file_format != "tensorboard":
        assert call(runs, "export", "last", "--format", file_format, "-o", str(there), "--force").exit_code == 0
        assert there.read_bytes() != b"mine"
        assert isinstance(
            call(runs, "export", "last", "--format", file_format, "-o", str(tmp_path)).exception, UsageError
        )


def test_tags_and_a_note(runs: Path, run: Path) -> None:
    assert "good, keep" in call(runs, "tag", "last", "good", " keep ", "good").stderr
    assert call(runs, "note", "last", "with\x1b[31m warm-up").exit_code == 0
    assert read_notes(run).tags == ("good", "keep") and read_notes(run).remark == "with warm-up"
    assert call(runs, "tag", "last", "--remove", "keep").exit_code == 0
    assert read_notes(run).tags == ("good",) and read_notes(run).remark == "with warm-up"
    for words, message in (
        (["--remove", "bad"], "is not a tag of .*; it has good"),
        (["a,b"], "no comma"),
        (["last"], "names the newest run"),
        (["x" * 41], "1 to 40 characters"),
        ([""], "1 to 40"),
    ):
        result = call(runs, "tag", "last", *words)
        assert isinstance(result.exception, UsageError)
        assert re.search(message, str(result.exception))
    assert isinstance(call(runs, "note", "last", "x" * 10_001).exception, UsageError)
    assert call(runs, "note", "last", "").exit_code == 0 and read_notes(run).remark == ""


def test_tags_notes_and_clones_need_no_torch(runs: Path, run: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cnn_explorer.trainer.launch import clone;"
        "from cnn_explorer.trainer.runs import annotations; path = Path(sys.argv[1]);"
        "annotations.add_tags(path, ['x']); annotations.remove_tags(path, ['x']);"
        "print(clone.words(path, path.parent, ['--detach']));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(["train", "--config", str(run / "run.json"), "--runs", str(runs), "--detach"])


def test_a_clone_has_the_configuration_and_the_changes(runs: Path, run: Path, tmp_path: Path) -> None:
    """Trained in this process, with the flags of train; both runs are there afterwards."""
    changes = ["--epochs", "1", "--set", "gamma=0.3", "--seed", "7"]
    result = call(runs, "clone", run.name, *changes)
    assert result.exit_code == 0, result.exception
    other = next(path for path in runs.iterdir() if path != run)
    first, second = (json.loads((path / "run.json").read_text()) for path in (run, other))
    assert second["recipe"] == first["recipe"] | {"epochs": 1, "gamma": 0.3} and second["seed"] == 7
    assert second["network"] == first["network"] and second["data"]["name"] == first["data"]["name"]
    result = call(runs, "clone", run.name, "--config", "mine.toml")
    assert isinstance(result.exception, UsageError) and "a clone has the configuration" in str(result.exception)
    assert isinstance(call(runs, "clone", run.name, "--lr", "-1").exception, UsageError)
    assert call(runs, "clone", run.name, "--epoch", "1").exit_code == 2
    assert len(list(runs.iterdir())) == 2

"""Memory that does not suffice: the batch is worked off in smaller parts, from the newest checkpoint on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from cnn_explorer.errors import WorkError
from cnn_explorer.trainer.common.out_of_memory import is_out_of_memory
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop.metrics_window import MetricsWindow
from cnn_explorer.trainer.loop.session import Shortage
from cnn_explorer.trainer.loop.trainer import Stopped, Trainer
from cnn_explorer.trainer.runs.run_writer import checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from support.training import create_run, records_of, same, status_of, weights_of


def train(path: Path, lock) -> tuple[int, list[str]]:
    lines: list[str] = []
    return execute_run(path, lock, log=lines.append), lines


def splits(path: Path) -> list[tuple[int, str]]:
    return [(event["step"], event["detail"]) for event in records_of(path, "event") if event["name"] == "batch_split"]


def lack_memory_once(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Break off update ``step`` after it has moved the weights: what it leaves behind must not count."""
    update = Trainer._update
    left = [step]

    def breaking(trainer, images, targets) -> None:
        update(trainer, images, targets)
        if [trainer.step] == left:
            left.clear()
            trainer.step -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(Trainer, "_update", breaking)


@pytest.mark.parametrize(
    ("error", "whether"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5.30 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (MemoryError(), True),
        (RuntimeError("shape '[2, 3]' is invalid for input of size 5"), False),
        (WorkError("the other machine ran out of memory"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_how_a_lack_of_memory_shows(error: BaseException, whether: bool) -> None:
    assert is_out_of_memory(error) is whether


@pytest.mark.parametrize(
    ("images", "parts", "split"),
    [(12, 1, "2 parts of 6"), (12, 4, "6 parts of 2"), (13, 2, "4 parts of up to 4"), (3, 2, "3 parts of 1")],
)
def test_the_parts_that_are_told_are_those_that_are_made(images: int, parts: int, split: str) -> None:
    shortage = Shortage(1, parts, images)
    assert shortage.split == split
    made = torch.arange(images).chunk(shortage.next_parts)
    assert (len(made), len(made[0])) == (int(split.split()[0]), shortage.next_size)


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adamw", "ema": 0.9, "clip_norm": 1.0, "augment": ["mixup"]}])
def test_the_weights_are_those_of_a_run_that_had_small_parts_from_the_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, recipe: dict
) -> None:
    reference = create_run(home / "runs", "tiny_hungry", recipe=recipe | {"accumulate": 4})
    assert train(*reference)[0] == 0
    monkeypatch.setenv("TRAINED_AT_ONCE", "20")
    path, lock = create_run(home / "runs", "tiny_hungry", recipe=recipe)
    code, lines = train(path, lock)
    assert code == 0
    assert [detail for _, detail in splits(path)] == [
        "out of memory at step 1: 2 parts of 32 instead of 64 at once",
        "out of memory at step 1: 4 parts of 16 instead of 64 at once",
    ]
    assert sum("batch norm takes its statistics from 16 images at a time" in line for line in lines) == 1
    for which in ("last", "best"):
        assert same(weights_of(path, which), weights_of(reference[0], which))
    assert [r["loss"] for r in records_of(path, "eval")] == [r["loss"] for r in records_of(reference[0], "eval")]
    steps = [record["step"] for record in records_of(path, "train")]
    assert steps == sorted(set(steps)) and steps[-1] == 60


def test_within_a_run_it_goes_back_to_the_checkpoint_and_no_record_is_double(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MetricsWindow, "due", lambda self: True)
    monkeypatch.setattr("cnn_explorer.trainer.loop.checkpointer.COST_SHARE", float("inf"))
    path, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        lack_memory_once(patch, 33)
        assert train(path, lock)[0] == 0
    assert splits(path) == [(20, "out of memory at step 33: 2 parts of 32 instead of 64 at once")]
    assert [r["step"] for r in records_of(path, "train")] == list(range(1, 61))
    assert [(r["split"], r["step"]) for r in records_of(path, "eval")] == [
        ("validation", 20),
        ("validation", 40),
        ("validation", 60),
        ("test", 60),
    ]
    # The same by hand: 20 updates at once, the rest in two parts.
    other, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_epoch", stopping_at(20))
        train(other, lock)
    state = checkpoint.read(checkpoint_paths(other).last)
    assert (state["step"], state["accumulate"]) == (20, 1)
    del state["schema"]
    checkpoint.write_last(state | {"accumulate": 2}, checkpoint_paths(other))
    assert train(other, spawn.prepare_resume(other))[0] == 0
    for which in ("last", "best"):
        assert same(weights_of(path, which), weights_of(other, which))


def stopping_at(step: int):
    train_epoch = Trainer._train_epoch

    def stopping(trainer) -> None:
        if trainer.step == step:
            raise Stopped
        train_epoch(trainer)

    return stopping


def test_a_resumed_run_remembers_its_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED_AT_ONCE", "32")
    path, lock = create_run(home / "runs", "tiny_hungry")
    update = Trainer._update

    def signalled(trainer, images, targets) -> None:
        if trainer.step == 11:
            os.kill(os.getpid(), signal.SIGTERM)
        update(trainer, images, targets)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", signalled)
        assert train(path, lock)[0] == 130
    assert train(path, spawn.prepare_resume(path))[0] == 0
    assert len(splits(path)) == 1


def test_when_one_image_is_too_much_the_run_fails_in_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINED_AT_ONCE", "0")
    path, lock = create_run(home / "runs", "tiny_hungry", recipe={"batch_size": 5, "epochs": 1})
    code, lines = train(path, lock)
    assert (code, status_of(path)["state"]) == (1, "failed")
    assert "out of memory at step 1, with one image at a time" in status_of(path)["error"]
    assert [detail.split(": ")[1].split(" instead")[0] for _, detail in splits(path)] == [
        "2 parts of up to 3",
        "3 parts of up to 2",
        "5 parts of 1",
    ]
    assert not any("Traceback" in line for line in lines)


def test_an_evaluation_is_made_again_with_fewer_images_at_a_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = create_run(home / "runs", "tiny_hungry")
    assert train(*reference)[0] == 0
    monkeypatch.setenv("JUDGED_AT_ONCE", "100")
    path, lock = create_run(home / "runs", "tiny_hungry")
    code, lines = train(path, lock)
    assert code == 0
    assert [line for line in lines if "in the evaluation" in line] == [
        f"out of memory in the evaluation: {count} images at a time from here on" for count in (327, 164, 82)
    ]
    assert same(weights_of(path), weights_of(reference[0]))
    evaluated, expected = records_of(path, "eval"), records_of(reference[0], "eval")
    assert [(r["step"], r.get("confusion")) for r in evaluated] == [(r["step"], r.get("confusion")) for r in expected]
    assert [r["loss"] for r in evaluated] == pytest.approx([r["loss"] for r in expected])


def test_an_evaluation_of_one_image_that_is_too_much_fails_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs", "tiny_hungry", recipe={"epochs": 1})
    monkeypatch.setenv("JUDGED_AT_ONCE", "0")
    assert train(path, lock)[0] == 1
    assert "out of memory in the evaluation, with one image at a time" in status_of(path)["error"]


def test_parts_never_outnumber_the_images() -> None:
    assert Shortage(1, 4, 6).next_parts == 6
    with pytest.raises(WorkError, match="one image at a time"):
        _ = Shortage(1, 6, 6).next_parts

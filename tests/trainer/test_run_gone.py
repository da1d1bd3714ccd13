"""A run whose directory is taken away while it is trained ends at its next record, and writes nothing elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop.trainer import Trainer
from support.training import create_run


def removed(path: Path) -> None:
    shutil.rmtree(path)


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def without_its_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("other-runs"))


def replaced(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.mkdir()


def a_file(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_text("")


@pytest.mark.parametrize("take", [removed, renamed, without_its_folder, replaced, a_file])
def test_a_run_without_its_directory_ends_at_the_next_record(
    home: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Path], None]
) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 50})
    update, steps = Trainer._update, []

    def counted(trainer, images, targets) -> None:
        update(trainer, images, targets)
        steps.append(trainer.step)
        if trainer.step == 30:
            take(path)

    monkeypatch.setattr(Trainer, "_update", counted)
    said: list[str] = []
    assert execute_run(path, lock, log=said.append) == 1
    per_epoch = 20
    assert steps[-1] <= 30 + per_epoch, "a record is written at the end of each epoch at the latest"
    told = f"cnn-explorer: run {path.name}: failed: its directory is gone from {path}: "
    assert [line for line in said if "directory" in line] == [
        told + "it was removed or renamed, or its disk is away",
    ]
    assert not any("Traceback" in line or "the disk did not take" in line for line in said)
    assert not path.exists() or list(path.iterdir()) == [], "nothing is written into what is there now"


def test_a_file_of_the_run_that_is_gone_ends_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 3})
    update = Trainer._update

    def acting(trainer, images, targets) -> None:
        update(trainer, images, targets)
        if trainer.step == 25:
            (path / "metrics.jsonl").unlink()
            shutil.rmtree(path / "control")

    monkeypatch.setattr(Trainer, "_update", acting)
    assert execute_run(path, lock, log=lambda line: None) == 0


def test_a_command_says_that_the_directory_is_gone_and_prints_no_empty_table(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from support.training import call

    update = Trainer._update

    def acting(trainer, images, targets) -> None:
        update(trainer, images, targets)
        if trainer.step == 5:
            shutil.rmtree(home / "runs")

    monkeypatch.setattr(Trainer, "_update", acting)
    assert call(monkeypatch, "train", "tiny", "--threads", "1", "--no-calibrate", "--device", "cpu") == 1
    shown = capsys.readouterr()
    assert shown.out == "" and "its directory is gone" in shown.err

"""Checkpoints: whole or not at all, damage noticed, the one before used instead, no program run from a file."""

from __future__ import annotations

import builtins
import errno
import os
import pickle
from pathlib import Path

import pytest
import torch
from cnn_explorer.trainer.runs.run_writer import CheckpointPaths, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from cnn_explorer.trainer.weights.checkpoint import CheckpointError


@pytest.fixture
def paths(tmp_path: Path) -> CheckpointPaths:
    found = checkpoint_paths(tmp_path)
    found.folder.mkdir()
    return found


def state(number: float) -> dict:
    return {
        "step": int(number),
        "model": {"weight": torch.full((50,), float(number))},
        "best": None,
        "rng": torch.get_rng_state(),
    }


def step_of(found: dict | None) -> int:
    assert found is not None
    assert found["model"]["weight"].tolist() == [found["step"]] * 50
    return found["step"]


def test_the_newest_and_the_one_before(paths: CheckpointPaths) -> None:
    assert checkpoint.read_newest(paths) is None
    for number in (1, 2, 3):
        checkpoint.write_last(state(number), paths)
    assert step_of(checkpoint.read(paths.last)) == 3
    assert step_of(checkpoint.read(paths.previous)) == 2
    assert step_of(checkpoint.read_newest(paths)) == 3
    assert sorted(path.name for path in paths.folder.iterdir()) == ["last.pt", "previous.pt"]


def test_a_folder_in_the_place_of_the_newest_is_refused_and_once_it_is_gone_all_is_well(paths: CheckpointPaths) -> None:
    paths.last.mkdir()
    with pytest.raises(IsADirectoryError):
        checkpoint.write_last(state(1), paths)
    paths.last.rmdir()
    for number in (2, 3):
        checkpoint.write_last(state(number), paths)
    assert step_of(checkpoint.read(paths.last)) == 3
    assert step_of(checkpoint.read(paths.previous)) == 2


def test_without_hard_links_the_one_before_is_kept_as_well(
    paths: CheckpointPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    for number in (1, 2):
        checkpoint.write_last(state(number), paths)
    assert step_of(checkpoint.read(paths.last)) == 2
    assert step_of(checkpoint.read(paths.previous)) == 1


def test_any_changed_byte_or_missing_end_is_noticed(paths: CheckpointPaths) -> None:
    checkpoint.write_last(state(1), paths)
    whole = paths.last.read_bytes()
    first = whole.index(torch.full((50,), 1.0).numpy().tobytes())
    for place in range(first, first + 200, 8):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        paths.last.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last.pt is damaged"):
            checkpoint.read(paths.last)
    for length in range(0, len(whole), 97):
        paths.last.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            checkpoint.read(paths.last)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(paths: CheckpointPaths) -> None:
    checkpoint.write_last(state(1), paths)
    checkpoint.write_last(state(2), paths)
    paths.last.write_bytes(paths.last.read_bytes()[:-100])
    said: list[str] = []
    assert step_of(checkpoint.read_newest(paths, log=said.append)) == 1
    assert len(said) == 1 and "last.pt is damaged" in said[0] and "previous.pt" in said[0]
    paths.previous.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"last.pt is damaged.*previous.pt is damaged"):
        checkpoint.read_newest(paths)


def test_between_two_renames_the_one_before_is_there(paths: CheckpointPaths) -> None:
    checkpoint.write_last(state(1), paths)
    paths.last.rename(paths.previous)
    assert step_of(checkpoint.read_newest(paths)) == 1


class _Full:
    """A file on a disk that is full after ``room`` bytes."""

    def __init__(self, file, room: int) -> None:
        self._file, self._room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str):
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._file.write(data)


@pytest.mark.parametrize("room", [0, 100, 1000, 3000])
def test_a_full_disk_leaves_what_was_there_and_says_why(
    paths: CheckpointPaths, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    checkpoint.write_last(state(1), paths)
    checkpoint.write_last(state(2), paths)

    def open_on_full_disk(path: Path, mode: str) -> _Full:
        return _Full(builtins.open(path, mode), room)

    monkeypatch.setattr(checkpoint, "open", open_on_full_disk, raising=False)
    for write in (lambda: checkpoint.write_last(state(3), paths), lambda: checkpoint.write(state(3), paths.last)):
        with pytest.raises(OSError, match="No space left") as caught:
            write()
        assert caught.value.errno == errno.ENOSPC
    assert step_of(checkpoint.read(paths.last)) == 2
    assert step_of(checkpoint.read(paths.previous)) == 1
    assert sorted(path.name for path in paths.folder.iterdir()) == ["last.pt", "previous.pt"]


def test_a_folder_that_is_gone_is_an_error_of_the_disk(paths: CheckpointPaths) -> None:
    paths.folder.rmdir()
    with pytest.raises(OSError, match="No such file"):
        checkpoint.write_last(state(1), paths)


class _Program:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("writer", ["pickle", "torch"])
def test_no_program_is_run_from_a_checkpoint(paths: CheckpointPaths, tmp_path: Path, writer: str) -> None:
    trap = {"schema": 1, "step": _Program(tmp_path / "ran")}
    if writer == "torch":
        torch.save(trap, paths.last)
    else:
        paths.last.write_bytes(pickle.dumps(trap))
    with pytest.raises(CheckpointError, match=r"last.pt is damaged"):
        checkpoint.read(paths.last)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("contents", [[1, 2], {"schema": 99}, {"model": {}}])
def test_another_form_is_refused(paths: CheckpointPaths, contents: object) -> None:
    torch.save(contents, paths.last)
    with pytest.raises(CheckpointError, match="not a checkpoint of this program"):
        checkpoint.read(paths.last)

"""Run directories of strangers: nothing in them leads outside, holds a reader up, or ends in a traceback."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.errors import WorkError
from cnn_explorer.trainer.export.records import write_csv
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.runs import deleted_runs, requests
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.reader import MetricsTail, list_runs, newest_metrics, read_run, skim
from cnn_explorer.trainer.runs.run_writer import RunWriter, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from cnn_explorer.trainer.weights.checkpoint import CheckpointError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.training import bench, create_run, status_of


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A stopped run, with whose files the tests do what they like, and beside the runs folder something precious."""
    with RunWriter.create(tmp_path / "runs", "a-run", {"recipe": {"epochs": 3}}) as writer:
        writer.status(state="stopped", exit=130)
        writer.lock.release()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("stop", "finish", "last.pt", ".last.pt.1.tmp"):
        (elsewhere / name).write_text("precious")
    return writer.path


@pytest.mark.parametrize("name", ["control", "checkpoints"])
def test_a_folder_that_is_a_link_is_not_followed(stranger: Path, name: str) -> None:
    elsewhere = stranger.parent.parent / "elsewhere"
    (stranger / name).rmdir()
    (stranger / name).symlink_to(elsewhere)
    with pytest.raises(WorkError, match=f"{name} is a link, which is not followed"):
        spawn.prepare_resume(stranger)
    if name == "control":
        with pytest.raises(WorkError, match="is a link"):
            requests.forget_requests(stranger)
        assert not requests._leave(stranger, requests.STOP)
    assert sorted(found.name for found in elsewhere.iterdir()) == [".last.pt.1.tmp", "finish", "last.pt", "stop"]
    assert all(found.read_text() == "precious" for found in elsewhere.iterdir())
    deleted_runs.remove(stranger.parent, stranger.name)
    assert len(list(elsewhere.iterdir())) == 4


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "sparse", "bomb"])
def test_a_checkpoint_that_is_none_holds_nobody_up(stranger: Path, kind: str) -> None:
    path = checkpoint_paths(stranger).last
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
            bomb.writestr("archive/data.pkl", b"\0" * (16 << 20))
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        checkpoint.read(path)


def whole_checkpoint() -> bytes:
    target = io.BytesIO()
    torch.save({"schema": 1, "step": 3, "model": {"weight": torch.arange(6.0)}, "names": ["a", ("b", 1.5)]}, target)
    return target.getvalue()


WHOLE = whole_checkpoint()
CHANGES = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=6)), max_size=4)


@given(CHANGES, st.integers(0, len(WHOLE)), st.booleans())
@example([(WHOLE.rindex(b"archive/version"), b"\n")], 0, True)  # a line break in the name of a part
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_checkpoint_is_refused_or_unchanged(tmp_path: Path, changes, end: int, repair: bool) -> None:
    data = bytearray(WHOLE)
    for place, piece in changes:
        data[place : place + len(piece)] = piece
    if repair:
        data = repaired(bytes(data))
    elif end < len(WHOLE) // 2:
        del data[end:]
    path = tmp_path / "last.pt"
    path.write_bytes(data)
    try:
        state = checkpoint.read(path)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert isinstance(state, dict) and state["schema"] == 1


def repaired(data: bytes) -> bytearray:
    """The container with all its checksums right again, so that what is in it is read: the pickle, changed."""
    rewritten = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(rewritten, "w") as new:
            for name in old.namelist():
                first: Any = old.open(name)
                first._expected_crc = None
                member: Any = old.open(name)
                member._expected_crc = None
                new.writestr(name, member.read())
    except Exception:
        return bytearray(data)
    return bytearray(rewritten.getvalue())


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"model": 5},
        {"model": {"head.weight": torch.zeros(1)}},
        {"optimizer": "adam"},
        {"optimizer": {"state": {}, "param_groups": []}},
        {"rng": {"cpu": torch.zeros(3)}},
        {"rng": {"cpu": torch.Generator().get_state(), "python": (1, 2)}},
        {"rng": None},
        {"best": {"accuracy": 1}},
        {"step": "many"},
        {"step": 10**30},
        {"accumulate": []},
        {"elapsed": {}},
    ],
    ids=str,
)
def test_a_checkpoint_of_another_form_is_one_line(home: Path, state: dict) -> None:
    path, lock = create_run(home / "runs")
    with bench(path, lock) as made:
        whole = made.trainer.state()
    paths = checkpoint_paths(path)
    checkpoint.write_last({**whole, **state} if state else {"step": 1}, paths)
    lines: list[str] = []
    assert execute_run(path, lock, log=lines.append) == 1
    assert status_of(path)["state"] == "failed"
    assert "the checkpoint does not fit this run" in status_of(path)["error"]
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("name", ["metrics.jsonl", "run.json", "status.json", "notes.json", "train.log"])
@pytest.mark.parametrize("kind", ["deep", "huge", "numbers"])
def test_absurd_files_are_read_in_bounded_time(stranger: Path, name: str, kind: str) -> None:
    path = stranger / name
    if kind == "deep":
        path.write_bytes(b'{"a":' * 200_000 + b"\n")
    elif kind == "huge":
        with open(path, "wb") as file:
            file.truncate(1 << 40)
    else:
        path.write_bytes(b'{"step": ' + b"9" * 5000 + b', "loss": 1e999, "kind": "train"}\n')
    run = read_run(stranger)
    assert list_runs(stranger.parent) == [run]
    newest_metrics(stranger)
    skim(stranger)
    MetricsTail(stranger).read()
    if kind != "huge":
        write_csv(stranger, io.StringIO())


def test_a_lock_of_a_stranger_in_the_place_of_a_run_is_not_followed(stranger: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "b-run").symlink_to(stranger)
    assert [run.id for run in list_runs(tmp_path / "runs")] == ["a-run"]
    (stranger / "lock").unlink()
    (stranger / "lock").symlink_to(tmp_path / "elsewhere" / "stop")
    with pytest.raises(WorkError, match="cannot be locked"):
        RunLock.acquire(stranger)
    assert (tmp_path / "elsewhere" / "stop").read_text() == "precious"
    assert json.loads((stranger / "status.json").read_text())["state"] == "stopped"

"""The bin: what a deleted run keeps, when it is gone for good, and what is never touched."""

from __future__ import annotations

import errno
import io
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.export.records import write_csv
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop.trainer import Trainer
from cnn_explorer.trainer.runs import deleted_runs, ids, requests
from cnn_explorer.trainer.runs.annotations import Notes, write_notes
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.reader import list_runs, read_run
from cnn_explorer.trainer.runs.run_writer import RunWriter
from support.training import create_run, same, weights_of

RUN = "20261120-143022-lenet5-digits-7f3a"
OTHER = "20261120-153022-lenet5-digits-8c1d"
NOW = datetime(2026, 11, 30, 10, 15, 0, tzinfo=UTC)


def make(runs: Path, name: str = RUN, state: str = "finished") -> Path:
    """A run that is over, with a checkpoint, a link in it and notes."""
    with RunWriter.create(runs, name, {"network": {"name": "lenet5"}}) as writer:
        writer.record({"kind": "train", "step": 1, "epoch": 1, "loss": 0.5})
        writer.status(state=state)
        writer.lock.release()
    (writer.path / "checkpoints" / "best.pt").write_bytes(b"weights")
    (writer.path / "elsewhere").symlink_to(runs.parent)
    write_notes(writer.path, Notes(("good",), "keep it"))
    return writer.path


def contents(path: Path) -> dict[str, bytes]:
    files = (found for found in path.rglob("*") if found.is_file() and not found.is_symlink())
    return {str(found.relative_to(path)): found.read_bytes() for found in files}


def put_in_bin(runs: Path, days: float, name: str = RUN) -> deleted_runs.DeletedRun:
    """A run that was deleted so many days before NOW."""
    path = make(runs, name)
    (runs / deleted_runs.BIN).mkdir(exist_ok=True)
    return deleted_runs._move(path, runs / deleted_runs.BIN, NOW - timedelta(days=days))


def test_a_restored_run_is_what_was_deleted(tmp_path: Path) -> None:
    path = make(tmp_path)
    before = contents(path)
    deleted = deleted_runs.delete(tmp_path, RUN)
    assert not path.exists() and contents(deleted.path) == before
    assert deleted.until - deleted.deleted == timedelta(days=7)
    assert deleted.read().id == RUN and deleted.read().notes == Notes(("good",), "keep it")
    assert deleted_runs.restore(tmp_path, RUN) == path
    assert contents(path) == before and (path / "elsewhere").is_symlink()
    assert deleted_runs.in_bin(tmp_path) == []


def test_nothing_that_reads_the_runs_folder_takes_the_bin_for_a_run(tmp_path: Path) -> None:
    make(tmp_path)
    deleted_runs.delete(tmp_path, RUN)
    assert list_runs(tmp_path) == [] and ids.run_names(tmp_path) == []
    make(tmp_path, OTHER)
    assert [run.id for run in list_runs(tmp_path)] == [OTHER]
    assert ids.resolve(tmp_path, "last").name == OTHER
    for word in (RUN, RUN[-4:], deleted_runs.BIN):
        with pytest.raises(UsageError):
            ids.resolve(tmp_path, word)
    ids.check_new_tags(tmp_path / OTHER, [RUN[-4:]])


def test_a_restored_run_is_trained_on_as_if_it_had_never_been_deleted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = home / "runs"
    (whole, first), (path, lock) = create_run(runs), create_run(runs)
    assert execute_run(whole, first, log=lambda _: None) == 0
    first.release()
    update = Trainer._update

    def stopping(trainer: Trainer, images: object, targets: object) -> None:
        if trainer.step == 30:
            (path / "control" / requests.STOP).touch()
        update(trainer, images, targets)  # pyright: ignore[reportArgumentType] handed on as they came

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", stopping)
        execute_run(path, lock, log=lambda _: None)
        lock.release()
    assert read_run(path).state == "stopped" and not same(weights_of(path), weights_of(whole))
    deleted_runs.delete(runs, path.name)
    deleted_runs.restore(runs, path.name)
    assert spawn.resume(path, log=lambda _: None) == 0
    assert same(weights_of(path), weights_of(whole))


def test_what_has_been_there_for_seven_days_is_emptied_and_nothing_else(tmp_path: Path) -> None:
    old, new = put_in_bin(tmp_path, 7), put_in_bin(tmp_path, 6.999, OTHER)
    deleted_runs.in_bin(tmp_path)
    assert old.path.exists(), "listing deletes nothing"
    stranger = tmp_path / deleted_runs.BIN / "20201130T101500Z-mine"
    stranger.mkdir()
    (tmp_path / deleted_runs.BIN / "19990101T000000Z-a file").write_text("x")
    deleted_runs.empty_old(tmp_path, NOW)
    assert [one.id for one in deleted_runs.in_bin(tmp_path)] == [OTHER] and contents(new.path)
    assert stranger.exists(), "a folder that is no run"
    assert sorted(os.listdir(tmp_path / deleted_runs.BIN))[0] == "19990101T000000Z-a file", "no rest of the old one"
    assert tmp_path.exists(), "the link inside was not followed"


@pytest.mark.parametrize("moment", ["a run is deleted", "a training starts"])
def test_the_bin_is_emptied_when(home: Path, moment: str) -> None:
    runs = home / "runs"
    age = datetime.now(UTC) - NOW
    old = put_in_bin(runs, 7.1 - age / timedelta(days=1))
    new = put_in_bin(runs, 6.9 - age / timedelta(days=1), OTHER)
    if moment == "a run is deleted":
        make(runs, "another")
        deleted_runs.delete(runs, "another")
    else:
        create_run(runs)[1].release()
    assert not old.path.exists() and new.path.exists()


def test_emptying_spares_a_run_that_somebody_works_on(tmp_path: Path) -> None:
    held, live = put_in_bin(tmp_path, 9), put_in_bin(tmp_path, 9, OTHER)
    values = {"schema": 1, "state": "training", "heartbeat": datetime.now(UTC).isoformat(), **process.identity()}
    (live.path / "status.json").write_text(str(values).replace("'", '"'))
    with RunLock.acquire(held.path), RunLock.acquire(live.path):
        deleted_runs.empty_old(tmp_path, NOW)
        with pytest.raises(WorkError, match="running"):
            deleted_runs.empty(tmp_path)
        assert held.path.exists() and live.path.exists()
        with pytest.raises(WorkError, match="lock"):
            deleted_runs.restore(tmp_path, RUN)
    assert deleted_runs.empty(tmp_path) == 2
    assert os.listdir(tmp_path / deleted_runs.BIN) == []


def test_what_an_interrupted_emptying_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    old = put_in_bin(tmp_path, 8)
    left = old.path.with_name(f".emptied-{old.path.name}")
    old.path.rename(left)
    with pytest.raises(UsageError, match="not in the bin"):
        deleted_runs.restore(tmp_path, RUN)
    deleted_runs.empty_old(tmp_path, NOW)
    assert not left.exists()


def test_a_bin_that_is_a_link_is_neither_used_nor_emptied(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    put_in_bin(elsewhere, 30)
    path = make(runs, OTHER)
    (runs / deleted_runs.BIN).symlink_to(elsewhere / deleted_runs.BIN)
    with pytest.raises(WorkError, match=r"cannot be moved into .*\.bin: it is a link.*--for-good"):
        deleted_runs.delete(runs, OTHER)
    deleted_runs.empty_old(runs, NOW)
    assert deleted_runs.in_bin(runs) == [] and deleted_runs.empty(runs) == 0
    assert path.exists() and len(deleted_runs.in_bin(elsewhere)) == 1


def test_a_link_in_the_bin_is_not_followed(tmp_path: Path) -> None:
    precious = make(tmp_path / "elsewhere")
    (tmp_path / deleted_runs.BIN).mkdir()
    for name in (f"20201130T101500Z-{RUN}", f".emptied-20201130T101500Z-{RUN}"):
        (tmp_path / deleted_runs.BIN / name).symlink_to(precious)
    deleted_runs.empty_old(tmp_path, NOW)
    with pytest.raises(UsageError, match="not in the bin"):
        deleted_runs.restore(tmp_path, RUN)
    assert contents(precious)


@pytest.mark.parametrize("what", ["another file system", "a file", "no room"])
def test_a_bin_that_cannot_be_used_leaves_the_run_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = make(tmp_path)
    if what == "a file":
        (tmp_path / deleted_runs.BIN).write_text("x")
    else:
        code = errno.EXDEV if what == "another file system" else errno.ENOSPC

        def refuse(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(WorkError, match=r"cannot be moved into .*--for-good") as told:
        deleted_runs.delete(tmp_path, RUN)
    assert "\n" not in str(told.value)
    assert [run.id for run in list_runs(tmp_path)] == [RUN] and contents(path)


def test_a_run_that_runs_or_is_being_changed_is_not_deleted(tmp_path: Path) -> None:
    path = make(tmp_path)
    with RunLock.acquire(path), pytest.raises(WorkError, match="lock"):
        deleted_runs.delete(tmp_path, RUN)
    with RunWriter.create(tmp_path, OTHER, {}) as writer:
        with pytest.raises(UsageError, match="it is queued; stop it first"):
            deleted_runs.delete(tmp_path, OTHER)
        writer.lock.release()
    assert path.exists() and not (tmp_path / deleted_runs.BIN).exists()


@pytest.mark.parametrize("kind", ["run", "empty folder", "file", "dangling link"])
def test_a_name_that_is_taken_again_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path)
    deleted_runs.delete(tmp_path, RUN)
    if kind == "run":
        make(tmp_path)
    elif kind == "empty folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("x")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UsageError, match=f"cannot be restored: {path} exists"):
        deleted_runs.restore(tmp_path, RUN)
    assert os.path.lexists(path) and len(deleted_runs.in_bin(tmp_path)) == 1


def test_of_two_with_one_id_the_one_deleted_last_comes_back_first(tmp_path: Path) -> None:
    for text in ("first", "second", "third"):
        write_notes(make(tmp_path), Notes((), text))
        deleted_runs._move(tmp_path / RUN, deleted_runs._made_bin(tmp_path), NOW)
    found = []
    for _ in range(3):
        found.append(read_run(deleted_runs.restore(tmp_path, RUN)).notes.remark)
        (tmp_path / RUN).rename(tmp_path / found[-1])
    assert found == ["third", "second", "first"]


@pytest.mark.parametrize("word", [OTHER, OTHER[:13], OTHER[-4:], "last"])
def test_a_run_in_the_bin_is_named_by_a_part_of_its_id(tmp_path: Path, word: str) -> None:
    put_in_bin(tmp_path, 1)
    put_in_bin(tmp_path, 0, OTHER)
    assert deleted_runs.restore(tmp_path, word).name == OTHER


@pytest.mark.parametrize(
    ("word", "told"),
    [("20261120", "fits 2 runs in the bin"), ("lenet", "is not in the bin"), ("../../etc", "is not in the bin")],
)
def test_a_word_that_names_no_run_in_the_bin_is_told(tmp_path: Path, word: str, told: str) -> None:
    put_in_bin(tmp_path, 1)
    put_in_bin(tmp_path, 0, OTHER)
    with pytest.raises(UsageError, match=told):
        deleted_runs.restore(tmp_path, word)


def test_a_run_that_was_never_deleted_is_told_as_such(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(UsageError, match="was not deleted"):
        deleted_runs.restore(tmp_path, RUN)


def test_exporting_a_restored_run_gives_the_same_table(tmp_path: Path) -> None:
    path = make(tmp_path)
    tables = []
    for _ in range(2):
        tables.append(io.StringIO())
        write_csv(path, tables[-1])
        deleted_runs.delete(tmp_path, RUN)
        deleted_runs.restore(tmp_path, RUN)
    assert tables[0].getvalue() == tables[1].getvalue() != ""


def test_whoever_comes_too_late_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot be locked"):
        RunLock.acquire(tmp_path / RUN, 0.0, create=False)
    assert not (tmp_path / RUN).exists()

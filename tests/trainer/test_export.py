"""The records of a run as a table for other programs."""

import csv
import io
import os
import sys
import time
import types
from pathlib import Path

import pytest
from cnn_explorer.trainer.common import output_file
from cnn_explorer.trainer.export.records import write_csv
from cnn_explorer.trainer.export.tensorboard import write_events
from cnn_explorer.trainer.planning import calibration_store
from cnn_explorer.trainer.runs import annotations
from cnn_explorer.trainer.runs.run_writer import Notes, RunWriter
from cnn_explorer.tui.core import saved_state
from cnn_explorer.tui.core.saved_state import SavedState


def test_export_of_a_growing_run_is_consistent(tmp_path):
    writer = RunWriter.create(tmp_path, "a-run", {})
    for step in range(10):
        writer.record({"kind": "train", "step": step})

    class Growing(io.StringIO):
        def write(self, text):
            writer.record({"kind": "train", "step": 99, "new_column": 1})
            return super().write(text)

    target = Growing()
    assert write_csv(writer.path, target) == 10
    assert target.getvalue().splitlines() == ["kind,step"] + [f"train,{step}" for step in range(10)]
    writer.lock.release()


def test_columns_are_united_over_all_records(tmp_path):
    writer = RunWriter.create(tmp_path, "a-run", {"data": {"classes": ["cat", "dog"]}})
    writer.record({"kind": "event", "name": "begun", "where": {"device": "cpu"}})
    writer.record({"kind": "train", "step": 1, "loss": float("inf")})
    writer.record({"kind": "eval", "per_class": [0.5, 1.0], "confusion": [[1, 0, 0], 2, 3]})
    target = io.StringIO()
    assert write_csv(writer.path, target) == 3
    begun, train, evaluated = csv.DictReader(io.StringIO(target.getvalue()))
    assert list(begun)[:3] == ["kind", "step", "loss"]
    assert (begun["where.device"], train["loss"], train["where.device"]) == ("cpu", "inf", "")
    assert (evaluated["per_class[dog]"], evaluated["confusion[0]"]) == ("1.0", "[1, 0, 0]")
    writer.lock.release()


def test_a_run_without_records_is_a_table_without_rows(tmp_path):
    target = io.StringIO()
    assert write_csv(tmp_path, target) == 0
    assert target.getvalue().strip() == ""


def left_by_a_killed_writer(path: Path, *, hours: float) -> Path:
    left = path.with_name(f".{path.name}.4711.1.tmp")
    left.write_text("half of it")
    then = time.time() - 3600 * hours
    os.utime(left, (then, then))
    return left


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("run.csv", lambda path: output_file.save(path, b"new")),
        ("notes.json", lambda path: annotations.write_notes(path.parent, Notes(remark="new"))),
        ("app.json", lambda path: saved_state.save(path.parent, SavedState(run_pane="new"))),
        ("calibrations.json", lambda path: calibration_store.remember("key", {"why": "new"})),
    ],
)
def test_what_a_killed_writer_left_is_cleared_away(tmp_path, monkeypatch, name, write):
    monkeypatch.setenv("CNN_EXPLORER_STATE", str(tmp_path))
    old = left_by_a_killed_writer(tmp_path / name, hours=2)
    write(tmp_path / name)
    assert "new" in (tmp_path / name).read_text() and not old.exists()
    young = left_by_a_killed_writer(tmp_path / name, hours=0)
    other = left_by_a_killed_writer(tmp_path / "other.txt", hours=2)
    write(tmp_path / name)
    assert young.exists() and other.exists()


class SilentWriter:
    """TensorBoard's writer, as far as an export needs it, which writes nothing."""

    def __init__(self, folder):
        Path(folder).mkdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def add_text(self, *_):
        return None


def test_events_that_were_there_stay_until_the_new_ones_are(tmp_path, monkeypatch):
    class Writing(SilentWriter):
        def __init__(self, folder):
            super().__init__(folder)
            Path(folder, "events.out.tfevents.new").write_text("new")

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writing))
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "events.out.tfevents.old").write_text("old")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(os, "replace", die)
        write_events(tmp_path, tmp_path / "board")
    assert [path.read_text() for path in (tmp_path / "board").iterdir()] == ["old"]
    write_events(tmp_path, tmp_path / "board")
    assert [path.read_text() for path in (tmp_path / "board").iterdir()] == ["new"]


def test_figures_of_no_step_stand_at_the_beginning_of_the_events(tmp_path, monkeypatch):
    """With a writer that only notes: TensorBoard itself is an extra, and reads what it writes in test_export_weights."""
    noted = []

    class Noting(SilentWriter):
        def add_scalar(self, name, value, step, time):
            noted.append((name, value, step))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Noting))
    with RunWriter.create(tmp_path, "a-run", {}) as writer:
        writer.record({"kind": "eval", "split": "test", "loss": 0.5})
        writer.record({"kind": "train", "step": 7, "loss": 0.25})
    assert write_events(writer.path, tmp_path / "board") == 2
    assert noted == [("loss/test", 0.5, 0), ("loss/train", 0.25, 7)]
    writer.lock.release()

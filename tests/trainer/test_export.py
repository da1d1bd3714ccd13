"""The records of a run as a table for other programs."""

import csv
import io
import sys
import types
from pathlib import Path

from cnn_explorer.trainer.export.records import write_csv
from cnn_explorer.trainer.export.tensorboard import write_events
from cnn_explorer.trainer.runs.run_writer import RunWriter


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


def test_figures_of_no_step_stand_at_the_beginning_of_the_events(tmp_path, monkeypatch):
    """With a writer that only notes: TensorBoard itself is an extra, and reads what it writes in test_export_weights."""
    noted = []

    class Noting:
        def __init__(self, folder):
            Path(folder).mkdir()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def add_text(self, *_):
            return None

        def add_scalar(self, name, value, step, time):
            noted.append((name, value, step))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Noting))
    with RunWriter.create(tmp_path, "a-run", {}) as writer:
        writer.record({"kind": "eval", "split": "test", "loss": 0.5})
        writer.record({"kind": "train", "step": 7, "loss": 0.25})
    assert write_events(writer.path, tmp_path / "board") == 2
    assert noted == [("loss/test", 0.5, 0), ("loss/train", 0.25, 7)]
    writer.lock.release()

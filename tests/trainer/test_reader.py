"""Reading run directories: the state that is inferred, lists, and anything that a file may hold."""

import json
import math
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.common import files
from cnn_explorer.trainer.runs import reader
from cnn_explorer.trainer.runs.annotations import Notes
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.reader import LogTail, MetricsTail, RunCache, list_runs, number, read_run, skim, summary
from cnn_explorer.trainer.runs.run_writer import RunWriter
from cnn_explorer.trainer.runs.states import ENDED, STATES
from hypothesis import given, settings
from hypothesis import strategies as st

CONFIG = {
    "network": {"name": "resnet18"},
    "data": {"name": "cifar10", "classes": ["cat", "dog"]},
    "recipe": {"epochs": 30},
}


@pytest.fixture
def writer(tmp_path):
    lock = RunLock.acquire(tmp_path / "a-run")
    with RunWriter.create(tmp_path, "a-run", CONFIG, lock) as made:
        yield made
    lock.release()


def test_a_live_run_and_its_figures(writer):
    writer.status(
        state="training",
        phase="epoch 14 of 30",
        progress=0.45,
        eta_s=95,
        best={"accuracy": 0.83, "epoch": 13},
        test=None,
    )
    run = read_run(writer.path)
    assert (run.state, run.live, run.reason, run.problems) == ("training", True, "", ())
    assert (run.network, run.dataset, run.classes) == ("resnet18", "cifar10", ("cat", "dog"))
    assert (run.epoch, run.epochs, run.progress, run.eta_s) == (14, 30, 0.45, 95)
    assert (run.best_accuracy, run.best_epoch, run.test_accuracy) == (0.83, 13, None)
    assert run.created is not None
    assert json.loads(json.dumps(summary(run)))["state"] == "training"


@pytest.mark.parametrize("state", sorted(STATES.keys() - {"crashed"}))
def test_a_free_lock_means_crashed_unless_an_end_was_written(writer, state):
    writer.status(state=state)
    assert read_run(writer.path).state == state
    writer.lock.release()
    run = read_run(writer.path)
    assert run.state == (state if state in ENDED else "crashed")
    assert bool(run.reason) == (state not in ENDED)


def test_a_status_of_the_wrong_type(writer):
    for contents in (
        b"[]",
        b'"training"',
        b"17",
        b'{"state": 4}',
        b'{"state": "levitating"}',
        b'{"state": ["finished"]}',
    ):
        (writer.path / "status.json").write_bytes(contents)
        assert read_run(writer.path).state == "starting"
    writer.lock.release()
    assert read_run(writer.path).state == "crashed"


def test_a_run_that_is_just_being_created_is_queued(tmp_path):
    (tmp_path / "a-run").mkdir()
    (tmp_path / "a-run" / "lock").touch()  # made, and not locked yet
    assert read_run(tmp_path / "a-run").state == "queued"
    lock = RunLock.acquire(tmp_path / "a-run")
    assert read_run(tmp_path / "a-run").state == "queued"
    os.utime(tmp_path / "a-run", (1, 1))
    assert read_run(tmp_path / "a-run").state == "queued"
    lock.release()
    os.utime(tmp_path / "a-run", (1, 1))
    assert [run.state for run in list_runs(tmp_path)] == ["crashed"]


def test_a_run_that_ends_while_it_is_read_is_not_called_crashed(writer, monkeypatch):
    """The status is read, the trainer writes the end and frees the lock, the lock is probed."""
    writer.status(state="training")
    plain = reader.is_locked

    def probe(path):
        if writer.lock.held:
            writer.status(state="finished")
            writer.lock.release()
        return plain(path)

    monkeypatch.setattr(reader, "is_locked", probe)
    assert read_run(writer.path).state == "finished"


def test_a_run_that_is_resumed_while_it_is_read_is_not_called_crashed(writer, monkeypatch):
    """The old status is read, the lock is found free, and before the second look someone resumes the run."""
    writer.status(state="training")
    writer.lock.release()
    plain, taken = reader.is_locked, []

    def probe(path):
        free = plain(path)
        if not taken:
            taken.append(RunLock.acquire(path))
            writer.status(state="starting")
        return free

    monkeypatch.setattr(reader, "is_locked", probe)
    assert read_run(writer.path).state == "starting"
    taken[0].release()


def test_a_missing_run_is_gone(tmp_path):
    run = read_run(tmp_path / "missing")
    assert run.state == "crashed"
    assert "run.json is missing" in run.problems


def test_lists_are_newest_first_and_skip_what_is_no_run(tmp_path):
    for name in ("20261120-120000-a-b-cccc", "20261121-120000-a-b-cccc", "20261119-120000-a-b-cccc"):
        RunWriter.create(tmp_path, name, CONFIG).lock.release()
    (tmp_path / "holiday-images").mkdir()
    (tmp_path / "readme.txt").touch()
    (tmp_path / ".removed-x").mkdir()
    assert [run.id[:8] for run in list_runs(tmp_path)] == ["20261121", "20261120", "20261119"]


def test_a_missing_folder_holds_no_runs_and_a_file_is_an_error(tmp_path):
    assert list_runs(tmp_path / "missing") == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        list_runs(tmp_path / "file")


def test_links_are_not_followed(tmp_path):
    runs, outside = tmp_path / "runs", tmp_path / "outside"
    RunWriter.create(tmp_path, "outside", CONFIG).lock.release()
    made = RunWriter.create(runs, "a-run", CONFIG)
    (runs / "a-link").symlink_to(outside)
    (made.path / "run.json").unlink()
    (made.path / "run.json").symlink_to(outside / "run.json")
    found = list_runs(runs)
    assert [run.id for run in found] == ["a-run"]
    assert found[0].config == {}
    assert any(problem.startswith("run.json cannot be read") for problem in found[0].problems)
    made.lock.release()


@pytest.mark.parametrize("name", ["run.json", "status.json", "notes.json", "metrics.jsonl", "train.log", "lock"])
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(tmp_path, name):
    writer = RunWriter.create(tmp_path, "a-run", CONFIG)
    writer.lock.release()
    (writer.path / name).unlink(missing_ok=True)
    os.mkfifo(writer.path / name)
    read_run(writer.path)
    assert MetricsTail(writer.path).read().records == []
    assert LogTail(writer.path).read().lines == []
    assert skim(writer.path) == []


def test_a_second_look_sees_what_changed_and_only_reads_that(tmp_path, monkeypatch):
    writers = [RunWriter.create(tmp_path, name, CONFIG) for name in ("a", "b")]
    cache = RunCache(tmp_path)
    cache.read()
    opened = []
    plain = reader.read_bytes
    monkeypatch.setattr(reader, "read_bytes", lambda path, limit: opened.append(Path(path).name) or plain(path, limit))
    writers[0].status(state="training")
    assert {run.id: run.state for run in cache.read()} == {"a": "training", "b": "queued"}
    assert opened.count("status.json") == 1 and "run.json" not in opened
    writers[1].lock.release()
    assert {run.id: run.state for run in cache.read()}["b"] == "crashed", "a death changes no file"
    (tmp_path / "a" / "notes.json").write_text('{"tags": ["good"]}')
    assert {run.id: run.notes.tags for run in cache.read()}["a"] == ("good",)
    writers[0].lock.release()


def test_a_removed_run_leaves_the_list(tmp_path):
    writer = RunWriter.create(tmp_path, "a", CONFIG)
    cache = RunCache(tmp_path)
    assert len(cache.read()) == 1
    for entry in writer.path.glob("*"):
        entry.unlink() if entry.is_file() else entry.rmdir()
    writer.path.rmdir()
    assert cache.read() == []
    writer.lock.release()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3),
    max_leaves=8,
)
WORDS = (
    "state phase progress eta_s pid process_started process_ticks host boot_id heartbeat best test error epoch "
    "network data recipe created tags remark name classes epochs accuracy"
)
KEYS = st.sampled_from(WORDS.split())
LIKELY = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=8)
CONTENTS = st.binary(max_size=300) | LIKELY.map(lambda value: json.dumps(value).encode())
NAMES = st.sampled_from(["run.json", "status.json", "notes.json", "metrics.jsonl", "train.log", "lock", "control"])


@given(st.dictionaries(NAMES, CONTENTS))
@settings(max_examples=150, deadline=None)
def test_no_contents_of_any_file_raise(contents):
    from cnn_explorer.cli import runs_text

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a-run"
        path.mkdir()
        for name, data in contents.items():
            (path / name).write_bytes(data)
        run = read_run(path)
        assert run.state in STATES
        assert list_runs(Path(folder)) in ([], [run])
        json.dumps(summary(run), allow_nan=False)
        MetricsTail(path).read()
        skim(path)
        metrics, log = reader.newest_metrics(path), reader.last_log_lines(path, 5)
        for screen in (runs_text.Screen(80), runs_text.Screen(None, signs=False)):
            for text in (runs_text.table([run], screen), runs_text.details(run, metrics, log, screen)):
                text.encode("utf-8")
                assert not any(ord(character) < 32 and character != "\n" for character in text)


@given(st.lists(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), max_size=10))
@settings(deadline=None)
def test_records_are_the_lines_that_are_objects(lines):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        data = b"\n".join(lines) + b"\n"
        (path / "metrics.jsonl").write_bytes(data)
        follower = MetricsTail(path)
        records = follower.read().records
        assert all(isinstance(record, dict) for record in records)
        assert len(records) + follower.skipped == data.count(b"\n")
        assert [repr(record) for record in reader.newest_records(path)][::-1] == [repr(record) for record in records]


def test_a_file_that_cannot_be_closed_was_read_all_the_same(tmp_path, monkeypatch):
    """A generator that is dropped halfway printed a traceback: nobody can catch what it raises then."""
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    (tmp_path / "train.log").write_text("a line\n")
    close = os.close

    def fails(descriptor):
        close(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "close", fails)
    records = reader.newest_records(tmp_path)
    assert isinstance(records, Generator) and next(records) == {"step": 2}
    records.close()
    assert MetricsTail(tmp_path).read().records == skim(tmp_path) == [{"step": 1}, {"step": 2}]
    assert LogTail(tmp_path).read().lines == ["a line"]
    assert files.read_bytes(tmp_path / "train.log", 100) == b"a line\n"


@pytest.mark.parametrize("value", [True, "1", None, [], math.nan, math.inf, 10**400])
def test_what_is_no_number(value):
    assert number(value) is None


def test_numbers():
    assert (number(3), number(0.5)) == (3.0, 0.5)


@pytest.mark.parametrize(
    ("status", "epoch"),
    [
        ({"epoch": 7, "phase": "epoch 3 of 30"}, 7),
        ({"phase": "epoch 3 of 30"}, 3),
        ({"phase": "epoch 3 of 30", "progress": 0.09}, 3),
        ({"phase": "compiling", "progress": 0.1}, 3),
        ({"progress": 7}, 30),
        ({}, None),
    ],
)
def test_the_epoch_is_found_where_it_is(writer, status, epoch):
    writer.status(state="training", **status)
    assert read_run(writer.path).epoch == epoch


def test_a_killed_run_and_a_stopped_one_at_the_same_step_have_the_same_epoch(writer):
    writer.status(state="training", phase="epoch 3 of 30", progress=0.09)
    writer.lock.release()
    killed = read_run(writer.path)
    writer.status(state="stopped", phase="")
    stopped = read_run(writer.path)
    assert (killed.state, stopped.state) == ("crashed", "stopped")
    assert killed.epoch_reached == stopped.epoch_reached == 2


def test_a_tag_that_is_longer_than_any_may_be_is_cut_where_tags_are_told() -> None:
    notes = Notes(("short", "t" * 40, "u" * 3000))
    assert notes.tags_text == f"short {'t' * 40} {'u' * 39}…"

"""Writing a run directory: whole records, atomic files, full disks, and what a killed writer leaves behind."""

import errno
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy
import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.common import files
from cnn_explorer.trainer.common.json_safe import encode_record, restore
from cnn_explorer.trainer.runs import run_writer
from cnn_explorer.trainer.runs.lock import RunLock, is_locked
from cnn_explorer.trainer.runs.reader import MetricsTail, read_run
from cnn_explorer.trainer.runs.run_writer import DiskFull, Notes, RunWriteError, RunWriter
from hypothesis import given
from hypothesis import strategies as st

CONFIG = {"network": {"name": "lenet5"}, "data": {"name": "digits"}, "recipe": {"epochs": 3}}


@pytest.fixture
def writer(tmp_path):
    lock = RunLock.acquire(tmp_path / "runs" / "a-run")
    with RunWriter.create(tmp_path / "runs", "a-run", CONFIG, lock) as made:
        yield made
    lock.release()


def lines(writer: RunWriter) -> list[bytes]:
    return (writer.path / "metrics.jsonl").read_bytes().splitlines(keepends=True)


def status(writer: RunWriter) -> dict:
    return json.loads((writer.path / "status.json").read_bytes())


def test_a_new_run_is_complete(writer):
    config = json.loads((writer.path / "run.json").read_bytes())
    assert config["schema"] == 1
    assert config["id"] == "a-run"
    assert config["network"] == {"name": "lenet5"}
    assert config["created"].endswith("Z")
    assert status(writer)["state"] == "queued"
    assert {"pid", "process_started", "host", "boot_id", "heartbeat"} <= status(writer).keys()
    names = {entry.name for entry in writer.path.iterdir()}
    assert names == {"run.json", "status.json", "metrics.jsonl", "lock", "control", "checkpoints"}


def test_a_name_is_used_once(writer):
    with pytest.raises(WorkError, match="exists already"):
        RunWriter.create(writer.path.parent, "a-run", CONFIG)


def test_a_bad_name_makes_nothing(tmp_path):
    with pytest.raises(UsageError):
        RunWriter.create(tmp_path / "runs", "../a", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    opened = []
    plain = run_writer.open_regular
    monkeypatch.setattr(run_writer, "open_regular", lambda *how: opened.append(plain(*how)) or opened[-1])
    monkeypatch.setattr(run_writer, "replace_file", refuse)
    with pytest.raises(DiskFull):
        RunWriter.create(tmp_path, "a-run", CONFIG)
    assert list(tmp_path.iterdir()) == []
    assert len(opened) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_a_record_is_one_line_in_one_write(writer, monkeypatch):
    written = []
    plain = os.write
    monkeypatch.setattr(run_writer.os, "write", lambda fd, data: written.append(bytes(data)) or plain(fd, data))
    writer.record({"kind": "train", "step": 1, "loss": 0.5, "note": "two\nlines"})
    assert len(written) == 1
    assert lines(writer) == written
    assert json.loads(written[0]) == {"kind": "train", "step": 1, "loss": 0.5, "note": "two\nlines"}


def test_numbers_of_numpy_are_taken(writer):
    writer.record({"loss": numpy.float32(0.5), "step": numpy.int64(3), "per_class": numpy.array([0.5, 1.0])})
    assert json.loads(lines(writer)[0]) == {"loss": 0.5, "step": 3, "per_class": [0.5, 1.0]}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, numpy.float32("nan"), numpy.float64("inf")])
def test_nan_and_infinities_are_valid_json_and_come_back(writer, number):
    writer.record({"kind": "train", "loss": number, "accuracy": 0.5, "per_class": [0.5, number]})
    raw = json.loads(lines(writer)[0], parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert raw["loss"] is None
    [record] = MetricsTail(writer.path).read().records
    for value in (record["loss"], record["per_class"][1]):
        assert math.isnan(value) if math.isnan(number) else value == number
    assert record["accuracy"] == 0.5
    assert "nonfinite" not in record


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "nonfinite"), st.floats() | st.integers()))
def test_every_number_comes_back(record):
    back = restore(json.loads(encode_record(record)))
    assert back.keys() == record.keys()
    for key, value in record.items():
        assert back[key] == value or (math.isnan(value) and math.isnan(back[key]))


@pytest.fixture
def size_limit():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_record_that_does_not_fit_leaves_no_part_of_itself(writer, size_limit):
    """The kernel takes part of the last record and says so by a short write only."""
    size_limit(1000)
    fitting = 0
    with pytest.raises(DiskFull):
        for step in range(100):
            writer.record({"kind": "train", "step": step, "loss": 0.123456789})
            fitting += 1
    with pytest.raises(DiskFull):
        writer.record({"kind": "train", "step": 100, "filling": "x" * 2000})
    assert 0 < fitting < 100
    assert [json.loads(line)["step"] for line in lines(writer)] == list(range(fitting))
    size_limit(resource.RLIM_INFINITY)
    writer.record({"kind": "train", "step": 1000})
    assert json.loads(lines(writer)[-1]) == {"kind": "train", "step": 1000}
    assert len(lines(writer)) == fitting + 1


def test_a_part_that_cannot_be_cut_off_is_closed_off(writer, size_limit, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(run_writer.os, "ftruncate", refuse)
    size_limit(30)
    writer.record({"step": 1})
    with pytest.raises(DiskFull):
        writer.record({"step": 2, "filling": "x" * 100})
    size_limit(resource.RLIM_INFINITY)
    writer.record({"step": 3})
    tail = MetricsTail(writer.path)
    assert [record["step"] for record in tail.read().records] == [1, 3]
    assert tail.skipped == 1


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, RunWriteError)]
)
def test_refusals_have_types(writer, monkeypatch, code, kind):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(run_writer.os, "write", refuse)
    monkeypatch.setattr(files.os, "write", refuse)
    for attempt in (lambda: writer.record({"step": 1}), lambda: writer.status(state="training")):
        with pytest.raises(RunWriteError) as caught:
            attempt()
        assert type(caught.value) is kind
    monkeypatch.undo()
    assert status(writer)["state"] == "queued"
    writer.status(progress=0.5)
    assert status(writer)["state"] == "training", "a change that could not be written is written with the next one"


FULL_DISK = """
import sys
from pathlib import Path
from cnn_explorer.trainer.runs.run_writer import DiskFull, RunWriter
runs = Path(sys.argv[1])
writer = RunWriter.create(runs, "a-run", {"network": {"name": "lenet5"}})
refused = 0
(runs / "filling").write_bytes(b"")
with open(runs / "filling", "ab", buffering=0) as filling:
    for step in range(3000):
        try:
            writer.record({"kind": "train", "step": step, "loss": 0.5})
            if step % 10 == 0:
                writer.status(state="training", progress=step / 3000)
        except DiskFull:
            refused += 1
        try:
            filling.write(b"x" * 64)
        except OSError:
            pass
writer.status(state="finished", exit=0)
writer.close()
writer.lock.release()
from cnn_explorer.trainer.runs.reader import MetricsTail, read_run
tail = MetricsTail(runs / "a-run")
steps = [record["step"] for record in tail.read().records]
assert refused > 100, refused
assert steps == sorted(steps) and len(steps) > 100 and tail.skipped == 0, (len(steps), tail.skipped)
assert read_run(runs / "a-run").state == "finished"
assert not list((runs / "a-run").glob(".*.tmp"))
print("passed")
"""


def test_a_full_disk_loses_records_but_neither_the_file_nor_the_end(tmp_path):
    script = f'mount -t tmpfs -o size=128k tmpfs "{tmp_path}" && exec "{sys.executable}" -c "$0" "{tmp_path}"'
    try:
        probe = subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)], capture_output=True)
    except FileNotFoundError:
        pytest.skip("no unshare on this system")
    if probe.returncode:
        pytest.skip("no small file system can be mounted here")
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script, FULL_DISK], capture_output=True, text=True)
    assert done.stdout == "passed\n", done.stderr


def test_status_is_replaced_as_a_whole_and_only_the_end_is_synced(writer, monkeypatch):
    synced = []
    plain = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda fd: synced.append(fd) or plain(fd))
    before = os.stat(writer.path / "status.json").st_ino
    with open(writer.path / "status.json", "rb") as opened:
        writer.status(state="training", best={"accuracy": 0.5, "epoch": 1})
        assert os.stat(writer.path / "status.json").st_ino != before
        assert json.loads(opened.read())["state"] == "queued", "who has the old file open reads it to the end"
    assert synced == []
    writer.status(state="finished")
    assert synced
    assert status(writer)["best"] == {"accuracy": 0.5, "epoch": 1}


def test_status_is_safe_from_several_threads(writer):
    def change(name: str) -> None:
        for count in range(50):
            writer.status(**{name: count})

    threads = [threading.Thread(target=change, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status(writer)[name] for name in "abcd"] == [49] * 4
    assert not list(writer.path.glob(".*.tmp"))


def test_keep_alive_touches_the_status_until_closed(writer):
    path = writer.path / "status.json"
    os.utime(path, (1, 1))
    contents = path.read_bytes()
    writer.keep_alive(every_s=0.01)
    for _ in range(500):
        if path.stat().st_mtime > 1:
            break
        threading.Event().wait(0.01)
    assert path.stat().st_mtime > 1
    assert path.read_bytes() == contents


def fill(writer: RunWriter) -> None:
    for step in (10, 20, 30):
        writer.record({"kind": "train", "step": step})
        writer.record({"kind": "eval", "split": "validation", "step": step})
        writer.event("checkpoint", "last", step=step)
    writer.event("resumed")


def test_records_after_a_checkpoint_are_dropped(writer):
    fill(writer)
    tail = MetricsTail(writer.path)
    assert len(tail.read().records) == 10
    assert writer.drop_records_after(20) == 3
    writer.record({"kind": "train", "step": 21})
    batch = tail.read()
    assert batch.reset
    assert [record.get("step") for record in batch.records] == [10, 10, 10, 20, 20, 20, None, 21]


def test_dropping_nothing_leaves_the_file_alone(writer):
    fill(writer)
    before = os.stat(writer.path / "metrics.jsonl").st_ino
    assert writer.drop_records_after(30) == 0
    assert os.stat(writer.path / "metrics.jsonl").st_ino == before


def test_dropping_on_a_full_disk_changes_nothing(writer, monkeypatch):
    fill(writer)
    before = lines(writer)

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(run_writer.os, "replace", refuse)
    with pytest.raises(DiskFull):
        writer.drop_records_after(10)
    assert lines(writer) == before
    assert not list(writer.path.glob(".*.tmp"))
    writer.record({"kind": "train", "step": 40})
    assert len(lines(writer)) == len(before) + 1


def test_damaged_lines_go_with_the_dropped_ones(writer):
    fill(writer)
    with open(writer.path / "metrics.jsonl", "ab") as file:
        file.write(b'garbage\n{"step": 1}\n[1]\n\0\0\0\n{"torn": ')
    writer.drop_records_after(10)
    assert [json.loads(line).get("step") for line in lines(writer)] == [10, 10, 10, None, 1]


@pytest.mark.parametrize("torn", [b'{"kind": "tr', b"x" * 200_000, b"\0\0\0\0"])
def test_going_on_cuts_a_torn_end_and_leftovers(writer, torn):
    writer.record({"kind": "train", "step": 1})
    with open(writer.path / "metrics.jsonl", "ab") as file:
        file.write(torn)
    (writer.path / ".status.json.4711.1.tmp").write_text("{")
    with RunWriter.open(writer.path, writer.lock) as again:
        again.record({"kind": "train", "step": 2})
    assert [json.loads(line)["step"] for line in lines(writer)] == [1, 2]
    assert not list(writer.path.glob(".*.tmp"))


def test_a_file_that_is_only_torn_becomes_empty(writer):
    (writer.path / "metrics.jsonl").write_bytes(b'{"kind"')
    RunWriter.open(writer.path, writer.lock).close()
    assert lines(writer) == []


def test_going_on_keeps_the_status_and_takes_this_process(writer):
    writer.status(state="training", best={"accuracy": 0.5}, pid=1)
    with RunWriter.open(writer.path, writer.lock) as again:
        again.status(state="starting")
    assert status(writer)["best"] == {"accuracy": 0.5}
    assert status(writer)["pid"] == os.getpid()


@pytest.mark.parametrize("contents", [None, b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_run_json_is_one_line(writer, contents):
    if contents is None:
        (writer.path / "run.json").unlink()
    else:
        (writer.path / "run.json").write_bytes(contents)
    with pytest.raises(WorkError, match=r"run a-run: run\.json") as caught:
        RunWriter.open(writer.path, writer.lock)
    assert "\n" not in str(caught.value)


def test_closing_leaves_the_lock_to_the_caller(writer):
    writer.close()
    writer.close()
    assert is_locked(writer.path) is True


def test_a_metrics_file_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "a-run").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a-run" / "metrics.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(RunWriteError):
        RunWriter.create(tmp_path, "a-run", CONFIG)
    assert (tmp_path / "precious").read_text() == "precious"


def test_notes_are_written_and_read(writer):
    assert run_writer.read_notes(writer.path) == Notes()
    run_writer.write_notes(writer.path, Notes(("good", "wide"), "with warm-up\nand flips"))
    assert run_writer.read_notes(writer.path) == Notes(("good", "wide"), "with warm-up\nand flips")
    assert read_run(writer.path).notes == Notes(("good", "wide"), "with warm-up and flips")


def test_notes_of_a_removed_run_are_an_error(tmp_path):
    with pytest.raises(UsageError, match="no longer there"):
        run_writer.write_notes(tmp_path / "gone", Notes())


@given(st.binary(max_size=200))
def test_damaged_notes_are_none(contents):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "notes.json").write_bytes(contents)
        assert isinstance(run_writer.read_notes(Path(folder)), Notes)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to count open files")
def test_no_file_stays_open(tmp_path):
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    lock = RunLock.acquire(tmp_path / "runs" / "a-run")
    before = open_files()
    with RunWriter.create(tmp_path / "runs", "a-run", CONFIG, lock) as writer:
        while_writing = open_files()
        writer.record({"kind": "train", "step": 7})
        assert writer.drop_records_after(3) == 1
        assert open_files() == while_writing
    assert open_files() == before
    lock.release()


def test_checkpoint_paths(writer):
    paths = run_writer.checkpoint_paths(writer.path)
    assert (paths.last.name, paths.previous.name, paths.best.name) == ("last.pt", "previous.pt", "best.pt")
    assert paths.last.parent == paths.folder == writer.path / "checkpoints"
    assert paths.folder.is_dir()

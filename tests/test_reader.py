"""Reading run directories: the state that is concluded, files that grow, and anything a file may hold."""

import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer import process, reader, tail
from cnn_explorer.trainer.lock import RunLock
from cnn_explorer.trainer.reader import (
    LogTail,
    MetricsTail,
    RunCache,
    conclude,
    list_runs,
    number,
    read_run,
    skim,
    summary,
)
from cnn_explorer.trainer.rundir import RunWriter, timestamp
from cnn_explorer.trainer.states import ENDED, STATES
from cnn_explorer.trainer.textsafe import clean, log_line, pad, shorten, width
from hypothesis import given, settings
from hypothesis import strategies as st

CONFIG = {
    "network": {"name": "resnet18"},
    "data": {"name": "cifar10", "classes": ["cat", "dog"]},
    "recipe": {"epochs": 30},
}
NOW = 1_800_000_000.0


@pytest.fixture
def writer(tmp_path):
    lock = RunLock.acquire(tmp_path / "a-run")
    with RunWriter.create(tmp_path, "a-run", CONFIG, lock) as made:
        yield made
    lock.release()


def record_bytes(*steps: int) -> bytes:
    return b"".join(json.dumps({"kind": "train", "step": step}).encode() + b"\n" for step in steps)


def steps(batch: tail.Batch) -> list[int]:
    return [record["step"] for record in batch.records]


# --- the state -----------------------------------------------------------------------------------------------------------


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


def test_a_killed_process_has_crashed_although_its_status_says_training(tmp_path):
    code = (
        "import os; from pathlib import Path; from cnn_explorer.trainer.rundir import RunWriter;"
        f"w = RunWriter.create(Path({str(tmp_path)!r}), 'a-run', {{}}); w.status(state='training'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert json.loads((tmp_path / "a-run" / "status.json").read_bytes())["state"] == "training"
    assert read_run(tmp_path / "a-run").state == "crashed"


def here(**changes: object) -> dict:
    return {"state": "training"} | process.identity() | {"heartbeat": "2027-01-15T08:00:00Z"} | changes


def elsewhere(**changes: object) -> dict:
    return here(host="another", boot_id="another") | changes


def beat(seconds: float) -> str:
    from datetime import UTC, datetime

    return timestamp(datetime.fromtimestamp(NOW + seconds, UTC))


def test_without_locks_the_process_decides():
    assert conclude(here(), None, None, NOW)[0] == "training"
    state, reason = conclude(here(pid=2**22 + 1), None, NOW, NOW)
    assert state == "crashed" and "gone" in reason


def test_a_pid_that_was_used_again_is_another_process():
    ticks = process.start_ticks(os.getpid())
    reused = here(process_ticks=None if ticks is None else ticks - 1000, process_started=time.time() - 86_400)
    assert conclude(reused, None, NOW, NOW)[0] == "crashed"
    assert process.is_alive(os.getpid(), time.time() - 86_400, None) is False


def test_a_clock_that_was_set_does_not_make_a_stranger_of_the_process():
    ticks = process.start_ticks(os.getpid())
    if ticks is None:
        pytest.skip("clock ticks since the boot are told by Linux only")
    assert process.is_alive(os.getpid(), time.time() + 86_400, ticks) is True


def test_a_process_is_known_by_its_start_where_there_are_no_ticks():
    assert process.is_alive(os.getpid(), process.start_time(os.getpid()), None) is True


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    started, ticks = process.start_time(child.pid), process.start_ticks(child.pid)
    assert child.stdout is not None
    child.stdout.read()
    for _ in range(500):
        if not process.is_alive(child.pid, started, ticks):
            break
        time.sleep(0.01)
    assert process.is_alive(child.pid, started, ticks) is False
    child.communicate()


@pytest.mark.parametrize("pid", [0, -1, 2**31, 10**30, "12", None, True, 1.5])
def test_a_pid_that_is_none_is_dead(pid):
    assert process.is_alive(pid, time.time(), 1) is False


def test_after_a_restart_of_the_machine_the_run_has_crashed():
    state, reason = conclude(here(boot_id="the one before"), None, NOW, NOW)
    assert (state, reason) == ("crashed", "the machine was restarted")


def test_a_held_lock_is_believed_whatever_the_status_says():
    assert conclude(elsewhere(heartbeat="2001-01-01T00:00:00Z"), True, 0.0, NOW)[0] == "training"


def test_a_free_lock_of_another_machine_proves_nothing():
    fresh = elsewhere(heartbeat=beat(-20))
    assert conclude(fresh, False, None, NOW)[0] == "training"
    state, reason = conclude(elsewhere(heartbeat=beat(-600)), False, None, NOW)
    assert state == "crashed" and "600 s" in reason


def test_a_touched_file_counts_as_a_sign_of_life():
    assert conclude(elsewhere(heartbeat=beat(-600)), False, NOW - 10, NOW)[0] == "training"


def test_a_heartbeat_from_the_future_is_no_life_insurance():
    assert conclude(elsewhere(heartbeat=beat(+86_400)), False, NOW + 86_400, NOW)[0] == "crashed"
    assert conclude(elsewhere(heartbeat=beat(+30)), False, None, NOW)[0] == "training", "clocks differ a little"
    assert conclude(elsewhere(heartbeat=beat(+86_400)), False, NOW - 5, NOW)[0] == "training", "the file server knows"


@pytest.mark.parametrize("heartbeat", [None, "", "soon", 1e300, [], {"a": 1}, True])
def test_no_sign_of_life_at_all_is_a_crash(heartbeat):
    assert conclude(elsewhere(heartbeat=heartbeat), False, None, NOW)[0] == "crashed"


def test_a_container_on_the_same_kernel_is_judged_by_the_lock():
    assert conclude(here(host="another"), False, NOW, NOW)[0] == "crashed"
    assert conclude(here(host="another"), True, 0.0, NOW)[0] == "training"


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


# --- lists ---------------------------------------------------------------------------------------------------------------


def test_lists_are_newest_first_and_skip_what_is_no_run(tmp_path):
    for name in ("20261120-120000-a-b-cccc", "20261121-120000-a-b-cccc", "20261119-120000-a-b-cccc"):
        RunWriter.create(tmp_path, name, CONFIG).lock.release()
    (tmp_path / "holiday-pictures").mkdir()
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


# --- metrics -------------------------------------------------------------------------------------------------------------


def test_a_torn_last_line_waits_for_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = record_bytes(1, 2)
    follower = MetricsTail(tmp_path)
    assert follower.read() == tail.Batch([])
    path.write_bytes(whole[:-5])
    assert steps(follower.read()) == [1]
    assert steps(follower.read()) == []
    with open(path, "ab") as file:
        file.write(whole[-5:] + record_bytes(3))
    assert steps(follower.read()) == [2, 3]
    assert follower.skipped == 0


def test_a_file_that_shrank_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2, 3))
    follower = MetricsTail(tmp_path)
    assert not follower.read().reset
    os.truncate(path, len(record_bytes(1)))
    batch = follower.read()
    assert batch.reset and steps(batch) == [1]


def test_a_file_that_was_cut_and_grew_past_the_place_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2, 3))
    follower = MetricsTail(tmp_path)
    follower.read()
    os.truncate(path, 0)
    with open(path, "ab") as file:
        file.write(record_bytes(7, 8, 9, 10))
    batch = follower.read()
    assert batch.reset and steps(batch) == [7, 8, 9, 10]


def test_a_replaced_file_of_the_same_size_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2))
    follower = MetricsTail(tmp_path)
    follower.read()
    (tmp_path / "new").write_bytes(record_bytes(1, 2))
    os.replace(tmp_path / "new", path)
    batch = follower.read()
    assert batch.reset and steps(batch) == [1, 2]


def test_a_file_that_goes_and_comes_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1))
    follower = MetricsTail(tmp_path)
    follower.read()
    path.unlink()
    assert follower.read().records == []
    path.write_bytes(record_bytes(5))
    batch = follower.read()
    assert batch.reset and steps(batch) == [5]


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_read_is_bounded_and_loses_nothing(tmp_path, most, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 100)
    (tmp_path / "metrics.jsonl").write_bytes(record_bytes(*range(50)))
    follower, found = MetricsTail(tmp_path), []
    while True:
        batch = follower.read(max_records=most, budget_s=0)
        assert len(batch.records) <= most
        found += steps(batch)
        if not batch.more:
            break
    assert found == list(range(50))


def test_a_line_without_end_is_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 64)
    monkeypatch.setattr(tail, "LONGEST_LINE", 200)
    (tmp_path / "metrics.jsonl").write_bytes(
        record_bytes(1) + b'{"filling": "' + b"x" * 1000 + b'"}\n' + record_bytes(2)
    )
    follower = MetricsTail(tmp_path)
    assert steps(follower.read()) == [1, 2]


def test_a_tail_may_begin_near_the_end(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(record_bytes(*range(1000)))
    batch = MetricsTail(tmp_path, last_bytes=200).read()
    assert 0 < len(batch.records) < 20
    assert steps(batch)[-1] == 999


GARBAGE = [
    b"",
    b"{",
    b"[1]",
    b"null",
    b'"a"',
    b'{"step": 1',
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"n": ' + b"9" * 5000 + b"}",
]


def test_garbage_between_records_is_skipped_and_counted(tmp_path):
    lines = [line for index, bad in enumerate(GARBAGE) for line in (bad, record_bytes(index).strip())]
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    follower = MetricsTail(tmp_path)
    assert steps(follower.read(budget_s=60)) == list(range(len(GARBAGE)))
    assert follower.skipped == len(GARBAGE)


def test_bare_nan_and_infinity_are_taken_and_huge_integers_tamed(tmp_path):
    line = (
        b'{"loss": NaN, "lr": -Infinity, "accuracy": 1e999, "step": '
        + b"9" * 400
        + b', "nonfinite": {"x": [1], "lr": "?"}}\n'
    )
    (tmp_path / "metrics.jsonl").write_bytes(line)
    [record] = MetricsTail(tmp_path).read().records
    assert math.isnan(record["loss"])
    assert (record["lr"], record["accuracy"], record["step"]) == (-math.inf, math.inf, math.inf)


def test_strings_in_records_are_cleaned(tmp_path):
    event = {"kind": "event", "name": "\x1b[2Jboo", "detail": {"a\x07": ["b\u202ec", "\ud800d"]}}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(event) + "\n" + '{"raw": "del\x7f \x9b31mé"}\n')
    records = MetricsTail(tmp_path).read().records
    assert records == [{"kind": "event", "name": "boo", "detail": {"a": ["bc", "d"]}}, {"raw": "del é"}]


@pytest.mark.parametrize(
    "bad", [[b'{"a": 1}, {"b": 2}'], [b'{"c": [1', b"2]}"], [b'{"a": 1}{"a": 1}'], [b'{"a": 1}],[{"b": 2}']]
)
def test_lines_decoded_together_are_the_lines_decoded_alone(bad):
    assert tail.parse_records([b'{"d": 3}', *bad, b'{"d": 4}']) == [{"d": 3}, {"d": 4}]


def test_a_million_records_are_skimmed_evenly(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(record_bytes(*range(20_000)) + b'{"torn')
    found = [record["step"] for record in skim(tmp_path, 100)]
    assert found[0] == 0 and found[-1] > 19_600
    assert 90 <= len(found) <= 100
    assert max(b - a for a, b in itertools.pairwise(found)) < 300
    assert [record["step"] for record in skim(tmp_path, 10**5)] == list(range(20_000))


def test_the_newest_figures(writer, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 100)
    for step in range(40):
        writer.record({"kind": "train", "step": step})
        writer.record({"kind": "eval", "split": "validation", "step": step, "per_class": [0.5, 1.0]})
        writer.event("checkpoint", step=step)
    with open(writer.path / "metrics.jsonl", "ab") as file:
        file.write(b'{"kind": "eval", "split": "test", "st')
    figures = reader.newest_figures(writer.path, max_events=3)
    assert figures.train["step"] == figures.validation["step"] == 39
    assert figures.test == {}
    assert [event["step"] for event in figures.events] == [37, 38, 39]


def test_the_newest_figures_of_nothing(tmp_path):
    assert reader.newest_figures(tmp_path) == reader.Figures({}, {}, {}, [])


# --- logs ----------------------------------------------------------------------------------------------------------------


def test_a_log_is_shown_as_a_terminal_leaves_it(tmp_path):
    path = tmp_path / "train.log"
    path.write_bytes(b"first\n\r 10 %\r 50 %\r100 %\n\x1b[31mred\x1b[0m\tend\x07\r\n\r 3 %\r 4 %")
    follower = LogTail(tmp_path)
    batch = follower.read()
    assert batch.lines == ["first", "100 %", "red end"]
    assert batch.unfinished == " 4 %"
    with open(path, "ab") as file:
        file.write(b"\r 5 %\nlast\n")
    assert follower.read() == tail.LogBatch([" 5 %", "last"])


def test_a_long_log_begins_near_its_end_at_a_whole_line(tmp_path):
    (tmp_path / "train.log").write_bytes(b"".join(b"line %d\n" % index for index in range(10_000)))
    lines = LogTail(tmp_path, last_bytes=100).read().lines
    assert 0 < len(lines) < 20
    assert lines[-1] == "line 9999" and lines[0].startswith("line ")
    assert reader.last_log_lines(tmp_path, 2) == ["line 9998", "line 9999"]


def test_a_log_that_was_cut_is_read_again(tmp_path):
    (tmp_path / "train.log").write_bytes(b"one\ntwo\n")
    follower = LogTail(tmp_path)
    follower.read()
    (tmp_path / "train.log").write_bytes(b"new\n")
    assert follower.read() == tail.LogBatch(["new"], reset=True)


# --- text that is safe to show -------------------------------------------------------------------------------------------

ATTACKS = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;title\x07text": "text",
    "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1bPq#0\x1b\\after": "after",
    "\x9b2Jc1": "c1",
    "\x1b(0chars": "chars",
    "\x1b[": "",
    "a\nb\tc\r\nd": "a b c d",
    "right\u202eleft\u2066": "rightleft",
    "lone \ud83d end": "lone  end",
    "\ufeffmark\u2028line": "mark line",
    "naïve 猫 👩‍🔬": "naïve 猫 👩‍🔬",
}


@pytest.mark.parametrize("text", ATTACKS)
def test_text_is_made_harmless(text):
    assert clean(text) == ATTACKS[text]


@given(st.text(st.characters(codec=None)) | st.text(st.sampled_from("\x1b[]()0;1m\x07\x9b\x9c\\PX\r\n\ta\ud800")))
def test_cleaned_text_has_no_controls_and_can_be_printed(text):
    for cleaned in (clean(text), log_line(text)):
        cleaned.encode("utf-8")
        assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in cleaned)
        assert clean(cleaned) == cleaned


@given(st.text(), st.integers(1, 30))
def test_cut_and_padded_text_has_the_wanted_width(text, cells):
    text = clean(text)
    assert width(shorten(text, cells)) <= cells
    assert width(pad(text, cells)) == cells


# --- anything at all -----------------------------------------------------------------------------------------------------

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
    from cnn_explorer import cli_runs_text

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
        figures, log = reader.newest_figures(path), reader.last_log_lines(path, 5)
        for screen in (cli_runs_text.Screen(80), cli_runs_text.Screen(None, signs=False)):
            for text in (cli_runs_text.table([run], screen), cli_runs_text.details(run, figures, log, screen)):
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
        ({"phase": "compiling", "progress": 0.1}, 3),
        ({"progress": 7}, 30),
        ({}, None),
    ],
)
def test_the_epoch_is_found_where_it_is(writer, status, epoch):
    writer.status(state="training", **status)
    assert read_run(writer.path).epoch == epoch

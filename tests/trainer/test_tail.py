"""Following files that grow: torn, cut, replaced and hostile ones."""

import itertools
import json
import math
import os

import pytest
from cnn_explorer.trainer.runs import reader, tail
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.reader import LogTail, MetricsTail, skim
from cnn_explorer.trainer.runs.run_writer import RunWriter

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


def record_bytes(*steps: int) -> bytes:
    return b"".join(json.dumps({"kind": "train", "step": step}).encode() + b"\n" for step in steps)


def steps(new: tail.NewRecords) -> list[int]:
    return [record["step"] for record in new.records]


def test_a_torn_last_line_waits_for_its_end(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = record_bytes(1, 2)
    follower = MetricsTail(tmp_path)
    assert follower.read() == tail.NewRecords([])
    path.write_bytes(whole[:-5])
    assert steps(follower.read()) == [1]
    assert steps(follower.read()) == []
    with open(path, "ab") as file:
        file.write(whole[-5:] + record_bytes(3))
    assert steps(follower.read()) == [2, 3]
    assert follower.skipped == 0


def test_a_file_that_is_replaced_after_its_first_byte_is_read_again(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\n")
    (tmp_path / "other").write_bytes(record_bytes(1))
    follower = MetricsTail(tmp_path)
    assert not follower.read().reset
    os.replace(tmp_path / "other", tmp_path / "metrics.jsonl")
    new = follower.read()
    assert new.reset and steps(new) == [1]


def test_a_file_that_shrank_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2, 3))
    follower = MetricsTail(tmp_path)
    assert not follower.read().reset
    os.truncate(path, len(record_bytes(1)))
    new = follower.read()
    assert new.reset and steps(new) == [1]


def test_a_file_that_was_cut_and_grew_past_the_place_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2, 3))
    follower = MetricsTail(tmp_path)
    follower.read()
    os.truncate(path, 0)
    with open(path, "ab") as file:
        file.write(record_bytes(7, 8, 9, 10))
    new = follower.read()
    assert new.reset and steps(new) == [7, 8, 9, 10]


def test_a_replaced_file_of_the_same_size_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1, 2))
    follower = MetricsTail(tmp_path)
    follower.read()
    (tmp_path / "new").write_bytes(record_bytes(1, 2))
    os.replace(tmp_path / "new", path)
    new = follower.read()
    assert new.reset and steps(new) == [1, 2]


def test_a_file_that_goes_and_comes_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(record_bytes(1))
    follower = MetricsTail(tmp_path)
    follower.read()
    path.unlink()
    assert follower.read().records == []
    path.write_bytes(record_bytes(5))
    new = follower.read()
    assert new.reset and steps(new) == [5]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_read_is_bounded_and_loses_nothing(tmp_path, limit, monkeypatch):
    monkeypatch.setattr(tail, "CHUNK", 100)
    (tmp_path / "metrics.jsonl").write_bytes(record_bytes(*range(50)))
    follower, found = MetricsTail(tmp_path), []
    while True:
        new = follower.read(max_records=limit, budget_s=0)
        assert len(new.records) <= limit
        found += steps(new)
        if not new.more:
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
    new = MetricsTail(tmp_path, last_bytes=200).read()
    assert steps(new) == list(range(1000 - 200 // len(record_bytes(999)), 1000)), "all that are whole in 200 bytes"


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
    metrics = reader.newest_metrics(writer.path, max_events=3)
    assert metrics.train["step"] == metrics.validation["step"] == 39
    assert metrics.test == {}
    assert [event["step"] for event in metrics.events] == [37, 38, 39]


def test_the_newest_figures_of_nothing(tmp_path):
    assert reader.newest_metrics(tmp_path) == reader.NewestMetrics({}, {}, {}, [])


def test_a_log_is_shown_as_a_terminal_leaves_it(tmp_path):
    path = tmp_path / "train.log"
    path.write_bytes(b"first\n\r 10 %\r 50 %\r100 %\n\x1b[31mred\x1b[0m\tend\x07\r\n\r 3 %\r 4 %")
    follower = LogTail(tmp_path)
    new = follower.read()
    assert new.lines == ["first", "100 %", "red end"]
    assert new.unfinished == " 4 %"
    with open(path, "ab") as file:
        file.write(b"\r 5 %\nlast\n")
    assert follower.read() == tail.NewLines([" 5 %", "last"])


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
    assert follower.read() == tail.NewLines(["new"], reset=True)


def test_of_lines_that_are_left_out_the_newest_training_record_is_kept(tmp_path):
    path = tmp_path / "metrics.jsonl"
    evaluation = b'{"kind": "eval", "step": 2}\n'
    path.write_bytes(record_bytes(1, 2) + evaluation + b'{"kind": "event", "text": "train"}\n')
    follower = MetricsTail(tmp_path, containing=(b'"eval"',))
    assert follower.newest_train == {}
    assert steps(follower.read()) == [2] and follower.newest_train == {}  # an event that only names it
    path.write_bytes(path.read_bytes() + record_bytes(3))
    assert steps(follower.read()) == [] and follower.newest_train == {"kind": "train", "step": 3}
    follower.containing = ()
    path.write_bytes(path.read_bytes() + record_bytes(4))
    assert steps(follower.read()) == [4]
    path.write_bytes(evaluation)
    follower.containing = (b'"eval"',)
    assert follower.read().reset and follower.newest_train == {}

"""One reader of a run for all who show it: what is read, how often, how far, and what is let go."""

from __future__ import annotations

import json
import math
import os
import queue
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.tui.charts import followers as followers_module
from cnn_explorer.tui.charts.followers import ALL_READ, OUTLINED, UNREAD, Follower, Followers
from cnn_explorer.tui.runs.run_previews import PreviewWatch
from cnn_explorer.tui.screens.run import RunScreen
from cnn_explorer.tui.widgets.chart_grid import ChartGrid
from cnn_explorer.tui.widgets.overview_pane import OverviewPane
from support.patience import PATIENCE_S, eventually
from support.tui import FakeRun, drawable, eval_record, make_app, train_record, until

NAMES = [f"20261120-14302{number}-lenet5-digits-{'abcd'[number]}f3a" for number in range(4)]


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Bytes that were read of the records of each run, by the name of its folder."""
    count: Counter[str] = Counter()
    pread = os.pread

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        found = pread(descriptor, length, offset)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        # The few bytes before a place only tell whether the file is still the same one.
        if path.name == "metrics.jsonl" and length > 64:
            count[path.parent.name] += len(found)
        return found

    monkeypatch.setattr(os, "pread", counted)
    return count


def make_run(folder: Path, name: str = NAMES[0], count: int = 300) -> FakeRun:
    run = FakeRun(folder, name, "finished")
    run.append("".join(json.dumps(train_record(step)) + "\n" for step in range(count)))
    run.write(*(eval_record(epoch, 0.5 + 0.1 * epoch) for epoch in (1, 2)))
    return run


def size(run: FakeRun) -> int:
    return (run.path / "metrics.jsonl").stat().st_size


def read_all(follower: Follower, whole: bool = True) -> None:
    while follower.read(whole=whole):
        pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to tell which file is read")
async def test_list_charts_sentences_and_the_run_screen_read_a_run_once(
    tmp_path: Path, bytes_read: Counter[str]
) -> None:
    run = make_run(tmp_path / "runs")
    app: Any = make_app(tmp_path)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(pilot, lambda: app.runs)
        await pilot.press("w")
        await until(pilot, lambda: app.screen._previews and app.screen.charts.drawn.runs)
        await until(pilot, lambda: app.screen._reading.findings and app.screen.charts.drawn.progress == 1)
        assert app.screen._previews[run.path.name].accuracies == (0.6, 0.7)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._news and app.screen._news.findings)
        await until(pilot, lambda: app.screen.query(OverviewPane) and app.screen.query_one(OverviewPane).known)
        assert app.screen.query_one(OverviewPane).known.records == 302
        await pilot.press("2")
        await until(pilot, lambda: app.screen.query(ChartGrid) and app.screen.query_one(ChartGrid).drawn.runs)
        assert app.screen.query_one(ChartGrid).drawn.runs[0].records == 302
        assert bytes_read == {run.path.name: size(run)}
        before = size(run)
        run.write(eval_record(3, 0.9))
        await until(pilot, lambda: app.screen.query_one(ChartGrid).drawn.runs[0].records == 303)
        await until(pilot, lambda: "0.9" in str(app.screen_stack[-2]._previews[run.path.name].accuracies))
        assert bytes_read == {run.path.name: size(run)} and size(run) > before
        assert app.followers.watched == {run.path}
    # The readers are told to stop when the app ends; each finishes the moment of reading that it is in.
    await eventually(lambda: app.followers.watched == frozenset())


def test_of_a_long_file_a_list_decodes_the_evaluations_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(followers_module, "SHORT_FILE", 1000)
    run = make_run(tmp_path)
    follower = Follower(run.path)
    read_all(follower, whole=False)
    assert follower.history is None and follower.stage == OUTLINED
    assert follower.preview() == ((0.6, 0.7), 1000.0)
    version = follower.version
    assert not follower.read(whole=False) and follower.version == version
    run.write(train_record(500) | {"images_per_s": 77.0}, eval_record(3, 0.9))
    read_all(follower, whole=False)
    assert follower.preview() == ((0.6, 0.7, 0.9), 77.0) and follower.version > version
    read_all(follower)
    assert follower.history is not None and follower.history.records == 304 and follower.stage == ALL_READ
    assert follower.preview() == ((0.6, 0.7, 0.9), 77.0)


def test_before_the_first_evaluation_the_training_is_shown(tmp_path: Path, monkeypatch) -> None:
    run = FakeRun(tmp_path, NAMES[0])
    run.write(*(train_record(step, accuracy=step / 100) for step in range(100)))
    short, long = Follower(run.path), Follower(run.path)
    read_all(short)
    monkeypatch.setattr(followers_module, "SHORT_FILE", 1000)
    read_all(long, whole=False)
    for follower in (short, long):
        shown = follower.preview()[0]
        assert (
            len(shown) == followers_module.SAMPLES
            and shown == tuple(sorted(shown))
            and shown[0] < 0.05
            and shown[-1] > 0.9
        )


def test_a_long_run_is_sketched_then_its_evaluations_are_read_then_all(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(followers_module, "SKETCHED_ABOVE", 1000)
    monkeypatch.setattr(followers_module, "SKETCH_RECORDS", 100)
    run = FakeRun(tmp_path, NAMES[0], "finished")
    run.write(*(train_record(step, loss=math.inf if step == 2000 else 1.0) for step in range(9000)))
    run.write(eval_record(90, 0.75))
    follower = Follower(run.path)
    assert follower.read(whole=True) and follower.stage == UNREAD and follower.version == 1
    assert follower.history is not None and follower.history.sketch is not None and not follower.evaluations.points
    while follower.stage == UNREAD:
        assert follower.read(whole=True)
    summary = follower.history.curve_summary(read_run(run.path), follower.evaluations)
    assert follower.history.records == 0 and [point.accuracy for point in summary.validation] == [0.75]
    assert len(summary.train) > 90 and summary.train[-1].epoch > 85
    read_all(follower)
    summary = follower.history.curve_summary(read_run(run.path), follower.evaluations)
    assert follower.stage == ALL_READ and follower.history.records == 9001 and summary.diverged_step == 2000
    assert [point.accuracy for point in summary.validation] == [0.75] and follower.progress == 1.0


@pytest.mark.parametrize("whole", [True, False])
def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path, monkeypatch, whole: bool) -> None:
    monkeypatch.setattr(followers_module, "SHORT_FILE", 0)
    run = make_run(tmp_path)
    follower = Follower(run.path)
    read_all(follower, whole)
    version = follower.version
    (run.path / "metrics.jsonl").write_text(json.dumps(eval_record(1, 0.3)) + "\n")
    read_all(follower, whole)
    assert follower.preview()[0] == (0.3,) and follower.version > version
    assert not whole or (follower.history is not None and follower.history.records == 1)


def test_where_another_has_just_read_nothing_is_read(tmp_path: Path, bytes_read: Counter[str]) -> None:
    run = make_run(tmp_path)
    follower = Follower(run.path)
    read_all(follower)
    run.write(eval_record(3, 0.9))
    assert not follower.read(whole=True, recent_s=60.0) and bytes_read[run.path.name] < size(run)
    follower.read(whole=True)
    assert bytes_read[run.path.name] == size(run)


def test_followers_are_shared_and_closed_when_nobody_watches(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(followers_module, "SHORT_FILE", 0)
    run = make_run(tmp_path)
    followers = Followers()
    listed = followers.watch(run.path, whole=False)
    assert followers.watch(run.path, whole=True) is listed
    read_all(listed)
    followers.leave(run.path, whole=True)
    assert followers.watched == {run.path} and drawable(followers) == {run.path}
    followers.leave(run.path, whole=False)
    assert followers.watched == frozenset() and followers.watch(run.path, whole=True) is listed


def test_a_list_keeps_the_histories_of_the_rows_in_sight_alone(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name) for name in NAMES]
    followers = Followers()
    drawn = followers.watch(runs[0].path, whole=True)
    read_all(drawn)
    told: queue.Queue[dict] = queue.Queue()
    watch = PreviewWatch(told.put, followers, every_s=0.01)
    watch.want([run.path for run in runs[:2]])
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        assert set(told.get(timeout=PATIENCE_S)) == set(NAMES[:2])
        assert drawable(followers) == {run.path for run in runs[:2]}
        watch.want([run.path for run in runs[2:]])
        assert set(told.get(timeout=PATIENCE_S)) == set(NAMES[2:])
        assert drawable(followers) == {run.path for run in (runs[0], *runs[2:])}
        assert followers.watched == {run.path for run in runs}
        runs[1].write(eval_record(3, 0.9))
        watch.want([runs[1].path])
        assert told.get(timeout=PATIENCE_S)[NAMES[1]].accuracies == (0.6, 0.7, 0.9)
    finally:
        watch.stop()
        thread.join(PATIENCE_S)
    assert followers.watched == {runs[0].path}


def test_histories_that_nobody_draws_are_let_go_the_oldest_first(tmp_path: Path, monkeypatch) -> None:
    runs = [make_run(tmp_path, name) for name in NAMES]
    followers = Followers()
    for run in runs:
        follower = followers.watch(run.path, whole=True)
        read_all(follower)
    monkeypatch.setattr(followers_module, "MOST_BYTES", 2 * follower.nbytes)
    listed = followers.watch(runs[0].path, whole=False)
    for run in runs[:3]:
        followers.leave(run.path, whole=True)
    # The last one is still drawn and does not count.
    assert drawable(followers) == {run.path for run in runs[1:]}
    runs[0].write(train_record(999), eval_record(3, 0.9))
    listed.read(whole=False)
    assert listed.history is None and listed.preview()[0] == (0.6, 0.7, 0.9)
    followers.leave(runs[0].path, whole=False)
    assert followers.watch(runs[0].path, whole=False) is not listed

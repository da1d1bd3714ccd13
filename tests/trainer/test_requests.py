"""Requests to a run that is under way: an early end with the best weights, leaving the queue, taking a request back."""

from __future__ import annotations

import os
import signal
import time
import types
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.launch import queue, spawn
from cnn_explorer.trainer.launch.execute import execute_queue, execute_run
from cnn_explorer.trainer.loop.metrics_window import MetricsWindow
from cnn_explorer.trainer.loop.trainer import Trainer
from cnn_explorer.trainer.runs import requests
from cnn_explorer.trainer.runs.lock import RunLock, is_locked
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.runs.run_writer import RunWriter, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from support.patience import PATIENCE_S
from support.training import create_run, records_of, same, status_of, weights_of

INTERRUPTED = 130


def create(runs: Path, name: str = "a-run", **status: object) -> RunWriter:
    writer = RunWriter.create(runs, name, {"recipe": {"epochs": 3}})
    writer.status(**status)
    return writer


def quiet(line: str) -> None:
    """Nobody listens."""


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act) -> None:
    """Call ``act(trainer)`` before update number ``step`` of every run; each update has a record of its own."""
    update = Trainer._update
    monkeypatch.setattr(MetricsWindow, "due", lambda self: True)

    def acting(trainer, images, targets) -> None:
        if trainer.step + 1 == step:
            act(trainer)
        update(trainer, images, targets)

    monkeypatch.setattr(Trainer, "_update", acting)


def ask_to_finish(trainer: Trainer) -> None:
    path = trainer._report._writer.path
    assert requests.request_finish(path) == requests.Stop("file", ended=False)


def test_without_patience_a_request_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where the clock stands still between two looks at it."""
    with create(tmp_path, state="training") as writer:
        clock = types.SimpleNamespace(monotonic=lambda: 5.0, sleep=lambda seconds: pytest.fail("it waits"))
        monkeypatch.setattr(requests, "time", clock)
        assert requests.request_finish(writer.path) == requests.Stop("file", ended=False)


def test_an_early_end_evaluates_the_best_weights_and_is_finished(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        at_step(patch, 31, ask_to_finish)
        assert execute_run(path, lock, log=quiet) == 0
    run = read_run(path)
    assert (run.state, run.ended_early, run.epoch) == ("finished", True, 1)
    assert status_of(path)["step"] == 31 and run.progress == pytest.approx(31 / 60, abs=1e-6)
    *_, evaluated = records_of(path, "eval")
    best = checkpoint.read(checkpoint_paths(path).best)
    assert (evaluated["split"], evaluated["best_epoch"]) == ("test", best["epoch"]) == ("test", 1)
    assert (evaluated["step"], evaluated["epoch"]) == (31, 1.55)
    assert run.test_accuracy == evaluated["accuracy"]
    assert [event["name"] for event in records_of(path, "event")].count("ended_early") == 1
    with pytest.raises(UsageError, match="it is finished"):
        spawn.prepare_resume(path)


def test_an_early_end_within_the_first_epoch_evaluates_what_is_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs", recipe={"batch_size": 16, "epochs": 2})
    with monkeypatch.context() as patch:
        at_step(patch, 11, ask_to_finish)
        assert execute_run(path, lock, log=quiet) == 0
    validation, test = records_of(path, "eval")
    assert (validation["split"], test["split"]) == ("validation", "test")
    assert 0 < validation["epoch"] == test["best_epoch"] < 1
    assert same(weights_of(path, "best"), weights_of(path, "last"))
    assert status_of(path)["best"]["accuracy"] == validation["accuracy"]


@pytest.mark.parametrize("during", ["its record", "test"])
def test_killed_while_it_ends_early_it_goes_on_to_the_same_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    path, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        at_step(patch, 31, ask_to_finish)
        if during == "test":
            patch.setattr("cnn_explorer.trainer.loop.session._test", kill)
        else:
            patch.setattr(Trainer, "_progress", lambda self: kill() if self.ended_early else {})
        with pytest.raises(Killed):
            execute_run(path, lock, log=quiet)
    assert read_run(path).state == "crashed"
    again = spawn.prepare_resume(path)
    assert not requests.is_requested(path, requests.FINISH)
    with monkeypatch.context() as patch:
        if during != "test":  # the request is gone with the process, so whoever resumes asks anew
            at_step(patch, 31, ask_to_finish)
        assert execute_run(path, again, log=quiet) == 0
    assert read_run(path).ended_early
    assert [event["name"] for event in records_of(path, "event")].count("ended_early") == 1
    assert [r["split"] for r in records_of(path, "eval")] == ["validation", "test"]


def test_a_stop_after_a_request_to_end_early_stops(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, (path, lock) = create_run(home / "runs"), create_run(home / "runs")
    execute_run(*whole, log=quiet)

    def both(trainer: Trainer) -> None:
        ask_to_finish(trainer)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_step(patch, 31, both)
        assert execute_run(path, lock, log=quiet) == INTERRUPTED
    assert read_run(path).state == "stopped"
    assert execute_run(path, spawn.prepare_resume(path), log=quiet) == 0
    assert not read_run(path).ended_early
    assert same(weights_of(path), weights_of(whole[0]))


@pytest.mark.parametrize(
    ("state", "reason"),
    [("finished", "is finished"), ("stopped", "is stopped"), ("queued", "runs skip"), ("testing", "is being tested")],
)
def test_what_has_no_training_to_end(tmp_path: Path, state: str, reason: str) -> None:
    with create(tmp_path, state=state) as writer:
        with pytest.raises(UsageError, match=reason):
            requests.request_finish(writer.path)
        assert not requests.is_requested(writer.path, requests.FINISH)
        writer.lock.release()


def test_a_folder_that_takes_no_request_is_one_line(tmp_path: Path) -> None:
    with create(tmp_path, state="training") as writer:
        (writer.path / "control").rmdir()
        (writer.path / "control").write_text("a file")
        with pytest.raises(WorkError, match="cannot be asked to end"):
            requests.request_finish(writer.path)
        with pytest.raises(WorkError, match="cannot be written"):
            requests.forget_requests(writer.path)
        writer.lock.release()


def until_phase(path: Path, phase: str) -> None:
    """Wait until a run tells this phase."""
    deadline = time.monotonic() + PATIENCE_S
    while read_run(path).phase != phase and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_waiting_run_leaves_the_queue_at_once_and_the_others_go_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LOOK_S", 0.01)
    runs = [create_run(home / "runs", recipe={"epochs": 1}) for _ in range(4)]
    paths, locks = [path for path, _ in runs], [lock for _, lock in runs]
    seen: list[tuple[str, str]] = []

    def leave(trainer: Trainer) -> None:
        if trainer._report._writer.path != paths[0]:
            return
        seen.append((read_run(paths[1]).phase, read_run(paths[3]).phase))
        assert requests.skip(paths[2], PATIENCE_S) == requests.Stop("file", ended=True)
        until_phase(paths[3], "after 2 other runs")  # the queue tells the others when it looks the next time
        seen.append((read_run(paths[2]).state, read_run(paths[3]).phase))
        assert read_run(paths[0]).state == "training" and is_locked(paths[1])

    at_step(monkeypatch, 5, leave)
    assert execute_queue(paths, locks, log=quiet) == [0, 0, INTERRUPTED, 0]
    assert seen == [("after 1 other run", "after 3 other runs"), ("stopped", "after 2 other runs")]
    assert [read_run(path).state for path in paths] == ["finished", "finished", "stopped", "finished"]
    assert [status_of(path)["exit"] for path in paths] == [0, 0, INTERRUPTED, 0]
    assert "taken out of the queue" in (paths[2] / "train.log").read_text()
    assert execute_run(paths[2], spawn.prepare_resume(paths[2]), log=quiet) == 0
    assert same(weights_of(paths[2]), weights_of(paths[0]))


def test_skipping_the_run_that_is_trained_goes_on_with_the_next(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [create_run(home / "runs", recipe={"epochs": 1}) for _ in range(2)]

    def leave(trainer: Trainer) -> None:
        if trainer._report._writer.path == runs[0][0]:
            assert requests.skip(runs[0][0]) == requests.Stop("both", ended=False)

    at_step(monkeypatch, 5, leave)
    assert execute_queue([path for path, _ in runs], [lock for _, lock in runs], log=quiet) == [INTERRUPTED, 0]
    assert checkpoint.read(checkpoint_paths(runs[0][0]).last)["step"] == 5


def test_a_full_disk_leaves_a_run_in_its_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        create(tmp_path, path.name).lock.release()
    line = queue.Queue(paths, [RunLock.acquire(path) for path in paths])
    requests.request_stop(paths[0])

    def refuse(*_, **__):
        raise WorkError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "status", refuse)
        assert not line._leaves(*line._waiting[0])
    assert line._leaves(*line._waiting[0])
    assert line.codes == {0: INTERRUPTED}
    deadline = time.monotonic() + PATIENCE_S
    while is_locked(paths[0]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_locked(paths[0]) and is_locked(paths[1])

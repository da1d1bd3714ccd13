"""Ranks that torchrun started: whose the run is, and what is told when it cannot be made. And networks side by side."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.devices.process_group import Group
from cnn_explorer.trainer.launch import device_queue, spawn, torchrun
from cnn_explorer.trainer.runs import requests
from cnn_explorer.trainer.runs.lock import RunLock, is_locked
from cnn_explorer.trainer.runs.run_writer import RunWriter
from support.training import status_of

FAKE = Path(__file__).parents[1] / "support" / "fake_trainer.py"


class Told(Group):
    """A rank that is told ``answer`` by the first; the first itself where there is none."""

    def __init__(self, answer: tuple[str, int] | None = None) -> None:
        self.rank, self.world = (0, 2) if answer is None else (1, 2)
        self.answer = answer
        self.left = False

    def broadcast_object(self, value):
        self.value = value
        return value if self.answer is None else self.answer

    def destroy(self) -> None:
        self.left = True


def test_rank_0_makes_the_run_and_the_others_learn_which() -> None:
    made: Any = (Path("/runs/a"), object())
    assert torchrun.resolve_run(Told(), lambda: made) is made
    assert torchrun.resolve_run(Told(("/runs/a", 1)), lambda: pytest.fail("only rank 0 makes it")) == (
        Path("/runs/a"),
        None,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("network", "x", "is unknown"), 2), (WorkError("full"), 1), (torchrun.RunEnded(0), 0)],
)
def test_an_error_is_told_once_and_ends_all_ranks_with_its_code(error: Exception, code: int) -> None:
    def make():
        raise error

    first = Told()
    with pytest.raises(SystemExit if isinstance(error, torchrun.RunEnded) else type(error)):
        torchrun.resolve_run(first, make)
    assert first.left and first.value == ("", code)
    other = Told(("", code))
    with pytest.raises(SystemExit) as left:
        torchrun.resolve_run(other, make)
    assert other.left and left.value.code == code


def make_run(runs: Path, run_id: str, **config: object) -> RunLock:
    lock = RunLock.acquire(runs / run_id)
    RunWriter.create(runs, run_id, {"network": {"name": "tiny"}} | config, lock).close()
    return lock


def test_ranks_that_are_started_again_find_their_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "job", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(key, value)
    assert torchrun.begun_by_this_job(tmp_path) is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    job = torchrun.job()
    assert job is not None
    other = job | {"pid": os.getppid() + 1}
    make_run(tmp_path, "20261120-143022-a", torchrun=other).release()
    with pytest.raises(WorkError, match="their run is not in"):
        torchrun.begun_by_this_job(tmp_path)
    make_run(tmp_path, "20261120-143023-b", torchrun=torchrun.job()).release()
    assert torchrun.begun_by_this_job(tmp_path) == tmp_path / "20261120-143023-b"
    torchrun.check_not_ended(tmp_path / "20261120-143023-b")
    with RunWriter.open(tmp_path / "20261120-143023-b", RunLock.acquire(tmp_path / "20261120-143023-b")) as writer:
        writer.status(state="diverged")
        writer.lock.release()
    with pytest.raises(torchrun.RunEnded) as over:
        torchrun.check_not_ended(tmp_path / "20261120-143023-b")
    assert over.value.code == 1


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started run the fake trainer."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    start = spawn.start
    monkeypatch.setattr(spawn, "start", lambda *given, **more: start(*given, **more, python=str(script)))


def test_a_device_that_becomes_free_takes_the_next_network(tmp_path: Path, fake: None) -> None:
    names = ["20261120-143022-a", "20261120-143022-b", "20261120-143022-c"]
    locks = [make_run(tmp_path / "runs", name) for name in names]
    paths = [tmp_path / "runs" / name for name in names]
    said: list[str] = []
    assert device_queue.train(paths, locks, ["cuda:0", "cuda:1"], log=said.append) == [0, 0, 0]
    begun = [line.split(" is trained on ")[1].split(";")[0] for line in said if " is trained on " in line]
    assert begun[:2] == ["cuda:0", "cuda:1"] and begun[2] in ("cuda:0", "cuda:1")
    assert sum(": finished: test accuracy 70.0 %" in line for line in said) == 3
    assert not any(is_locked(path) for path in paths)


def test_a_signal_stops_those_that_are_trained_and_those_that_wait(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_TRAINER", "wait")
    names = ["20261120-143022-a", "20261120-143022-b", "20261120-143022-c"]
    locks = [make_run(tmp_path / "runs", name) for name in names]
    paths = [tmp_path / "runs" / name for name in names]

    def log(line: str) -> None:
        if "143022-b is trained" in line:
            os.kill(os.getpid(), signal.SIGINT)

    # The first one is meant alone: its device takes the next network.
    requests.request_stop(paths[0])
    codes = device_queue.train(paths, locks, ["cuda:0", "cuda:1"], log=log)
    assert codes == [130, 130, 130]
    assert [status_of(path)["state"] for path in paths] == ["stopped"] * 3
    assert not any(is_locked(path) for path in paths)

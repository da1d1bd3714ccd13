"""Several ranks train one network: the same weights as one process, stops that all agree on, ranks that die."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.devices import process_group
from cnn_explorer.trainer.devices.process_group import ALONE, rows_of_batch
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.runs import requests
from cnn_explorer.trainer.runs.lock import is_locked
from support.patience import PATIENCE_S
from support.rank_worker import train_in_double
from support.training import create_run, records_of, status_of, weights_of


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("batch_size", [14, 15, 16, 50, 63])
def test_rows_are_shared_out_and_partners_stay_together(batch_size: int, world: int) -> None:
    shares = [rows_of_batch(batch_size, rank, world) for rank in range(world)]
    assert sorted(row for share in shares for row in share) == list(range(batch_size))
    for share in shares:
        assert [batch_size - 1 - row for row in share] == share[::-1]
    assert max(map(len, shares)) - min(map(len, shares)) <= 3


def test_a_batch_that_is_too_small_to_be_shared_out() -> None:
    process_group.check_batch(8, 4)
    process_group.check_batch(1, 1)
    with pytest.raises(UsageError, match="batch-size: 7 is too small for 4 processes: each needs at least 2"):
        process_group.check_batch(7, 4)


@pytest.mark.parametrize(("count", "world"), [(10, 3), (2, 4), (0, 2)])
def test_every_image_is_in_one_part(count: int, world: int) -> None:
    indices = [list(range(*process_group.part(count, rank, world))) for rank in range(world)]
    assert [index for part in indices for index in part] == list(range(count))


def test_alone_there_is_nobody_to_ask() -> None:
    assert not process_group.ranked({})
    assert not process_group.ranked({"RANK": "0", "WORLD_SIZE": "1"})
    assert process_group.ranked({"RANK": "0", "WORLD_SIZE": "2"})
    assert process_group.join({}) is ALONE
    values = torch.ones(3)
    assert ALONE.sum(values) is values
    assert ALONE.all_reduce_max(1, 0) == [1, 0]


def start_ranks(*words: str, world: int = 2) -> list[subprocess.Popen]:
    """Python programs that find each other as ranks of one job."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = os.environ | {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": str(world)}
    return [
        subprocess.Popen([sys.executable, *words], env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world)
    ]


def test_two_ranks_get_the_weights_of_one_process_in_float64(home: Path) -> None:
    recipe = {
        "epochs": 2,
        "batch_size": 50,  # 24 images for one rank, 26 for the other
        "accumulate": 2,
        "augment": ["translate", "mixup", "cutmix"],
        "clip_norm": 0.5,
        "ema": 0.9,
    }
    path, lock = create_run(home / "runs", "tiny_plain", recipe=recipe)
    lock.release()
    ranks = start_ranks(str(Path(__file__).parents[1] / "support" / "rank_worker.py"), str(path), str(home / "result"))
    alone = train_in_double(path, ALONE)
    assert [rank.wait(PATIENCE_S) for rank in ranks] == [0, 0]
    first, second = (torch.load(home / f"result.{rank}", weights_only=True) for rank in range(2))
    assert first["weights"].keys() == alone["weights"].keys()
    for name, values in alone["weights"].items():
        assert values.dtype == torch.float64
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], values, rtol=0, atol=1e-12)
    assert first["figures"] == pytest.approx(alone["figures"], abs=1e-12)
    assert first["confusion"] == second["confusion"] == alone["confusion"]


def at_step(path: Path, step: int, then: Callable[[], object]) -> threading.Thread:
    """Do something as soon as the run has got as far as ``step`` in training."""

    def wait() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status = status_of(path)
            if status["state"] == "training" and status.get("step", 0) >= step:
                then()
                return
            time.sleep(0.01)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def kill_rank_1() -> None:
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # a child that has just ended has no command line
            if "--as-rank" in child.cmdline() and child.environ()["RANK"] == "1":
                child.kill()


@pytest.mark.slow
def test_stopped_resumed_killed_and_resumed_alone_the_weights_are_those_of_one_process(home: Path) -> None:
    recipe = {"epochs": 12}
    whole, lock = create_run(home / "runs", "tiny_plain", recipe=recipe)
    assert execute_run(whole, lock, log=lambda line: None) == 0
    path, lock = create_run(home / "runs", "tiny_plain", recipe=recipe)
    said: list[str] = []

    asked = at_step(path, 1, lambda: requests.request_stop(path))
    assert execute_run(path, lock, log=said.append, devices=["cpu", "cpu"]) == 130
    asked.join()
    status = status_of(path)
    assert (status["state"], status["exit"], status["devices"]) == ("stopped", 130, ["cpu", "cpu"])
    stopped_at = status["step"]
    assert 0 < stopped_at < 240

    killed = at_step(path, stopped_at + 1, kill_rank_1)
    assert spawn.resume(path, log=said.append, devices=["cpu", "cpu"]) == 1
    killed.join()
    status = status_of(path)
    assert (status["state"], status["exit"]) == ("failed", 1)
    assert "the process of rank 1 (cpu) was ended by SIGKILL" in status["error"]
    assert said == [f"cnn-explorer: run {path.name}: failed: {status['error']}"]
    assert not is_locked(path)

    assert spawn.resume(path, log=said.append) == 0
    for name, values in weights_of(whole).items():
        torch.testing.assert_close(weights_of(path)[name], values, rtol=0, atol=1e-4)
    steps = [record["step"] for record in records_of(path, "train")]
    assert steps == sorted(set(steps)) and steps[-1] == 240
    assert len(records_of(path, "eval")) == 13
    assert "Traceback" not in (path / "train.log").read_text()


LEAVING = """
import atexit, sys
from cnn_explorer.trainer.devices import process_group
class Loud:
    def __del__(self):
        print("taken down")
loud = Loud()
atexit.register(print, "handler")
process_group._joined = sys.argv[1] == "rank"
process_group.leave_if_joined(3)
"""


@pytest.mark.parametrize(("who", "told", "code"), [("rank", "handler\n", 3), ("alone", "handler\ntaken down\n", 0)])
def test_python_is_not_taken_down_under_the_threads_of_a_rank(who: str, told: str, code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVING, who], capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == (told, code), ended.stderr

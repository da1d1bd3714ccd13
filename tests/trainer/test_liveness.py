"""Is a run alive? By its lock, its process, or its last sign of life."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.runs.liveness import infer_state
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.runs.run_writer import timestamp
from support.patience import PATIENCE_S

NOW = 1_800_000_000.0


def test_a_killed_process_has_crashed_although_its_status_says_training(tmp_path):
    code = (
        "import os; from pathlib import Path; from cnn_explorer.trainer.runs.run_writer import RunWriter;"
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
    return timestamp(datetime.fromtimestamp(NOW + seconds, UTC))


def test_without_locks_the_process_decides():
    assert infer_state(here(), None, None, NOW)[0] == "training"
    state, reason = infer_state(here(pid=2**22 + 1), None, NOW, NOW)
    assert state == "crashed" and "gone" in reason


def test_a_pid_that_was_used_again_is_another_process():
    ticks = process.start_ticks(os.getpid())
    reused = here(process_ticks=None if ticks is None else ticks - 1000, process_started=time.time() - 86_400)
    assert infer_state(reused, None, NOW, NOW)[0] == "crashed"
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
    deadline = time.monotonic() + PATIENCE_S
    while process.is_alive(child.pid, started, ticks) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.is_alive(child.pid, started, ticks) is False
    child.communicate()


@pytest.mark.parametrize("pid", [0, -1, 2**31, 10**30, "12", None, True, 1.5])
def test_a_pid_that_is_none_is_dead(pid):
    assert process.is_alive(pid, time.time(), 1) is False


def test_after_a_restart_of_the_machine_the_run_has_crashed():
    state, reason = infer_state(here(boot_id="the one before"), None, NOW, NOW)
    assert (state, reason) == ("crashed", "the machine was restarted")


def test_a_held_lock_is_believed_whatever_the_status_says():
    assert infer_state(elsewhere(heartbeat="2001-01-01T00:00:00Z"), True, 0.0, NOW)[0] == "training"


def test_a_free_lock_of_another_machine_proves_nothing():
    recent = elsewhere(heartbeat=beat(-20))
    assert infer_state(recent, False, None, NOW)[0] == "training"
    state, reason = infer_state(elsewhere(heartbeat=beat(-600)), False, None, NOW)
    assert state == "crashed" and "600 s" in reason


def test_a_touched_file_counts_as_a_sign_of_life():
    assert infer_state(elsewhere(heartbeat=beat(-600)), False, NOW - 10, NOW)[0] == "training"


def test_a_heartbeat_from_the_future_is_no_life_insurance():
    assert infer_state(elsewhere(heartbeat=beat(+86_400)), False, NOW + 86_400, NOW)[0] == "crashed"
    assert infer_state(elsewhere(heartbeat=beat(+30)), False, None, NOW)[0] == "training", "clocks differ a little"
    assert infer_state(elsewhere(heartbeat=beat(+86_400)), False, NOW - 5, NOW)[0] == "training", (
        "the file server knows"
    )


@pytest.mark.parametrize("heartbeat", [None, "", "soon", 1e300, [], {"a": 1}, True])
def test_no_sign_of_life_at_all_is_a_crash(heartbeat):
    assert infer_state(elsewhere(heartbeat=heartbeat), False, None, NOW)[0] == "crashed"


def test_the_state_of_a_container_on_the_same_kernel_follows_from_the_lock():
    assert infer_state(here(host="another"), False, NOW, NOW)[0] == "crashed"
    assert infer_state(here(host="another"), True, 0.0, NOW)[0] == "training"

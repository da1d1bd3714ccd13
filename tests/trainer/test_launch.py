"""Runs in processes of their own: started, outliving their launcher, stopped, resumed, removed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.runs import deleted_runs, requests
from cnn_explorer.trainer.runs.lock import RunLock, is_locked
from cnn_explorer.trainer.runs.reader import MetricsTail, last_log_lines, read_run
from cnn_explorer.trainer.runs.run_writer import RunWriter
from support.patience import PATIENCE_S

FAKE = Path(__file__).parents[1] / "support" / "fake_trainer.py"


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Stands in for the interpreter: whatever it is told to run, it runs the fake trainer."""
    monkeypatch.setenv("FAKE_TRAINER", "wait")
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    yield folder
    for path in folder.glob("*/status.json"):
        left = json.loads(path.read_bytes())
        alive = process.is_alive(left["pid"], left["process_started"], left["process_ticks"])
        if alive and left["pid"] != os.getpid():
            os.kill(left["pid"], signal.SIGKILL)


def create(runs: Path, name: str) -> tuple[Path, RunLock]:
    lock = RunLock.acquire(runs / name)
    RunWriter.create(runs, name, {"recipe": {"epochs": 3}}, lock).close()
    return runs / name, lock


def wait_for(path: Path, *states: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while read_run(path).state not in states:
        assert time.monotonic() < deadline, (read_run(path).state, last_log_lines(path, 20))
        time.sleep(0.01)


def start(runs: Path, python: str, name: str = "a-run") -> tuple[Path, int]:
    path, lock = create(runs, name)
    pid = spawn.spawn([path], [lock], python=python)
    assert not lock.held
    assert is_locked(path) is True, "the lock is never free between launcher and child"
    wait_for(path, "training")
    return path, pid


def test_a_run_is_started_trained_and_its_lock_freed(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "finish")
    path, lock = create(runs, "a-run")
    spawn.spawn([path], [lock], python=python)
    wait_for(path, "finished")
    assert last_log_lines(path, 5) == ["training a-run"]
    assert len(MetricsTail(path).read().records) == 4


def test_the_child_is_away_from_the_terminal(runs, python):
    path, pid = start(runs, python)
    assert os.getsid(pid) == pid
    child = psutil.Process(pid)
    if sys.platform == "linux":
        opened = [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)]
        assert opened == ["/dev/null", str(path / "train.log"), str(path / "train.log")]
    assert child.cwd() == os.getcwd()
    os.kill(pid, signal.SIGHUP)
    requests.request_stop(path, PATIENCE_S)
    assert read_run(path).state == "stopped"


def test_the_command_line(runs, monkeypatch):
    path, lock = create(runs, "a-run")
    other, other_lock = create(runs, "b-run")
    seen = {}

    class Child:
        pid = 1

        def __init__(self, command, **options):
            seen.update(command=command, **options)

        def poll(self):
            return 0

    numbers = [lock.fileno(), other_lock.fileno()]
    monkeypatch.setattr(spawn.subprocess, "Popen", Child)
    spawn.spawn([path, other], [lock, other_lock])
    wanted = ["-m", "cnn_explorer", "train", "--runs", str(runs)]
    wanted += ["--run", "a-run", "--lock-fd", str(numbers[0]), "--run", "b-run", "--lock-fd", str(numbers[1])]
    assert [word for word in seen["command"][1:] if word != "-P"] == wanted
    assert seen["pass_fds"] == numbers
    assert seen["start_new_session"]


def test_a_launcher_that_dies_takes_no_run_with_it(runs, python, tmp_path):
    code = (
        "import sys, os; from pathlib import Path; from cnn_explorer.trainer.launch import spawn;"
        "from cnn_explorer.trainer.runs.run_writer import RunWriter;"
        "w = RunWriter.create(Path(sys.argv[1]), 'a-run', {'recipe': {'epochs': 3}}); w.close();"
        "spawn.spawn([w.path], [w.lock], python=sys.argv[2]); os.kill(0, 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(runs), python], start_new_session=True, check=False)
    wait_for(runs / "a-run", "training")
    assert is_locked(runs / "a-run") is True
    assert requests.request_stop(runs / "a-run", PATIENCE_S).ended


def test_a_queue_is_one_process(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "wait")
    (first, lock), (second, other) = create(runs, "a"), create(runs, "b")
    spawn.spawn([first, second], [lock, other], python=python)
    wait_for(first, "training")
    assert read_run(second).state == "queued"
    assert requests.request_stop(second) == requests.Stop("file", ended=False), "a signal would stop the first"
    assert read_run(first).state == "training"
    (first / "control" / "stop").touch()
    wait_for(second, "stopped")


def test_a_stop_waits_for_the_lock_not_for_the_status(runs, python):
    path, _ = start(runs, python)
    assert requests.request_stop(path, PATIENCE_S) == requests.Stop("both", ended=True)
    assert read_run(path).state == "stopped"
    assert is_locked(path) is False


def test_a_second_request_is_not_a_second_signal(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "wait")
    path, pid = start(runs, python)
    os.kill(pid, signal.SIGSTOP)
    assert requests.request_stop(path).how == "both"
    killed = []
    monkeypatch.setattr(requests.os, "kill", lambda *call: killed.append(call))
    assert requests.request_stop(path).how == "file"
    assert killed == []
    monkeypatch.undo()
    os.kill(pid, signal.SIGCONT)
    assert requests.request_stop(path, PATIENCE_S).ended


def test_a_run_that_does_not_hear_signals_sees_the_file(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "refuse")
    path, _ = start(runs, python)
    assert requests.request_stop(path, PATIENCE_S).ended


@pytest.mark.parametrize(
    "change",
    [
        {"host": "another"},
        {"boot_id": "another"},
        {"process_ticks": 1, "process_started": 1.0},
        {"pid": None},
        {"pid": "1"},
    ],
)
def test_a_process_that_may_be_another_gets_no_signal(runs, monkeypatch, change):
    path, lock = create(runs, "a-run")
    with RunWriter.open(path, lock) as writer:
        writer.status(state="training")
    status = json.loads((path / "status.json").read_bytes())
    (path / "status.json").write_text(json.dumps(status | change))
    killed = []
    monkeypatch.setattr(requests.os, "kill", lambda *call: killed.append(call))
    assert requests.request_stop(path) == requests.Stop("file", ended=False)
    assert killed == []
    assert (path / "control" / "stop").exists()
    lock.release()


def test_a_run_that_cannot_be_asked_is_one_line(runs):
    path, lock = create(runs, "a-run")
    (path / "control").rmdir()
    (path / "control").touch()
    with pytest.raises(WorkError, match="cannot be asked to stop"):
        requests.request_stop(path)
    lock.release()


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "diverged"])
def test_what_has_ended_cannot_be_stopped(runs, state):
    path, lock = create(runs, "a-run")
    with RunWriter.open(path, lock) as writer:
        writer.status(state=state)
    lock.release()
    with pytest.raises(UsageError, match=f"is {state}: there is nothing to stop"):
        requests.request_stop(path)


def test_a_child_that_dies_without_a_word_has_crashed_and_can_be_resumed(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "die")
    path, lock = create(runs, "a-run")
    spawn.spawn([path], [lock], python=python)
    wait_for(path, "crashed")
    again = spawn.prepare_resume(path)
    assert read_run(path).state == "queued"
    monkeypatch.setenv("FAKE_TRAINER", "finish")
    spawn.spawn([path], [again], python=python)
    wait_for(path, "finished")


def test_a_helper_that_outlives_its_trainer_does_not_keep_the_run_alive(runs, python, monkeypatch):
    monkeypatch.setenv("FAKE_TRAINER", "fork")
    path, lock = create(runs, "a-run")
    pid = spawn.spawn([path], [lock], python=python)
    wait_for(path, "crashed")
    os.killpg(pid, signal.SIGKILL)


def test_an_interpreter_that_is_not_there_is_one_line_and_the_lock_is_kept(runs):
    path, lock = create(runs, "a-run")
    with pytest.raises(WorkError, match="no process can be started"):
        spawn.spawn([path], [lock], python="/nonexistent/python")
    assert lock.held
    lock.release()


def ended(runs: Path, **status: object) -> Path:
    path, lock = create(runs, "a-run")
    with RunWriter.open(path, lock) as writer:
        writer.status(**status)
    lock.release()
    return path


@pytest.mark.parametrize("state", ["stopped", "failed", "diverged", "training", "queued"])
def test_a_run_that_ended_too_early_is_prepared(runs, state):
    path = ended(runs, state=state, error="boom", exit=1)
    (path / "control" / "stop").touch()
    with spawn.prepare_resume(path):
        run = read_run(path)
        assert (run.state, run.error, run.status["exit"]) == ("queued", "", None)
        assert not (path / "control" / "stop").exists()


def test_a_finished_run_cannot_be_resumed(runs):
    with pytest.raises(UsageError, match="cannot be resumed: it is finished"):
        spawn.prepare_resume(ended(runs, state="finished"))


def test_a_running_run_cannot_be_resumed(runs):
    path, lock = create(runs, "a-run")
    with pytest.raises(UsageError, match="cannot be resumed: it is queued; stop it first"):
        spawn.prepare_resume(path)
    lock.release()


def test_a_run_of_another_machine_with_a_heartbeat_cannot_be_resumed(runs):
    path = ended(runs, state="training")
    status = json.loads((path / "status.json").read_bytes())
    (path / "status.json").write_text(json.dumps(status | {"host": "gpu-box", "boot_id": "another"}))
    with pytest.raises(UsageError, match="it is training on gpu-box"):
        spawn.prepare_resume(path)


def test_a_run_without_configuration_cannot_be_resumed(runs):
    path = ended(runs, state="stopped")
    (path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json is missing or damaged"):
        spawn.prepare_resume(path)
    assert is_locked(path) is False


def test_two_that_resume_at_once_are_one_and_an_error(runs):
    path = ended(runs, state="stopped")
    lock = RunLock.acquire(path)  # the other one, who has not yet written a status
    with pytest.raises(WorkError, match="holds its lock"):
        spawn.prepare_resume(path)
    lock.release()


def test_a_run_finished_meanwhile_is_not_resumed(runs, monkeypatch):
    path = ended(runs, state="training")
    plain = RunLock.acquire

    def finish_first(path):
        with plain(path) as lock, RunWriter.open(path, lock) as writer:
            writer.status(state="finished")
        return plain(path)

    monkeypatch.setattr(spawn.RunLock, "acquire", finish_first)
    with pytest.raises(UsageError, match="it is finished"):
        spawn.prepare_resume(path)
    assert is_locked(path) is False


def test_resume_detached_starts_a_process(runs, python, monkeypatch):
    path = ended(runs, state="stopped")
    monkeypatch.setattr(spawn.spawn, "__kwdefaults__", {"python": python})
    monkeypatch.setenv("FAKE_TRAINER", "finish")
    assert spawn.resume(path, detach=True) == 0
    wait_for(path, "finished")


def test_a_run_is_removed(runs):
    path = ended(runs, state="stopped")
    (path / "checkpoints" / "last.pt").write_bytes(b"x" * 1000)
    deleted_runs.remove(runs, "a-run")
    assert list(runs.iterdir()) == []


def test_a_running_run_is_not_removed(runs):
    path, lock = create(runs, "a-run")
    with pytest.raises(UsageError, match="cannot be removed: it is queued"):
        deleted_runs.remove(runs, "a-run")
    assert (path / "run.json").exists()
    lock.release()


def test_a_locked_run_is_not_removed_whatever_its_status(runs):
    path = ended(runs, state="stopped")
    with RunLock.acquire(path), pytest.raises(WorkError, match="holds its lock"):
        deleted_runs.remove(runs, "a-run")
    assert (path / "run.json").exists()


def test_only_runs_directly_in_the_folder_are_removed(runs, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run.json").write_text("{}")
    runs.mkdir()
    (runs / "link").symlink_to(outside)
    (runs / "documents").mkdir()
    (runs / "documents" / "letter.txt").touch()
    for name in ("link", "documents", "../outside", "..", ".", "", str(outside), "missing"):
        with pytest.raises(UsageError):
            deleted_runs.remove(runs, name)
    assert (outside / "run.json").exists()
    assert (runs / "documents" / "letter.txt").exists()


def test_removing_follows_no_links_inside(runs, tmp_path):
    path = ended(runs, state="stopped")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").touch()
    (path / "checkpoints" / "link").symlink_to(tmp_path / "precious")
    deleted_runs.remove(runs, "a-run")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_output_can_be_sent_to_the_next_log(runs):
    path, lock = create(runs, "a-run")
    code = (
        "import sys, os; from pathlib import Path; from cnn_explorer.trainer.runs.log_file import redirect_output;"
        "print('before'); redirect_output(Path(sys.argv[1])); print('after'); os.system('echo child')"
    )
    done = subprocess.run([sys.executable, "-u", "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "before\n"
    assert last_log_lines(path, 5) == ["after", "child"]
    lock.release()

"""`cnn-explorer train` as a person uses it: in processes of its own, in a pipe, on a terminal, detached, killed."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.weights import checkpoint
from support.patience import PATIENCE_S
from support.training import call, command, create_run, records_of, same, status_of, weights_of

TINY = ("train", "--threads", "1", "tiny")
SLOW = ("train", "--threads", "1", "tiny_slow")


def finish(process: subprocess.Popen, seconds: float = PATIENCE_S) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


Found = TypeVar("Found")


def wait_for(what: Callable[[], Found | None], seconds: float = PATIENCE_S) -> Found:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except (OSError, ValueError, StopIteration):
            pass
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def only_run(home: Path) -> Path:
    [path] = (home / "runs").iterdir()
    return path


def training(home: Path, after_step: int = 0) -> Callable[[], Path | None]:
    def found() -> Path | None:
        path = only_run(home)
        status = status_of(path)
        return path if status["state"] == "training" and status.get("step", 0) >= after_step else None

    return found


def test_in_a_pipe_one_plain_line_an_epoch_and_the_result_on_stdout(home: Path) -> None:
    code, out, err = finish(command("train", "tiny"))
    assert code == 0, err
    path = only_run(home)
    assert re.fullmatch(rf"{path.name}  finished: test accuracy \d+\.\d %, validation .*\n", out)
    assert [line.split(":")[0] for line in err.splitlines() if line.startswith("epoch")] == [
        "epoch   1 of 3",
        "epoch   2 of 3",
        "epoch   3 of 3",
    ]
    assert "\x1b" not in out + err


def test_json_is_one_object(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, *TINY, "--json", "--epochs", "1", "--seed", "5", "--set", "gamma=0.5") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["schema"], result["state"], result["network"], result["epochs"]) == (1, "finished", "tiny", 1)
    assert 0 < result["test_accuracy"] <= 1
    assert result["test"] == {"accuracy": result["test_accuracy"]} and result["best"]["epoch"] == 1
    config = read_run(only_run(home)).config
    assert (config["seed"], config["recipe"]["gamma"], config["argv"][:4]) == (5, 0.5, list(TINY))


def test_several_networks_are_a_queue_with_a_table_at_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *TINY, "tiny_broken", "tiny", "--epochs", "1") == 1
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0].split() == ["run", "state", "validation", "test"]
    assert [line.split()[1] for line in lines[1:]] == ["finished", "failed", "finished"]
    assert "Traceback" not in shown.out + shown.err
    assert "ZeroDivisionError: the network cannot go on" in shown.err


def test_ctrl_c_stops_with_a_checkpoint_even_if_nobody_reads_the_result(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = command(*SLOW, stdout=writer)
    os.close(writer)
    path = wait_for(training(home, after_step=1))
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert (code, status_of(path)["state"]) == (130, "stopped")
    assert err.splitlines()[-1] == f"stopped; 'cnn-explorer runs resume {path.name}' goes on"
    assert (path / "checkpoints" / "last.pt").exists()


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_at_random_steps_the_weights_are_those_of_an_undisturbed_run(home: Path, kills: int) -> None:
    whole, lock = create_run(home / "whole", "tiny_slow")
    assert execute_run(whole, lock, log=lambda line: None) == 0
    chance = random.Random(20)
    process = command(*SLOW)
    for _ in range(kills):
        path = wait_for(training(home))
        time.sleep(chance.uniform(0.0, 0.6))
        process.kill()
        finish(process)
        if read_run(path).state == "finished":
            break
        assert read_run(path).state == "crashed"
        process = command("runs", "resume", path.name)
    else:
        code, _, err = finish(process)
        assert code == 0, err
    assert read_run(path).state == "finished"
    for which in ("last", "best"):
        assert same(weights_of(path, which), weights_of(whole, which))
    train = [record["step"] for record in records_of(path, "train")]
    assert train == sorted(set(train)) and train[-1] == 60
    evaluated = [
        [(r["split"], r["step"], r["loss"], r["accuracy"]) for r in records_of(found, "eval")]
        for found in (path, whole)
    ]
    assert evaluated[0] == evaluated[1]


def test_detached_the_ids_come_at_once_and_the_runs_survive_the_terminal(home: Path) -> None:
    leader = command(*SLOW, "tiny", "--detach", start_new_session=True)
    code, out, err = finish(leader)
    assert code == 0, err
    paths = [home / "runs" / name for name in out.split()]
    assert len(paths) == 2 and all(read_run(path).live for path in paths)
    assert "runs watch" in err
    wait_for(lambda: status_of(paths[0])["state"] == "training")
    pid = status_of(paths[0])["pid"]
    assert os.getsid(pid) == pid != leader.pid
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: all(read_run(path).state == "finished" for path in paths))
    for path in paths:
        assert (path / "train.log").read_text().count("epoch   3 of 3") == 1
        assert (path / "checkpoints" / "best.pt").exists()


def test_what_is_wrong_is_found_before_a_run_exists_even_detached(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "tiny", "tinny", "--detach") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("cnn-explorer: network: 'tinny' is unknown; did you mean")
    assert not (home / "runs").exists()


def on_terminal(words: tuple[str, ...], columns: int = 80) -> tuple[int, str]:
    """Run the program on a terminal of its own and return its exit code and everything that it printed there."""
    import fcntl
    import struct
    import sys
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    environment |= {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cnn_explorer", *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when the last one has closed the other end
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    return process.wait(), b"".join(parts).decode()


def test_on_a_terminal_a_bar_with_loss_accuracy_speed_and_time_left(home: Path) -> None:
    code, shown = on_terminal(SLOW)
    assert code == 0, shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    [path] = (home / "runs").iterdir()
    assert re.search(r"epoch \d/3 .*\d+ %  loss \d\.\d+  \d+\.\d %  [\d,.]+ images/s  \d+ s left", plain)
    bars = [line for line in re.split(r"[\r\n]+", plain) if line.startswith("epoch ")]
    assert bars and max(map(len, bars)) <= 80
    assert f"{path.name}  finished: test accuracy" in plain
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor must be visible again"
    assert "epoch   3 of 3" in (path / "train.log").read_text()


@pytest.mark.parametrize("more", [(), ("--plan",), ("--plan", "--json"), ("--find-lr",), ("--detach",)])
def test_a_runs_folder_that_is_a_file_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    (home / "runs").write_text("a file")
    assert call(monkeypatch, "train", "tiny", *more) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"cnn-explorer: --runs: '{home / 'runs'}' is a file, not a folder\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_runs_folder_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "runs").mkdir(mode=0o555)
    assert call(monkeypatch, "train", "tiny") == 1
    assert "Permission denied" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def small_disk(home: Path) -> Iterator[Path]:
    """A disk of 1 MB at the place of the runs folder."""
    runs = home / "runs"
    runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(runs)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk is not permitted here")
    yield runs
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


def fill(disk: Path) -> Path:
    """Leave no free block on the disk."""
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return disk / "filler"
    raise AssertionError("the disk has no end")


def test_a_full_disk_does_not_end_a_training(home: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(small_disk)
    filler = fill(small_disk)
    lines: list[str] = []

    def make_room(seconds: float) -> None:
        assert not list((path / "checkpoints").iterdir())
        filler.unlink()

    monkeypatch.setattr("cnn_explorer.trainer.loop.trainer.time.sleep", make_room)
    assert execute_run(path, lock, log=lines.append) == 0
    assert sum("checkpoint not written: No space left" in line for line in lines) == 1
    assert sum("records wait in memory" in line for line in lines) == 1
    assert any(line.startswith("test accuracy") for line in lines)
    assert read_run(path).state == "finished"
    assert checkpoint.read(path / "checkpoints" / "last.pt")["step"] == 60
    steps = [record["step"] for record in records_of(path, "train")]
    assert steps == sorted(set(steps)) and steps[-1] == 60, "the records that waited are all there"


def test_a_full_disk_before_the_run_exists_is_one_line(
    home: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(small_disk)
    assert call(monkeypatch, "train", "tiny") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "No space left" in shown.err.splitlines()[-1]
    assert [entry.name for entry in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tiny", "--lr", "0"], "lr: 0.0 must be above 0"),
        (["tiny", "--optimizer", "sdg"], "optimizer: 'sdg' is unknown; did you mean 'sgd'"),
        (["tiny", "--schedule", "cosin"], "schedule: 'cosin' is unknown; did you mean 'cosine'"),
        (["tiny", "--batch-size", "9999"], "the largest that works is 1294"),
        (["tiny", "--set", "gama=1"], "--set: 'gama' is not a value of a recipe; did you mean 'gamma'"),
        (["tiny", "--set", "gamma=x"], "--set gamma: 'x' must be a number"),
        (["tiny", "--set", "gamma=0.1\nlr=2"], r"--set gamma: '0.1\nlr=2' must be a number"),
        (["tiny", "--set", "gamma=" + "9" * 5000], "--set gamma: '999"),
        (["tiny", "--set", "gamma=" + "[" * 5000], "--set gamma: '[[["),
        (["tiny", "--set", "gamma"], "--set: 'gamma' must be KEY=VALUE"),
        (["tiny", "--set", "zzzz=1"], "--set: 'zzzz' is not a value of a recipe; there are optimizer, lr,"),
        (["tiny", "--epochs", "0"], "epochs: 0 must be at least 1 and at most 1,000,000"),
        (["tiny", "--image-size", "0"], "image-size: 0 must be a number of pixels, at least 1"),
        (["tiny", "--device", "x"], "device: 'x' is not a device; there are auto"),
        (["tiny", "--augment", "flip,crp"], "augment: 'crp' is unknown"),
        (["tiny", "--augment", "flip", "--no-augment"], "contradicts --augment"),
        (["tiny", "--config", "missing.toml"], "config: 'missing.toml' cannot be read"),
        (["tiny", "--keep", "-1"], "keep: -1 must be at least 0 and at most 10,000"),
        (["tiny", "--checkpoint-minutes", "nan"], "checkpoint-minutes: nan must be finite"),
        (["tiny", "--dataset", "mnst"], "did you mean 'mnist'"),
        ([], "network: give the name"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert call(monkeypatch, "train", *words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err.splitlines()[-1]
    assert not (home / "runs").exists()


def test_how_often_checkpoints_are_written_is_part_of_the_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand = home / "a.toml"
    by_hand.write_text('network = "tiny"\n[checkpoints]\nminutes = 2\nkeep = 3\n')
    assert call(monkeypatch, "train", "--config", str(by_hand), "--keep", "1", "--threads", "1", "--epochs", "3") == 0
    path = only_run(home)
    assert read_run(path).config["checkpoints"] == {"minutes": 2, "keep": 1}
    assert (path / "checkpoints" / "epoch-0003.pt").exists()
    assert not (path / "checkpoints" / "epoch-0002.pt").exists()
    by_hand.write_text('network = "tiny"\n[checkpoints]\nminute = 2\n')
    capsys.readouterr()
    assert call(monkeypatch, "train", "--config", str(by_hand)) == 2
    assert "is not a value of [checkpoints]; did you mean 'minutes'?" in capsys.readouterr().err


def test_a_core_left_to_others_is_told_only_where_it_was_left(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from cnn_explorer.trainer.devices import hardware

    monkeypatch.setattr(hardware.OtherWork, "cores", lambda self: 1.5)
    monkeypatch.setattr(hardware, "usable_cores", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (home / "threads.toml").write_text("[engine]\nthreads = 1\n")
    for more, told in ((), True), (("--threads", "1"), False), (("--config", str(home / "threads.toml")), False):
        assert call(monkeypatch, "train", "tiny", "--plan", "--no-calibrate", *more) == 0
        assert ("other programs keep 1.5 cores busy" in capsys.readouterr().err) == told
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert call(monkeypatch, "train", "tiny", "--plan", "--no-calibrate", "--json") == 0
    shown = capsys.readouterr()
    assert "other programs" not in shown.err
    plan = json.loads(shown.out)
    engine, origins = plan["engine"], plan["origins"]["engine"]
    assert (engine["threads"], origins["threads"]) == (2, "OMP_NUM_THREADS")


def test_no_augment_and_assignments_reach_the_recipe(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assigned = ["--set", "nesterov=false", "--set", "milestones=[0.3,0.6]"]
    assert call(monkeypatch, *TINY, "--no-augment", "--epochs", "1", *assigned) == 0
    recipe = read_run(only_run(home)).config["recipe"]
    assert (recipe["augment"], recipe["nesterov"], recipe["milestones"]) == ([], False, [0.3, 0.6])

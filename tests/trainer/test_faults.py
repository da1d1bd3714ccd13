"""What a machine does to a run: a disk that may not be written, data that vanish, a clock that jumps, a second process."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop.trainer import Stopped, Trainer
from cnn_explorer.trainer.runs import annotations, ids
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.runs.run_writer import write_notes
from support.training import call, create_run, records_of, same, status_of, weights_of


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Callable[[], None]) -> None:
    update = Trainer._update

    def acting(trainer, images, targets) -> None:
        if trainer.step + 1 == step:
            act()
        update(trainer, images, targets)

    monkeypatch.setattr(Trainer, "_update", acting)


def train(path: Path, lock) -> tuple[int, list[str]]:
    lines: list[str] = []
    return execute_run(path, lock, log=lines.append), lines


@pytest.fixture
def disk(home: Path) -> Iterator[Path]:
    """A disk of its own at the place of the runs folder, which can be made read-only, also for the superuser."""
    runs = home / "runs"
    runs.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(runs)], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a disk is not permitted here")
    yield runs
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


def test_a_read_only_disk_is_one_line_and_the_run_can_be_resumed_later(home: Path, disk: Path) -> None:
    path, lock = create_run(disk)
    lock.release()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert read_run(path).state == "crashed"
    done = subprocess.run(
        [sys.executable, "-m", "cnn_explorer", "runs", "resume", path.name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr and "Read-only file system" in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert train(path, spawn.prepare_resume(path))[0] == 0


def folder_of_images(home: Path) -> Path:
    from PIL import Image

    for part, count in (("train", 12), ("test", 4)):
        for label, grey in (("cat", 30), ("dog", 200)):
            folder = home / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (9, 7), (grey + number, 50, 99)).save(folder / f"{number}.png")
    return home / "pets"


def test_data_that_vanish_while_a_run_is_trained_are_not_missed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pets = folder_of_images(home)
    path, lock = create_run(home / "runs", dataset=f"folder:{pets}", recipe={"epochs": 2})
    with monkeypatch.context() as patch:
        at_step(patch, 1, lambda: shutil.rmtree(pets))
        assert train(path, lock)[0] == 0
    assert read_run(path).test_accuracy is not None


def test_data_that_vanish_before_a_run_is_resumed_are_one_line_and_coming_back_they_are_trained_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets = folder_of_images(home)
    options = {"dataset": f"folder:{pets}", "recipe": {"epochs": 2}}
    whole, (path, lock) = create_run(home / "runs", **options), create_run(home / "runs", **options)
    assert train(*whole)[0] == 0

    def stop() -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        at_step(patch, 2, stop)
        assert train(path, lock)[0] == 130
    pets.rename(home / "away")
    code, lines = train(path, spawn.prepare_resume(path))
    assert (code, status_of(path)["state"]) == (1, "failed")
    assert "does not exist" in status_of(path)["error"] and not any("Traceback" in line for line in lines)
    (home / "away").rename(pets)
    assert train(path, spawn.prepare_resume(path))[0] == 0
    assert same(weights_of(path), weights_of(whole[0]))


def test_a_clock_that_jumps_changes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs")
    jumps = itertools.cycle(["1999-01-01T00:00:00.000Z", "2099-12-31T23:59:59.000Z"])
    monkeypatch.setattr("cnn_explorer.trainer.runs.run_writer.timestamp", lambda: next(jumps))
    wall = itertools.cycle([0.0, 4e9])
    monkeypatch.setattr("time.time", lambda: next(wall))
    seen: list[str] = []
    at_step(monkeypatch, 33, lambda: seen.append(read_run(path).state))
    assert train(path, lock)[0] == 0
    assert seen == ["training"], "the lock tells, whatever the heartbeat says"
    assert status_of(path)["heartbeat"][:4] in ("1999", "2099")
    times = [record["time"] for record in records_of(path, "train")]
    assert times == sorted(times) and 0 <= times[0] <= times[-1] < 600
    assert all(record["images_per_s"] > 0 for record in records_of(path, "train"))


def test_other_processes_leave_a_run_alone_while_it_is_trained(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, (path, lock) = create_run(home / "runs"), create_run(home / "runs")
    train(*whole)
    said: list[tuple[int, str]] = []

    def interfere() -> None:
        for words in (["runs", "resume", path.name], ["runs", "rm", "--yes", path.name], ["train", "--run", path.name]):
            command = [sys.executable, "-m", "cnn_explorer", *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            said.append((done.returncode, done.stderr.strip().splitlines()[-1]))

    at_step(monkeypatch, 30, interfere)
    assert train(path, lock)[0] == 0
    (resumed, first), (removed, second), (trained, third) = said
    assert (resumed, removed, trained) == (2, 2, 1)
    assert "cannot be resumed: it is training" in first
    assert "cannot be removed: it is training" in second
    assert "another process holds its lock" in third
    assert same(weights_of(path), weights_of(whole[0]))


def test_kept_checkpoints_that_the_disk_refused_are_told_at_the_end(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 5}, checkpoints={"keep": 3})
    replace = os.replace

    def refusing(source: str, target: str) -> None:
        if "epoch-0004" in str(target):
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    code, lines = train(path, lock)
    assert code == 0
    assert "of the 3 checkpoints to be kept, that of epoch 4 is missing" in lines
    assert sorted(file.name for file in (path / "checkpoints").glob("epoch-*")) == [
        f"epoch-000{number}.pt" for number in (2, 3, 5)
    ]


def test_where_all_kept_checkpoints_are_there_nothing_is_said(home: Path) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 2}, checkpoints={"keep": 3})
    code, lines = train(path, lock)
    assert code == 0 and not any("to be kept" in line for line in lines)


def test_a_folder_in_the_place_of_a_request_stops_a_run_and_keeps_nobody_from_resuming_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 2})
    with monkeypatch.context() as patch:
        at_step(patch, 5, (path / "control" / "stop").mkdir)
        assert train(path, lock)[0] == 130
    assert train(path, spawn.prepare_resume(path))[0] == 0


def test_a_folder_with_something_in_it_is_left_and_named(home: Path) -> None:
    path, lock = create_run(home / "runs")
    lock.release()
    inside = path / "control" / "finish" / "mine.txt"
    inside.parent.mkdir()
    inside.write_text("mine")
    with pytest.raises(WorkError, match="finish is a folder and is not empty; remove it"):
        spawn.prepare_resume(path)
    assert inside.read_text() == "mine"


def test_a_tag_with_a_character_that_nobody_sees_is_shown_named_as_shown_and_taken_away(home: Path) -> None:
    path, lock = create_run(home / "runs")
    lock.release()
    write_notes(path, annotations.Notes(("be\u200bst", "good"), "a\u2060b"))
    found = read_run(path)
    assert found.notes == annotations.Notes((r"be\u200bst", "good"), r"a\u2060b")
    assert ids.resolve(home / "runs", r"be\u200bst") == path
    annotations.remove_tags(path, [r"be\u200bst"])
    assert read_run(path).notes.tags == ("good",)
    with pytest.raises(UsageError, match="has a character that nobody sees"):
        annotations.add_tags(path, ["bett\u200ber"])


def test_a_folder_of_checkpoints_that_cannot_be_listed_ends_neither_run_nor_queue(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 1})

    def refusing(list_folder: Callable) -> Callable:
        def refuse(folder: Path | str) -> object:
            if Path(folder) == path / "checkpoints":
                raise OSError(errno.EIO, "Input/output error", str(folder))
            return list_folder(folder)

        return refuse

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    assert train(path, lock)[0] == 0


@pytest.mark.parametrize(
    ("refused", "name"),
    [
        ("cnn_explorer.trainer.runs.reader.list_runs", "/dev/of/a/disk"),
        ("cnn_explorer.trainer.runs.reader.list_runs", None),
        ("cnn_explorer.cli.main._configure_streams", "/dev/null"),
    ],
)
def test_an_error_of_the_system_where_nobody_expects_one_is_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: str, name: str | None
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", name)

    monkeypatch.setattr(refused, refuse)
    assert call(monkeypatch, "runs") == 1
    where = "" if name is None else f"{name}: "
    assert capsys.readouterr().err == f"cnn-explorer: {where}Input/output error\n"


@pytest.mark.slow
@pytest.mark.parametrize(("parts", "only"), [("changes,inputs", "control"), ("training,commands", "records")])
def test_the_script_that_tries_faults_finds_none(tmp_path: Path, parts: str, only: str) -> None:
    if "training" in parts and shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    script = Path(__file__).resolve().parents[2] / "scripts" / "faults.py"
    command = [sys.executable, str(script), str(tmp_path), "--parts", parts, "--only", only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changes: 2 trials: " in done.stdout or "training: 5 trials: " in done.stdout
    assert done.stdout.endswith("\n0 wrong\n")

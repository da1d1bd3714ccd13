"""Kills trainings with SIGKILL at random points, resumes them, and compares the ends with that of an undisturbed run.

    python scripts/kill_runs.py [--kills 200] [--seed 0] [--keep FOLDER]

The training is short and real: the bundled digits, a network with batch norm and dropout, AdamW inside SAM, a
moving average of the weights, augmentation with mixup, checkpoints within epochs and kept ones after them. Every
second process is killed at a random moment, every other one in a random file operation (before a write, in the
middle of one, before a flush, a rename, a link), which is where a checkpoint or a record could be lost or torn. A
killed run goes on as with `runs resume`, and may be killed again; torch is imported once, and each process is
forked from this one. So that all records can be compared, there is one of every update.

At the end of each run all of this must equal the undisturbed run's, bit for bit: weights, optimiser, moving average
and random states in last.pt, the weights in best.pt, every record of training, validation and test, each once and
none torn. Prints one line; exit code 1 and the folder of the run where anything differs.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOTE = """+++
title = "Subject"
year = 2026
input = [1, 28, 28]
classes = 10

[variants.subject]
+++
Trained in order to be killed.
"""

CODE = """
from torch import nn


def subject(num_classes, in_channels, image_size):
    side = (image_size - 5) // 4 + 1
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 5, stride=4),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout2d(0.1),
        nn.Flatten(),
        nn.Linear(6 * side**2, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(24, num_classes),
    )
"""

RECIPE = {
    "optimizer": "adamw",
    "lr": 0.01,
    "epochs": 3,
    "batch_size": 64,
    "ema": 0.9,
    "sam": "sam",
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "augment": ["translate", "cutout", "mixup"],
}
CHECKPOINTS = {"minutes": 0.0005, "keep": 2}
MEASURED = {"time", "images_per_s"}
"""What may differ between two runs: it is measured, not computed."""
OPERATIONS = ("write", "fsync", "replace", "link")


def main() -> int:
    arguments = _arguments()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="kill-runs-"))
    _configure(folder)
    begun = time.monotonic()
    tester = Tester(folder, random.Random(arguments.seed))
    while tester.kills < arguments.kills:
        if problem := tester.run(arguments.kills - tester.kills):
            print(problem, file=sys.stderr)
            return 1
    print(tester.summary(time.monotonic() - begun))
    if arguments.keep is None:
        shutil.rmtree(folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the random points")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave all runs there")
    return parser.parse_args()


def _configure(folder: Path) -> None:
    """Set the program up to write into ``folder``, and torch to use one thread, so that processes can be forked."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "subject.md").write_text(NOTE)
    (models / "subject.py").write_text(CODE)
    for name in ("runs", "cache", "state", "models"):
        os.environ[f"CNN_EXPLORER_{name.upper()}"] = str(folder / name)
    os.environ["CNN_EXPLORER_CONFIG"] = str(folder / "config.toml")
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from cnn_explorer.trainer.loop import metrics_window

    metrics_window.MetricsWindow.due = lambda self: True


class Tester:
    """Makes runs in ``folder``, kills and resumes them, and compares their ends with that of one which is left alone.

    ``recipe`` holds what differs from RECIPE.
    """

    def __init__(self, folder: Path, rng: random.Random, **recipe: object) -> None:
        from cnn_explorer.trainer.config.request import TrainRequest
        from cnn_explorer.trainer.planning import planner

        self._rng = rng
        self._runs = folder / "runs"
        values = RECIPE | recipe | CHECKPOINTS
        request = TrainRequest.of("subject", dataset="digits", device="cpu", threads=1, **values)
        self._config = planner.plan(request, lambda line: None).config
        self.kills = self.runs = 0
        self.where: collections.Counter[str] = collections.Counter()
        self.how: collections.Counter[str] = collections.Counter()
        reference = self._create()
        counted = folder / "operations"
        begun = time.monotonic()
        _train(reference, lambda: _count_operations(counted))
        self._seconds = time.monotonic() - begun
        self._operations = int(counted.read_text())
        self._wanted = Remains(reference)
        if self._wanted.state != "finished":
            raise SystemExit(f"the undisturbed run {reference} is {self._wanted.state}")

    def _create(self) -> Path:
        from cnn_explorer.trainer.planning import planner

        path, lock = planner.create(self._config, self._runs, ["train", "subject"])
        lock.release()
        return path

    def run(self, kills: int) -> str:
        """Train one run to its end, through at most ``kills`` kills; what is wrong with it then, or nothing."""
        path = self._create()
        self.runs += 1
        while kills and self._killed(path):
            kills -= 1
        _train(path)
        problem = self._wanted.difference(Remains(path))
        if problem:
            return f"{path}: {problem}"
        shutil.rmtree(path)
        return ""

    def _killed(self, path: Path) -> bool:
        """Let the run go on and kill it; whether it was killed before it was over."""
        if self._rng.random() < 0.5:
            how, status = "at a moment", _train(path, kill_after_s=self._rng.uniform(0, self._seconds))
        else:
            at, half = self._rng.randrange(self._operations), self._rng.random() < 0.5
            how, status = "in a file operation", _train(path, lambda: _die_in_operation(at, half))
        if not os.WIFSIGNALED(status):
            return False
        self.kills += 1
        self.how[how] += 1
        state = json.loads((path / "status.json").read_bytes())
        self.where[state["state"]] += 1
        return True

    def summary(self, seconds: float) -> str:
        """Return all in one line."""
        points = ", ".join(f"{count} {how}" for how, count in sorted(self.how.items()))
        states = ", ".join(f"{count} {state}" for state, count in self.where.most_common())
        return (
            f"{self.kills} kills ({points}) and {self.kills} resumes of {self.runs} runs, killed while {states}: "
            f"all weights equal the undisturbed run's, no record lost, double or torn; {seconds:.0f} s"
        )


def _train(path: Path, prepare: Callable[[], None] | None = None, kill_after_s: float | None = None) -> int:
    """Resume the run in a process of its own, which is killed after that time; the process's status as of waitpid(2)."""
    child = os.fork()
    if child == 0:
        _be_trainer(path, prepare)
    deadline = time.monotonic() + (600 if kill_after_s is None else kill_after_s)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.001)


def _be_trainer(path: Path, prepare: Callable[[], None] | None) -> None:
    from cnn_explorer.trainer.launch import spawn

    code = 99
    try:
        if prepare is not None:
            prepare()
        code = spawn.resume(path, log=lambda line: None)
    finally:
        os._exit(code)


def _count_operations(target: Path) -> None:
    """Write the number of file operations of this process into ``target`` when it leaves."""
    count = [0]
    _before_operations(lambda *_: count.__setitem__(0, count[0] + 1))
    leave = os._exit

    def leave_counted(code: int) -> None:
        target.write_text(str(count[0]))
        leave(code)

    os._exit = leave_counted


def _die_in_operation(at: int, half: bool) -> None:
    """Kill this process before its file operation number ``at``; a write is first made by half, if asked for."""
    left = [at]

    def die(write: Callable[[bytes], object] | None, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            if write is not None and half:
                write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    _before_operations(die)


def _before_operations(act: Callable[[Callable[[bytes], object] | None, bytes], None]) -> None:
    """Call ``act`` before each file operation of the trainer, with what writes and the data where it is a write."""
    from cnn_explorer.trainer.weights import checkpoint

    def watched(operation: Callable, is_write: bool) -> Callable:
        def call(*arguments, **options):
            if is_write:
                act(lambda part: operation(arguments[0], part), bytes(arguments[1]))
            else:
                act(None, b"")
            return operation(*arguments, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, watched(getattr(os, name), is_write=name == "write"))
    write = checkpoint._Recorder.write

    def write_part(self: checkpoint._Recorder, data: bytes) -> int:
        def at_once(part: bytes) -> None:
            write(self, part)
            self.flush()

        act(at_once, bytes(data))
        return write(self, data)

    checkpoint._Recorder.write = write_part


class Remains:
    """What a run has left on the disk."""

    def __init__(self, path: Path) -> None:
        from cnn_explorer.trainer.runs.reader import read_run
        from cnn_explorer.trainer.runs.run_writer import checkpoint_paths
        from cnn_explorer.trainer.weights import checkpoint

        paths = checkpoint_paths(path)
        self.state = read_run(path).state
        self.leftovers = [str(found) for found in path.rglob("*.tmp")]
        lines = (path / "metrics.jsonl").read_bytes().split(b"\n")
        self.torn = [line for line in lines[:-1] if not _is_record(line)] + [line for line in lines[-1:] if line]
        found = (_computed(json.loads(line)) for line in lines if _is_record(line))
        self.records = [record for record in found if record is not None]
        self.kept = [number for number, _ in paths.kept()]
        last, best = checkpoint.read(paths.last), checkpoint.read(paths.best)
        self.state_at_end = {key: _flat(last[key]) for key in last if key != "elapsed"}
        self.best = _flat(best)

    def difference(self, other: Remains) -> str:
        """Return what differs in ``other``, in words; nothing where all is equal."""
        if other.state != self.state:
            return f"it is {other.state}"
        if other.torn or other.leftovers:
            return f"torn records {other.torn[:3]}, leftovers {other.leftovers}"
        if other.records != self.records:
            missing = [record for record in self.records if record not in other.records]
            more = [record for record in other.records if other.records.count(record) > self.records.count(record)]
            return f"{len(missing)} records are missing, {len(more)} too many: {missing[:1]} {more[:1]}"
        for key, value in self.state_at_end.items():
            if other.state_at_end.get(key) != value:
                return f"last.pt: {key} differs"
        if other.best != self.best:
            return "best.pt differs"
        return "" if other.kept == self.kept else f"the kept epochs are {other.kept} instead of {self.kept}"


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _computed(record: dict) -> dict | None:
    """Return a record without what is measured; nothing of an event, as a resumed run has more of them."""
    if record["kind"] == "event":
        return None
    return {key: value for key, value in record.items() if key not in MEASURED}


def _flat(value: Any) -> object:
    """Return the tensors as their type, shape and bytes, in whatever they are."""
    if isinstance(value, dict):
        return {key: _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    if hasattr(value, "numpy"):
        return str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes()
    return value


if __name__ == "__main__":
    sys.exit(main())

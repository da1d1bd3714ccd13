"""What is killed: trainings, queues, ranks, calibrations and exports, each with an undisturbed one to compare with.

Work begins, goes on in a process of its own until that ends or is killed, and says where it was killed and what is
wrong with its end.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import kill_process
from kill_process import ALIVE, Counts, Death, Spot
from kill_remains import Remains

OLD_S = 7200
"""What killed processes left is made as old as this, so that it may be cleared away."""

TRAINED = ", while it trains"

Watch = Callable[[Sequence[Path]], None]


class KillableWork(ABC):
    """Work that can be killed and goes on afterwards.

    ``most_kills``: of one trial; ``spot``: where it is to be hit often.
    """

    most_kills = 4
    spot: Spot | None = None

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seconds = 0.0
        self.counts = Counts()

    def measure(self) -> None:
        """Do the work undisturbed, and remember how long it takes, in seconds and in file operations."""
        counted = self.folder / "counted.json"
        self.begin()
        begun = time.monotonic()
        status = kill_process.call(self.work, ALIVE, lambda: self._prepare_to_count(counted), self.said)
        self.seconds = time.monotonic() - begun
        if status:
            raise SystemExit(f"the undisturbed work in {self.folder} ended with {status}; see {self.said}")
        self.counts = kill_process.counts(counted)

    def _prepare_to_count(self, counted: Path) -> None:
        self.prepare()
        kill_process.count(counted, self.spot)

    @property
    def said(self) -> Path:
        """The file with what the processes print."""
        return self.folder / "said.txt"

    def death(self, rng: random.Random) -> Death:
        """Return how the next process is to die."""
        return kill_process.draw(rng, self.seconds, self.counts, self.spot)

    def go_on(self, death: Death = ALIVE) -> bool:
        """Work until it is done, or killed; whether it was killed."""
        self.said.write_bytes(b"")
        return os.WIFSIGNALED(kill_process.call(self.work, death, self.prepare, self.said))

    def begin(self) -> None:  # noqa: B027, not every work needs it
        """Make what one trial needs."""

    def prepare(self) -> None:  # noqa: B027, not every work needs it
        """Do what is to be done in each process before the work."""

    @abstractmethod
    def work(self) -> int:
        """Do the work in this process, from where it stands; return the exit code."""

    @abstractmethod
    def place(self) -> str:
        """Return in words where the work was killed."""

    @abstractmethod
    def problem(self) -> str:
        """Return what is wrong when the work has ended, or nothing."""

    def tidy(self) -> None:  # noqa: B027, not every work needs it
        """Remove what a trial has left where nothing was wrong."""


class Trainings(KillableWork):
    """A training, or several in the queue of one process. ``watch`` may prepare each process, given the directories."""

    by_time = False

    def __init__(self, folder: Path, configs: Sequence[Any], watch: Watch | None = None) -> None:
        super().__init__(folder)
        self._configs = configs
        self._watch = watch
        self.paths: list[Path] = []
        self.measure()
        self._wanted = [Remains(path, by_time=self.by_time) for path in self.paths]
        if states := [found.state for found in self._wanted if found.state != "finished"]:
            raise SystemExit(f"an undisturbed run in {self.folder} is {states[0]}")

    def begin(self) -> None:
        """Create the runs."""
        from cnn_explorer.trainer.planning import planner

        self.paths = []
        for config in self._configs:
            path, lock = planner.create(config, self.folder / "runs", ["train", config.network.name])
            lock.release()
            self.paths.append(path)

    def prepare(self) -> None:
        """Prepare the process as the case wants it."""
        if self._watch is not None:
            self._watch(self.paths)

    def work(self) -> int:
        """Resume the runs that have not ended."""
        from cnn_explorer.trainer.launch import execute, spawn
        from cnn_explorer.trainer.runs.reader import read_run

        if len(self.paths) == 1:
            return spawn.resume(self.paths[0], log=_print_line)
        left = [path for path in self.paths if read_run(path).state != "finished"]
        locks = [spawn.prepare_resume(path) for path in left]
        return max(execute.execute_queue(left, locks, log=_print_line), default=0)

    def place(self) -> str:
        """Return the state of the run; of a queue that of the one whose turn it is, and how many wait."""
        states = [_state(path) for path in self.paths]
        waiting = states.count("queued")
        at_work = next((state for state in states if state not in ("queued", "finished")), "between two runs")
        return f"{at_work} ({waiting} of {len(states)} waiting)" if len(states) > 1 else states[0]

    def problem(self) -> str:
        """Compare what the runs have left."""
        for path, wanted in zip(self.paths, self._wanted, strict=True):
            if problem := wanted.difference(Remains(path, by_time=self.by_time)):
                return f"{path}: {problem}"
        return ""

    def tidy(self) -> None:
        """Remove the runs."""
        for path in self.paths:
            shutil.rmtree(path)


def _print_line(line: str) -> None:
    print(line, flush=True)


def _state(path: Path) -> str:
    from cnn_explorer.trainer.runs.run_writer import _read_status

    status = _read_status(path)
    return "loading data" if status.get("phase") == "loading data" else str(status.get("state"))


class DecodedTrainings(Trainings):
    """Trainings on a folder of images, which the first process of each decodes."""

    spot = Spot("cnn_explorer.trainer.data.decoded_cache", "Writer", "add", "while decoding")

    def begin(self) -> None:
        """Create the runs, and forget the decoded images."""
        super().begin()
        for found in _cache().rglob("*"):
            if found.is_file():
                found.unlink()

    def go_on(self, death: Death = ALIVE) -> bool:
        """Work as ever; what an earlier process left has become old by now."""
        age(_cache())
        return super().go_on(death)

    def place(self) -> str:
        """Return "decoding" where the images were being decoded."""
        said = self.said.read_text()
        return "decoding" if "decoding " in said and "decoded " not in said else super().place()

    def problem(self) -> str:
        """Compare the runs; nothing half made is left beside the decoded images."""
        left = [str(found) for found in _cache().rglob(".*.tmp")]
        return f"left beside the decoded images: {left}" if left else super().problem()


def _cache() -> Path:
    from cnn_explorer import settings

    return settings.cache_folder()


def age(folder: Path) -> None:
    """Make what killed processes left in the folder old."""
    then = time.time() - OLD_S
    for found in folder.rglob(".*.tmp"):
        os.utime(found, (then, then))


class Ranks(Trainings):
    """A training by several processes, of which one or all are killed.

    Its records are due by time, because the ranks are processes that nobody here has prepared.
    """

    by_time = True
    most_kills = 2
    _where = ""
    WHO = ("the launcher", "rank 0", "rank 1", "all")

    def measure(self) -> None:
        """Train undisturbed, and remember how long the start takes, and how long the rest."""
        self.begin()
        begun = time.monotonic()
        self.go_on()
        self.seconds = time.monotonic() - begun

    def death(self, rng: random.Random) -> Death:
        """Return a death at some moment; half of them while something is trained."""
        trained = rng.random() < 0.5
        return Death(f"{rng.choice(self.WHO)}{TRAINED if trained else ''}", rng.uniform(0, self.seconds))

    def go_on(self, death: Death = ALIVE) -> bool:
        """Resume the run in a process like a person's, kill who is to be killed, and wait for the others."""
        import subprocess
        import sys

        import psutil

        command = [sys.executable, "-m", "cnn_explorer", "runs", "--runs", str(self.paths[0].parent), "resume"]
        with open(self.said, "wb") as said:
            launcher = subprocess.Popen([*command, self.paths[0].name], stdout=said, stderr=said)
        tree = [psutil.Process(launcher.pid)]
        killed = False
        if death is not ALIVE:
            self._await(launcher, death)
            tree += _ranks_of(launcher.pid, self.paths[0])
            self._where = super().place()
            killed = launcher.poll() is None and _kill(tree, death.how.partition(",")[0])
        launcher.wait(kill_process.PATIENCE_S)
        psutil.wait_procs(tree, kill_process.PATIENCE_S)
        return killed

    def place(self) -> str:
        """Return the state just before the kill: ranks that are left write down that they stop."""
        return self._where

    def _await(self, launcher: Any, death: Death) -> None:
        """Wait for the moment: after the start, or within the part of the time that training takes."""
        seconds = death.seconds
        if death.how.endswith(TRAINED):
            while launcher.poll() is None and _state(self.paths[0]) in ("queued", "loading data", "starting"):
                time.sleep(0.02)
            seconds *= 0.2
        until = time.monotonic() + seconds
        while launcher.poll() is None and time.monotonic() < until:
            time.sleep(0.02)


def _ranks_of(launcher: int, path: Path) -> list[Any]:
    import psutil

    try:
        children = psutil.Process(launcher).children(recursive=True)
    except psutil.NoSuchProcess:  # it ended before it was to be killed
        return []
    found = []
    for child in children:
        try:
            if {"--as-rank", str(path)} <= set(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def _kill(tree: Sequence[Any], who: str) -> bool:
    """Kill the launcher, one of its ranks, or all of them; whether there was anybody to kill."""
    chosen = {"the launcher": tree[:1], "rank 0": tree[1:2], "rank 1": tree[2:3], "all": tree}[who]
    import psutil

    for one in chosen:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.Error:
            return False
    return bool(chosen)

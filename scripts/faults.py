"""Tries errors of the system, files that change under a run, and hostile words, and prints what comes of each.

    python scripts/faults.py [--parts training,changes,commands,inputs] [--only WORDS] [FOLDER]

- training: strace injects an error into a training (fault_lists.py has them). It ends in whatever way, without a
  traceback; what has not finished is resumed. The weights must then equal an undisturbed run's bit for bit, and records
  that are missing must have been told.
- changes: somebody removes, cuts or replaces a file of the run while it is trained. The same must hold of the weights;
  a folder in the place of a file is taken away before the run is resumed.
- commands: one call of the system fails in `list`, `runs`, `runs show`, `runs export` and `show FILE`. Each ends
  normally or in one line, and the run is as it was.
- inputs: words that no command can take. Each is refused in one line, and there is no new run.

Needs strace for the first and the third. Prints a line for what is wrong; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fault_process
import kill_process
from fault_lists import CHANGES, COMMAND_CALLS, COMMAND_ERRORS, COMMAND_TURNS, INPUTS, TRAINING
from fault_process import Fault
from kill_cases import SHORT, configure, planned
from kill_commands import command, contents
from kill_remains import Remains
from kill_work import Trainings

IN_SECOND_EPOCH = 24
"""A step by which the checkpoint of the first epoch is written, or soon will be."""
CRASHES = ("Traceback (most recent", "Fatal Python error", "Segmentation fault")


def main() -> int:
    """Try all that was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="of the runs (default: a temporary one, which stays)")
    parser.add_argument("--parts", default="training,changes,commands,inputs")
    parser.add_argument("--only", default="", help="trials with these words")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="faults-"))).absolute()
    configure(folder)
    _shorten_waits()
    trials = Trials(folder, given.only)
    kinds = {
        "training": trials.train_with_faults,
        "changes": trials.train_with_changes,
        "commands": trials.run_commands_with_faults,
        "inputs": trials.refuse_inputs,
    }
    wrong = 0
    for part in given.parts.split(","):
        outcomes: collections.Counter[str] = collections.Counter()
        for words, outcome, problem in kinds[part]():
            outcomes[outcome] += 1
            wrong += bool(problem)
            if problem or part in ("training", "changes"):
                print(f"{part}: {words}: {outcome}{f': WRONG: {problem}' if problem else ''}", flush=True)
        ways = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        print(f"{part}: {outcomes.total()} trials: {ways}", flush=True)
    print(f"{wrong} wrong", flush=True)
    return 1 if wrong else 0


FaultTrial = tuple[str, str, str]
"""What was tried, what came of it, and what is wrong with that."""


class Trials:
    """All trials, with one training to compare with and its run for the commands."""

    def __init__(self, folder: Path, only: str) -> None:
        self._folder = folder
        self._only = only
        self._training = Trainings(folder / "trained", [planned(**SHORT)])
        self._run = self._training.paths[0]
        self._wanted = Remains(self._run)
        self._said = folder / "said.txt"

    def train_with_faults(self) -> Iterator[FaultTrial]:
        """Train once with each error."""
        for fault in TRAINING:
            if self._only in fault.words:
                self._training.begin()
                run = self._training.paths[0]
                status = fault_process.call(_resumed(run), fault, run, self._said)
                yield (fault.words, *self._end_of(run, status))

    def train_with_changes(self) -> Iterator[FaultTrial]:
        """Train once with each change, which happens at one step."""
        for words, change in CHANGES.items():
            if self._only in words:
                self._training.begin()
                run = self._training.paths[0]
                self._said.write_bytes(b"")
                prepare = _at_step(IN_SECOND_EPOCH, run, change)
                status = kill_process.call(_resumed(run), prepare=prepare, said=self._said)
                yield (words, *self._end_of(run, status, in_metrics="metrics" in words))

    def _end_of(self, run: Path, status: int, *, in_metrics: bool = False) -> tuple[str, str]:
        """Resume the run unless it has finished; what came of it, and what is wrong.

        ``in_metrics``: somebody has taken records away.
        """
        from cnn_explorer.trainer.runs.reader import read_run

        said = self._said.read_text(errors="replace")
        state = read_run(run).state
        _, problem = _outcome(status, said, (0, 1, 2, 130))
        said += _log_of(run)
        if problem or any(word in said for word in CRASHES):
            return state, f"{problem}\n{said}"
        outcome = state
        if state != "finished":
            for folder in (run / "status.json", run / "checkpoints" / "last.pt"):
                if folder.is_dir():
                    folder.rmdir()
            outcome = f"{state}, resumed"
            self._training.go_on()
            said += _log_of(run)
        try:
            found = Remains(run)
        except Exception as error:
            return outcome, f"{run}: {type(error).__name__}: {error}"
        if found.state != "finished":
            return outcome, f"{run}: {found.state}: {found.row['error']}"
        if problem := self._wanted.difference_of_weights(found):
            told = "missing" in said and "kept" in problem
            return outcome, "" if told else f"{run}: {problem}"
        return self._with_records(outcome, said, found, in_metrics)

    def _with_records(self, outcome: str, said: str, found: Remains, in_metrics: bool) -> tuple[str, str]:
        problem = self._wanted.difference_of_records(found) or "; ".join(map(str, found.torn[:2]))
        if not problem:
            return outcome, ""
        return f"{outcome}, records lost", "" if "records are lost" in said or in_metrics else problem

    def run_commands_with_faults(self) -> Iterator[FaultTrial]:
        """Run commands, in each of which one call of the system fails."""
        before = contents(self._run)
        runs = ("runs", "--runs", str(self._run.parent))
        target = self._folder / "exported.csv"
        commands = {
            "list": ("list",),
            "runs": runs,
            "runs show": (*runs, "show", self._run.name),
            "runs export": (*runs, "export", self._run.name, "-o", str(target), "--force"),
            "show FILE": ("show", str(self._run / "checkpoints" / "best.pt")),
        }
        for name, words in commands.items():
            for fault in _faults_of_commands():
                if self._only in f"{name}: {fault.words}":
                    status = fault_process.call(
                        lambda words=words: command(words), fault, self._run, self._said, twice=True
                    )
                    changed = "" if contents(self._run) == before else "the run has changed"
                    outcome, problem = _outcome(status, self._said.read_text(errors="replace"), (0, 1, 2))
                    yield f"{name}: {fault.words}", outcome, problem or changed

    def refuse_inputs(self) -> Iterator[FaultTrial]:
        """Run commands with words that they cannot take."""
        places = _odd_files(self._folder, self._run)
        for words in INPUTS:
            filled = [_filled(word, places) for word in words]
            if "\0" in "".join(filled) or self._only not in " ".join(words):
                continue
            count = len(list(self._run.parent.iterdir()))
            self._said.write_bytes(b"")
            status = kill_process.call(lambda filled=filled: command(filled), said=self._said, prepare=self._show_runs)
            said = self._said.read_text(errors="replace")
            outcome, problem = _outcome(status, said, (1, 2))
            if not problem and len(list(self._run.parent.iterdir())) != count:
                problem = "there is a new run"
            yield " ".join(_short(word) for word in words), outcome, problem

    def _show_runs(self) -> None:
        os.environ["CNN_EXPLORER_RUNS"] = str(self._run.parent)


def _shorten_waits() -> None:
    """Let a training wait for seconds, not for an hour, until the disk takes its last checkpoint."""
    from cnn_explorer.trainer.loop import trainer

    trainer.RETRY_S, trainer.PATIENCE_S = 0.2, 5.0


def _resumed(run: Path) -> Callable[[], int]:
    """Return the work of `runs resume`."""
    return lambda: command(("runs", "--runs", str(run.parent), "resume", run.name))


def _at_step(step: int, run: Path, change: Callable[[Path], None]) -> Callable[[], None]:
    from cnn_explorer.trainer.loop.trainer import Trainer

    def prepare() -> None:
        update = Trainer._update

        def changing(self: Trainer, images: Any, targets: Any) -> None:
            if self.step + 1 == step:
                change(run)
            update(self, images, targets)

        Trainer._update = changing

    return prepare


def _log_of(run: Path) -> str:
    log = run / "train.log"
    return log.read_text(errors="replace") if log.is_file() else ""


def _faults_of_commands() -> Iterator[Fault]:
    for calls in COMMAND_CALLS:
        for error in COMMAND_ERRORS:
            for turn in COMMAND_TURNS:
                yield Fault(f"{calls} {error} {turn}", f"{calls}:error={error}:when={turn}")


def _outcome(status: int, said: str, codes: Sequence[int]) -> tuple[str, str]:
    """Return how a command ended, and what is wrong with that: a crash, another code, an error that is no line."""
    if os.WIFSIGNALED(status):
        return "killed", f"signal {os.WTERMSIG(status)}\n{said}"
    code = os.WEXITSTATUS(status)
    outcome = f"exit code {code}"
    if any(word in said for word in CRASHES) or code not in codes:
        return outcome, said or "nothing was said"
    # Where the output itself cannot be written any more, the line comes behind what was written of another one.
    told = "cnn-explorer: " in said or any(line.startswith("stopped; ") for line in said.splitlines())
    return outcome, "" if code == 0 or told else said or "nothing was said"


def _odd_files(folder: Path, run: Path) -> dict[str, str]:
    """Make files that are not what their names say, and a run of a stranger; returns the places of the words."""
    odd = folder / "odd"
    (odd / "folder.pth").mkdir(parents=True, exist_ok=True)
    (odd / "text.pth").write_text("no archive\n" * 50)
    (odd / "empty.pth").write_bytes(b"")
    (odd / "pickle.pth").write_bytes(pickle.dumps(os.system))
    (odd / "deep.json").write_text("[" * 100_000)
    (odd / "list.json").write_text("[1, 2]")
    (odd / "bytes.toml").write_bytes(b"\xff\xfe\0lr = 1")
    stranger = run.parent / "stranger"
    stranger.mkdir(exist_ok=True)
    (stranger / "run.json").write_text(json.dumps({"schema": 1, "id": "stranger", "data": 5, "network": []}))
    (stranger / "status.json").write_text(json.dumps({"state": "finished"}))
    return {"folder": str(odd), "run": run.name, "stranger": "stranger"}


def _filled(word: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        word = word.replace("{" + name + "}", place)
    return word


def _short(word: str) -> str:
    return repr(word[:40] + "…") if len(word) > 40 else repr(word)


if __name__ == "__main__":
    sys.exit(main())

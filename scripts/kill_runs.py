"""Kills trainings with SIGKILL at random points, resumes them, and compares the ends with that of an undisturbed run.

    python scripts/kill_runs.py [FOLDER] [--kills 500] [--limit N] [--shard K/N] [--cases a,b] [--seed 0] [--report]

The cases (kill_cases.py) are short and real: fifteen configurations, which are killed while they train, evaluate and
write checkpoints, and also while images are decoded, a queue waits, a network is calibrated, a run is exported. Half of
the processes are killed at a random moment, half in a random file operation (before a write, in the middle of one,
before a flush, a rename, a link), which is where a checkpoint or a record could be lost or torn. A killed run goes on as
with `runs resume`, and may be killed again; torch is imported once, and each process is forked from this one. Of the two
ranks, which are processes like a person's, one or all are killed. So that all records can be compared, there is one of
every update.

At the end of each run all of this must equal the undisturbed run's, bit for bit: weights, optimiser, moving average
and random states in last.pt, the weights in best.pt, every record of training, validation and test, each once and
none torn, and its row in the table of runs. Nothing temporary may be left.

FOLDER keeps one JSON line for each kill, in kills-K-of-N.jsonl, and the runs that differ. A call with the same FOLDER
goes on where an earlier one has ended; several with different --shard work side by side. --limit ends a call after so
many kills, --report only prints the table. The exit code is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from kill_cases import CASES, configure
from kill_work import KillableWork


def main() -> int:
    """Kill as often as asked for, and print the table of all kills; returns the exit code."""
    given = _arguments()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="kill-runs-"))
    if not given.report:
        shard, of = (int(word) for word in given.shard.split("/"))
        Killer(folder, shard, of, given.cases.split(","), given.seed).kill(-(-given.kills // of), given.limit)
    found = read(folder)
    print("\n".join(report(found)))
    if given.folder is None and not given.report:
        shutil.rmtree(folder)
    return 1 if any(kill["problem"] for kill in found) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of the kills and their runs (default: a temporary one)")
    parser.add_argument("--kills", type=int, default=500, help="of all shards")
    parser.add_argument("--limit", type=int, default=10**9, help="kills in this call")
    parser.add_argument("--shard", default="0/1", metavar="K/N")
    parser.add_argument("--cases", default=",".join(CASES), help="which configurations")
    parser.add_argument("--seed", type=int, default=0, help="of the random points")
    parser.add_argument("--report", action="store_true", help="print the table of what was killed so far")
    return parser.parse_args()


class Killer:
    """Makes trials, those of its shard, and writes down their kills."""

    def __init__(self, folder: Path, shard: int, of: int, cases: list[str], seed: int) -> None:
        self._folder = folder / f"shard-{shard}-of-{of}"
        self._target = folder / f"kills-{shard}-of-{of}.jsonl"
        self._shard, self._of, self._seed = shard, of, seed
        self._works: dict[str, KillableWork] = {}
        self._turns = [name for name in cases for _ in range(CASES[name].share)]
        random.Random(seed).shuffle(self._turns)

    def kill(self, wanted: int, limit: int) -> None:
        """Make trials until the file holds ``wanted`` kills, at at_most ``limit`` of them of this call."""
        configure(self._folder.absolute())
        before = [json.loads(line) for line in _lines(self._target)]
        trial = max((kill["trial"] + self._of for kill in before), default=self._shard)
        wanted = min(wanted, len(before) + limit)
        count = len(before)
        while count < wanted:
            count += self._try(trial, wanted - count)
            trial += self._of

    def _try(self, trial: int, at_most: int) -> int:
        """Make one trial with at most so many kills, and write them down; returns their number."""
        name = self._turns[trial % len(self._turns)]
        work = self._work_of(name, trial)
        rng = random.Random(f"{self._seed} {trial}")
        begun = time.monotonic()
        work.begin()
        kills: list[dict[str, object]] = []
        for _ in range(min(at_most, rng.randint(1, work.most_kills))):
            death = work.death(rng)
            if not work.go_on(death):
                break
            kills.append({"case": name, "trial": trial, "how": death.how, "where": work.place()})
        work.go_on()
        problem = _problem(work)
        with open(self._target, "a") as target:
            for kill in kills:
                seconds = round(time.monotonic() - begun, 2)
                target.write(json.dumps(kill | {"problem": problem, "trial_s": seconds}) + "\n")
        if problem:
            print(f"{name}, trial {trial}: {problem}", file=sys.stderr, flush=True)
        else:
            work.tidy()
        return len(kills)

    def _work_of(self, name: str, trial: int) -> KillableWork:
        """Return the work of a case, in a folder of its own: those of earlier calls keep the runs that differ."""
        if name not in self._works:
            place = self._folder / f"{name}-from-{trial}"
            shutil.rmtree(place, ignore_errors=True)
            self._works[name] = CASES[name].make(place)
        return self._works[name]


def _problem(work: KillableWork) -> str:
    """Return what is wrong; a run of which something is missing cannot even be looked at."""
    try:
        return work.problem()
    except Exception as error:
        return f"{work.folder}: {type(error).__name__}: {error}"


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a file: a call that was killed itself may have left a part of one."""
    text = path.read_text() if path.exists() else ""
    whole, _, part = text.rpartition("\n")
    if part:
        path.write_text(whole + "\n" if whole else "")
    return whole.splitlines()


def read(folder: Path) -> list[dict]:
    """Return the kills of all shards."""
    return [json.loads(line) for path in sorted(folder.glob("kills-*.jsonl")) for line in _lines(path)]


def report(kills: list[dict]) -> list[str]:
    """Return the table of the kills by case, and all in one line."""
    lines = ["| case | kills | runs | killed while | differ |", "|---|---:|---:|---|---:|"]
    for name, case in CASES.items():
        if own := [kill for kill in kills if kill["case"] == name]:
            places = collections.Counter(kill["where"] for kill in own)
            where = ", ".join(f"{count} {place}" for place, count in places.most_common())
            trials = {kill["trial"]: bool(kill["problem"]) for kill in own}
            lines.append(f"| {case.words} | {len(own)} | {len(trials)} | {where} | {sum(trials.values())} |")
    trials = {kill["trial"]: kill for kill in kills}
    differ = sum(bool(kill["problem"]) for kill in trials.values())
    ways = collections.Counter(kill["how"] for kill in kills)
    how = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
    seconds = sum(kill["trial_s"] for kill in trials.values())
    end = f"{differ} differ from the undisturbed one" if differ else "all equal the undisturbed one"
    return [*lines, "", f"{len(kills)} kills ({how}) of {len(trials)} runs: {end}; {seconds:.0f} s"]


if __name__ == "__main__":
    sys.exit(main())

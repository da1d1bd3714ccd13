"""Trains small runs with two ranks on the CPU, again and again, and counts the processes that do not end as they should.

    python scripts/rank_ends.py [--runs 40] [--ways devices,torchrun] [--seed 0]

Every second run is left to its end; every other one is asked to stop at a random moment of its training. What is wrong:
another exit code or state than that of such an end, and "terminate called" or "Fatal Python error" on stderr, which a
rank prints that aborts. Prints a line for each way, and what the processes said where something is wrong; the exit code
is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = ("train", "lenet5", "--dataset", "digits", "--no-calibrate", "--threads", "1", "--device", "cpu")
WAYS = {
    "devices": (sys.executable, "-m", "cnn_explorer", *TRAIN, "--devices", "2"),
    "torchrun": (
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node=2",
            "--local-addr=127.0.0.1",
        ),
        *("-m", "cnn_explorer", *TRAIN),
    ),
}
STOPPED = {"devices": (130,), "torchrun": None}
"""The exit codes of a training that was stopped; torchrun ends with an error of its own, whatever its ranks do."""
ABORTS = ("terminate called", "Fatal Python error", "core dumped")
PATIENCE_S = 300.0
EACH = 20
"""After so many runs a line says how they ended, which a series that is cut off has printed already."""


def main() -> int:
    """Train the runs and print how they ended; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40, help="runs of each way")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the stops")
    given = parser.parse_args()
    delays, all_right = random.Random(given.seed), True
    for way in given.ways.split(","):
        wrong = stopped = 0
        for number in range(given.runs):
            stop_after = delays.uniform(0, 1) if number % 2 else None
            fault, was_stopped = one_run(way, stop_after)
            stopped += was_stopped
            if fault:
                wrong += 1
                print(f"{way}, run {number}: {fault}", flush=True)
            if (number + 1) % EACH == 0 or number + 1 == given.runs:
                print(f"{way}: {number + 1} runs, {stopped} of them stopped, {wrong} ended wrongly", flush=True)
        all_right = all_right and not wrong
    return 0 if all_right else 1


def one_run(way: str, stop_after: float | None) -> tuple[str, bool]:
    """Train one run; returns what is wrong with its end, "" for nothing, and whether it was stopped."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        epochs = "2" if stop_after is None else "100000"
        process = subprocess.Popen(
            [*WAYS[way], "--runs", str(runs), "--epochs", epochs],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | {"OMP_NUM_THREADS": "1", "CNN_EXPLORER_CONFIG": f"{folder}/config.toml"},
        )
        if stop_after is not None:
            _wait_for_training(runs, process)
            time.sleep(stop_after)
            process.send_signal(signal.SIGINT if way == "devices" else signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
        stopped = stop_after is not None
        codes, wanted_state = (STOPPED[way], "stopped") if stopped else ((0,), "finished")
        state = next((json.loads(path.read_text())["state"] for path in runs.glob("*/status.json")), "not begun")
        aborts = [word for word in ABORTS if word in said]
        if (codes is None or process.returncode in codes) and state == wanted_state and not aborts:
            return "", stopped
        return f"exit code {process.returncode}, {state}, {aborts}\n{said}", stopped


def _wait_for_training(runs: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        for path in runs.glob("*/status.json"):
            if json.loads(path.read_text())["state"] == "training":
                return
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())

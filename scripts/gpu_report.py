"""The figures that need a GPU, by one command: speed beside the loop by hand, accuracy of a stated recipe, time to 94 %.

usage: python scripts/gpu_report.py [--out FOLDER] [--dataset NAME] [--network NAME] [--device D] [--parts LIST] [--small]

Three parts: `bench` (the network in bf16, compiled, beside the loop by hand with the same), `accuracy` (a run with the
recipe in ACCURACY) and `speedrun` (a run with --recipe speedrun, and when its validation accuracy reached 94 %). Each is a
command of cnn-explorer as anyone would type it. FOLDER (gpu-report) receives report.md, report.json and the run directories.
--small tries all of it out at small size, on a CPU within a minute or two: LeNet-5 on the digits, an epoch or two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GOAL = 0.94
LEAST_SHARE = 0.95
PARTS = ("bench", "accuracy", "speedrun")
BENCH = "--batch-size 512 --precision bf16 --compile --channels-last --parts bare --seconds 2 --repeats 9"
ACCURACY = (
    "--optimizer sgd --lr 0.2 --schedule one-cycle --epochs 60 --batch-size 512 --weight-decay 0.0005 "
    "--label-smoothing 0.1 --augment crop,flip,cutout --ema 0.99"
)
SPEEDRUN = "--recipe speedrun"
SMALL_BENCH = "--parts bare --seconds 0.1 --repeats 3"
SMALL_RUN = "--epochs 2 --batch-size 32 --lr 0.05"
PUBLISHED = (
    "airbench94 (another, smaller network; arXiv:2404.00498 and its repository): 94 % in 2.6 to 3.3 s on an A100"
)


@dataclass(frozen=True)
class Done:
    """A command, the seconds that it took, and the JSON object that it printed."""

    command: str
    seconds: float
    result: dict


def run(*words: str) -> Done:
    """Run cnn-explorer; its narration goes to stderr. Ends the script with its exit code where it fails."""
    command = ["cnn-explorer", *words, "--json"]
    print("$", *command, file=sys.stderr, flush=True)
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "cnn_explorer", *command[1:]], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return Done(" ".join(command), time.perf_counter() - begun, json.loads(done.stdout))


def records(run_folder: Path) -> list[dict]:
    """Return the evaluations in a run's metrics.jsonl."""
    lines = (run_folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "eval"]


def training(done: Done) -> dict:
    """Return the figures of a run: accuracies, seconds of training in all, and until the goal was reached (None: never)."""
    found = records(Path(done.result["path"]))
    validated = [record for record in found if record["split"] == "validation"]
    reached = next((record for record in validated if record["accuracy"] >= GOAL), None)
    return {
        "command": done.command,
        "command_s": round(done.seconds, 1),
        "training_s": validated[-1]["time"],
        "epochs": done.result["epochs"],
        "best_validation": done.result["best_accuracy"],
        "test": done.result["test_accuracy"],
        "goal": GOAL,
        "goal_epoch": None if reached is None else reached["epoch"],
        "goal_s": None if reached is None else reached["time"],
    }


def speed(done: Done) -> dict:
    """Return the engine beside the loop by hand."""
    [network] = done.result["networks"]
    return {
        "command": done.command,
        "command_s": round(done.seconds, 1),
        "machine": done.result["machine"],
        "engine": network["engine"],
        "images_per_s": {loop["name"]: loop["images_per_s"] for loop in network["loops"]},
        "share_of_bare": network["engine_times"]["bare"],
        "overhead_us": network["overhead_us"],
        "wanted_share": LEAST_SHARE,
    }


def as_markdown(report: dict) -> str:
    """Return the report as a page."""
    lines = ["# GPU report", ""]
    if found := report.get("bench"):
        machine, rates = found["machine"], found["images_per_s"]
        lines += [f"{machine['device_name']}, torch {machine['torch']}", "", f"`{found['command']}`", ""]
        lines += ["| loop | images/s | min … max |", "|---|---:|---:|"]
        lines += [f"| {name} | {r['median']:,.0f} | {r['min']:,.0f} … {r['max']:,.0f} |" for name, r in rates.items()]
        lines += ["", f"Engine: {found['share_of_bare']:.3f} of the loop by hand; wanted: {LEAST_SHARE}.", ""]
    for name in ("accuracy", "speedrun"):
        if found := report.get(name):
            lines += [f"`{found['command']}`", "", training_line(found), ""]
    if "speedrun" in report:
        lines += [f"For comparison: {PUBLISHED}.", ""]
    return "\n".join(lines)


def training_line(found: dict) -> str:
    """A run in a sentence."""
    goal = f"{100 * GOAL:.0f} % on the validation split"
    when = f"{goal} after {found['goal_s']:.1f} s" if found["goal_s"] is not None else f"{goal} was not reached"
    return (
        f"Test accuracy {100 * found['test']:.2f} % after {found['epochs']} epochs, trained in {found['training_s']:.1f} s "
        f"({found['command_s']:.0f} s for the whole command); {when}."
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("gpu-report"))
    parser.add_argument("--dataset")
    parser.add_argument("--network")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(PARTS)}")
    network = given.network or ("lenet5" if given.small else "resnet18")
    dataset = given.dataset or ("digits" if given.small else "cifar10")
    where = (network, "--dataset", dataset, "--device", given.device)
    runs = ("--runs", os.fspath(given.out / "runs"))
    given.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, dict] = {}
    for part in (part for part in PARTS if part in parts):
        if part == "bench":
            report[part] = speed(run("bench", *where, *(SMALL_BENCH if given.small else BENCH).split()))
        else:
            words = (ACCURACY if part == "accuracy" else SPEEDRUN).split() + (SMALL_RUN.split() if given.small else [])
            report[part] = training(run("train", *where, *runs, *words))
        (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (given.out / "report.md").write_text(as_markdown(report), encoding="utf-8")
    print(as_markdown(report), end="")


if __name__ == "__main__":
    main()

"""Trains good and bad runs and counts what the sentences on their curves say: false alarms, and faults that are found.

    python scripts/check_reading.py FOLDER [--good 200] [--bad 100] [--shard 0/1] [--report]

A good run is a default recipe on the bundled digits, with small networks and nano variants and another seed each; it
counts where the test accuracy is 95 % or more. A bad run has one fault, which is made on purpose: validation labels
swapped, classes 19 to 1, softmax before the loss, a rate a hundred times too high, a rate that is never lowered (high, but
not so high that nothing is learned: that is another fault), validation images prepared otherwise. It counts where the fault
did harm (FAULTS says how that is seen, without looking at the reading). The run that is read is the run directory, as
`runs show` reads it.

FOLDER gets the runs, the images, and results.jsonl with a line for each run. What is there is not trained again, so the
script may be ended at any time; several shards may work on one folder. `--report` prints the counts alone. The images of
uneven classes are those of MNIST; without them (CNN_EXPLORER_DATA) these runs are left out, and said to be.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from cnn_explorer.trainer.analysis.curve_findings import diagnose_curve
from cnn_explorer.trainer.analysis.curve_summary import read_curve_summary
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.data import datasets
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.planning import output_check, planner
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.trainer.runs.tail import newest_metrics
from PIL import Image

GOOD_NETWORKS = (
    *("lenet5", "lenet5_paper", "cnn_lstm_patches", "lenet5", "nin_nano", "lenet5_paper", "lenet5", "vit_nano"),
    *("lenet5", "batchnorm_convnet", "lenet5_paper", "cnn_lstm_patches", "lenet5", "densenet_nano", "vgg_nano"),
)
GOOD = 0.95
NO_ALARM = {"Nothing unusual", "Still improving", "Noisy validation", "Validation is ahead", "Too little to tell"}
PAIRS = ((4, 9), (3, 5), (7, 9), (3, 8), (2, 7), (1, 7))

CODE = """
from torch import nn


def guarded(num_classes, in_channels, image_size):
    side = (image_size - 4) // 4
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
        nn.Linear(8 * side**2, 32), nn.ReLU(), nn.Linear(32, num_classes), nn.Softmax(1),
    )
"""
NOTE = """+++
title = "Softmax before the loss"
year = 2026
input = [1, 28, 28]
classes = 10

[variants.guarded]
+++
It returns probabilities.
"""


@dataclass(frozen=True)
class Job:
    """One run: what is trained with what, the fault in it ("" for none), and the number by which it is known."""

    fault: str
    number: int
    network: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.fault or 'good'}-{self.number}"


@dataclass(frozen=True)
class Fault:
    """How a fault is made (options of a run by its number), when it did harm, and the rules that name it."""

    options: Callable[[Path, int], dict[str, Any]]
    harmed: Callable[[dict[str, Any]], bool]
    rules: frozenset[str]
    networks: tuple[str, ...] = ("lenet5", "lenet5_paper", "cnn_lstm_patches")


def main() -> int:
    arguments = _arguments()
    folder: Path = arguments.folder.absolute()
    _configure(folder)
    if not arguments.report:
        torch.set_num_threads(1)
        shard, shards = map(int, arguments.shard.split("/"))
        for job in jobs(folder, arguments.good, arguments.bad)[shard::shards]:
            if job.name not in results(folder):
                _note(folder, job, train(job, folder))
    report(folder)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--good", type=int, default=200, metavar="N")
    parser.add_argument("--bad", type=int, default=100, metavar="N")
    parser.add_argument("--shard", default="0/1", metavar="I/N", help="every Nth run, from the Ith on")
    parser.add_argument("--report", action="store_true", help="train nothing")
    return parser.parse_args()


def _configure(folder: Path) -> None:
    """Make the program write into ``folder`` alone, and let it train a network that returns probabilities."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "guarded.md").write_text(NOTE, encoding="utf-8")
    (models / "guarded.py").write_text(CODE, encoding="utf-8")
    for name in ("runs", "cache", "state", "models"):
        os.environ[f"CNN_EXPLORER_{name.upper()}"] = str(folder / name)
    os.environ["CNN_EXPLORER_CONFIG"] = str(folder / "config.toml")
    # The planner refuses such a network, which is why the sentence is needed only for those that it cannot see through.
    output_check.check = lambda *parts: None


def jobs(folder: Path, good: int, bad: int) -> list[Job]:
    """Return all runs, bad ones among good ones, so that a part of them is a fair part."""
    well = [Job("", number, GOOD_NETWORKS[number % len(GOOD_NETWORKS)], {"seed": number}) for number in range(good)]
    ill = []
    for number in range(bad):
        name = list(FAULTS)[number % len(FAULTS)]
        fault, turn = FAULTS[name], number // len(FAULTS)
        ill.append(Job(name, turn, fault.networks[turn % len(fault.networks)], {"seed": turn}))
    mixed: list[tuple[float, Job]] = [((place + 0.5) / max(1, good), job) for place, job in enumerate(well)]
    mixed += [((place + 0.5) / max(1, bad), job) for place, job in enumerate(ill)]
    return [job for _, job in sorted(mixed, key=lambda pair: pair[0])]


def train(job: Job, folder: Path) -> dict[str, Any] | None:
    """Train one run and return what became of it; None where its images are not there."""
    begun = time.monotonic()
    options = {"dataset": "digits", "device": "cpu", "threads": 1, "calibrate": False} | job.options
    if job.fault:
        try:
            options |= FAULTS[job.fault].options(folder, job.number)
        except FileNotFoundError:
            return None
    request = TrainRequest.of(job.network, **options)
    config = planner.plan(request, lambda line: None).config
    path, lock = planner.create(config, folder / "runs", request.to_argv())
    execute_run(path, lock, log=lambda line: None)
    run = read_run(path)
    if run.state == "stopped":  # by a signal; the next call trains it anew
        raise SystemExit(130)
    findings = diagnose_curve(read_curve_summary(run))
    newest = newest_metrics(path)
    return {
        "fault": job.fault,
        "network": job.network,
        "run": path.name,
        "state": run.state,
        "test": run.test_accuracy,
        "best": run.best_accuracy,
        "validation": newest.validation.get("accuracy"),
        "per_class": newest.test.get("per_class"),
        "rules": [finding.rule for finding in findings],
        "texts": [finding.text for finding in findings],
        "seconds": round(time.monotonic() - begun, 1),
    }


def _note(folder: Path, job: Job, found: dict[str, Any] | None) -> None:
    line = {"name": job.name, **(found or {"fault": job.fault, "skipped": "its images are not there"})}
    with open(folder / "results.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(f"{job.name:<28} {line.get('network', ''):<18} test {line.get('test')}  {line.get('rules')}", flush=True)


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is known of the runs that were trained, by name; a line that was cut off is left out."""
    try:
        text = (folder / "results.jsonl").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        found[values["name"]] = values
    return found


def report(folder: Path) -> None:
    """Read all runs once more, by the rules as they are now, and print the counts."""
    rows = [row for row in results(folder).values() if "skipped" not in row]
    for row in rows:
        if (folder / "runs" / row["run"]).is_dir():
            found = diagnose_curve(read_curve_summary(read_run(folder / "runs" / row["run"])))
            row |= {"rules": [finding.rule for finding in found], "texts": [finding.text for finding in found]}
    good = [row for row in rows if not row["fault"]]
    counted = [row for row in good if (row["test"] or 0.0) >= GOOD]
    alarms = [row for row in counted if set(row["rules"]) - NO_ALARM]
    print(
        f"good: {len(good)} runs, {len(counted)} with a test accuracy of {GOOD:.0%} or more; false alarms: {len(alarms)}"
    )
    _report(alarms)
    right = harmed = 0
    for name, fault in FAULTS.items():
        of = [row for row in rows if row["fault"] == name]
        bad = [row for row in of if fault.harmed(row)]
        missed = [row for row in bad if not set(row["rules"]) & fault.rules]
        right, harmed = right + len(bad) - len(missed), harmed + len(bad)
        print(f"{name}: {len(of)} runs, {len(bad)} harmed, {len(bad) - len(missed)} get the right sentence")
        _report(missed)
    print(f"bad: {harmed} harmed, {right} with the right sentence" + (f", {right / harmed:.1%}" if harmed else ""))
    said = collections.Counter(rule for row in counted for rule in row["rules"])
    print("said of good runs: " + ", ".join(f"{rule} {count}" for rule, count in said.most_common()))


def _report(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        print(f"    {row['network']} {row['run']}: {' / '.join(row['texts'])}")


# The faults


def _digits() -> Iterator[tuple[str, int, int, torch.Tensor]]:
    """Yield the bundled digits: split, number within it, class, image (28, 28)."""
    found = datasets.load("digits", Path(), Path(os.environ["CNN_EXPLORER_CACHE"]), seed=0, log=lambda line: None)
    for split in ("train", "validation", "test"):
        samples = getattr(found, split)
        images = samples.batch(torch.arange(len(samples)))
        for number, (image, label) in enumerate(zip(images, samples.labels.tolist(), strict=True)):
            yield split, number, label, image[0]


def _written(folder: Path, images: Callable[[], Iterator[tuple[str, int, str, torch.Tensor]]]) -> str:
    """Write images as PNG into ``folder``, once, and return the name of the data set."""
    whole = folder / "is_whole"
    if not whole.exists():
        for split, number, label, image in images():
            place = folder / {"validation": "val"}.get(split, split) / label
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.to(torch.uint8).numpy()).save(place / f"{number}.png")
        whole.touch()
    return f"folder:{folder}"


USUAL = {"epochs": 30, "batch_size": 32, "lr": 0.02, "augment": ["translate"], "image_size": 28}
"""The recipe of the digits, for such images in folders, at the rate of folders."""


def _swapped(folder: Path, number: int) -> dict[str, Any]:
    """Swap the two classes of a pair in the validation split, or shift the names of all ten."""
    pair = PAIRS[number % len(PAIRS)]
    all_ten = number % 3 == 2

    def images() -> Iterator[tuple[str, int, str, torch.Tensor]]:
        for split, place, label, image in _digits():
            if all_ten or label in pair:
                other = (label + 1) % 10 if all_ten else sum(pair) - label
                yield split, place, str(other if split == "validation" else label), image

    name = "ten" if all_ten else "".join(map(str, pair))
    return USUAL | {"dataset": _written(folder / "images" / f"swapped-{name}", images)}


PREPARED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sixteenth": lambda image: image // 16,
    "inverted": lambda image: 255 - image,
    "turned": lambda image: image.rot90(1, (0, 1)),
    "byte": lambda image: image // 255,
    "shifted": lambda image: image // 4 + 190,
}


def _prepared(folder: Path, number: int) -> dict[str, Any]:
    """Change how the images of the validation split are made."""
    name = list(PREPARED)[number % len(PREPARED)]

    def images() -> Iterator[tuple[str, int, str, torch.Tensor]]:
        for split, place, label, image in _digits():
            yield split, place, str(label), PREPARED[name](image) if split == "validation" else image

    return USUAL | {"dataset": _written(folder / "images" / f"prepared-{name}", images)}


def _uneven(folder: Path, number: int) -> dict[str, Any]:
    """Take 190 images of one class of MNIST and 10 of another, to train on and to validate; to test 200 of each."""
    from cnn_explorer import settings

    frequent, rare = PAIRS[number % len(PAIRS)]
    data = settings.data_folder()
    if not any(data.rglob("train-images*")):
        raise FileNotFoundError(data)

    def images() -> Iterator[tuple[str, int, str, torch.Tensor]]:
        found = datasets.load("mnist", data, Path(os.environ["CNN_EXPLORER_CACHE"]), seed=0, log=lambda line: None)
        for label, count in ((frequent, 190), (rare, 10)):
            rows = (found.train.labels == label).nonzero()[:, 0][: 2 * count]
            for place, image in enumerate(found.train.batch(rows)):
                yield ("train", "validation")[place % 2], place, str(label), image[0]
            rows = (found.test.labels == label).nonzero()[:, 0][:200]
            for place, image in enumerate(found.test.batch(rows)):
                yield "test", place, str(label), image[0]

    dataset = _written(folder / "images" / f"uneven-{frequent}{rare}", images)
    return USUAL | {"dataset": dataset, "epochs": (3, 6, 12)[number % 3]}


def _low(row: dict[str, Any]) -> bool:
    return row["state"] == "diverged" or (row["test"] or 0.0) < GOOD


FAULTS = {
    "labels swapped": Fault(
        _swapped, lambda row: (row["validation"] or 0.0) <= (row["test"] or 0.0) - 0.25, frozenset({"Validation fails"})
    ),
    "19 to 1": Fault(
        _uneven,
        lambda row: min((value for value in row["per_class"] or () if value is not None), default=1.0) <= 0.5,
        frozenset({"One class"}),
    ),
    "softmax": Fault(lambda folder, number: {}, lambda row: True, frozenset({"Softmax before the loss"}), ("guarded",)),
    "rate × 100": Fault(
        lambda folder, number: {"lr": 5.0},
        _low,
        frozenset({"Diverged", "Not learning", "The loss rises", "The loss jumps", "A very high rate"}),
    ),
    "rate never lowered": Fault(
        lambda folder, number: {"schedule": "constant", "lr": (0.018, 0.012, 0.008)[number % 3]},
        _low,
        frozenset({"The rate never fell"}),
    ),
    "prepared otherwise": Fault(
        _prepared,
        lambda row: (row["validation"] or 0.0) <= (row["test"] or 0.0) - 0.25,
        frozenset({"Validation fails"}),
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())

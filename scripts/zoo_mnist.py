"""Train the smallest small-image network of each family for one epoch on 10,000 MNIST digits, and test it on the others.

usage: python scripts/zoo_mnist.py [--out FILE] [FAMILY ...]

The recipe is the family's own, cut to one epoch in batches of 64 with a fifth of it as warm-up and without augmentation;
seed 0, one core left free. Prints a Markdown row a family as it is done; a family below 50 % is marked. Rows that FILE
holds already are not made again.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import torch
from cnn_explorer import settings
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.batches.batches import evaluation_batches
from cnn_explorer.trainer.config.lr_schedule import learning_rate
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.data import datasets
from cnn_explorer.trainer.data.datasets import DataSet, LabelledImages
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.loop.session import build_session
from cnn_explorer.trainer.planning import planner

TRAINING_DIGITS = 10_000
ENOUGH = 0.5
COLUMNS = ("family", "network", "MACs", "steps", "seconds", "images/s", "test accuracy")
HEAD = f"| {' | '.join(COLUMNS)} |\n|---|---|---:|---:|---:|---:|---:|\n"


def smallest(family: registry.Family) -> registry.Variant:
    """Return the variant that costs least on small images; plain twins only where there is nothing else."""
    candidates = [variant for variant in family.variants if "plain" not in variant.tags] or list(family.variants)
    return min(candidates, key=lambda variant: variant.counts("small").macs)


def digits() -> DataSet:
    """Return MNIST with the first 10,000 training digits as the training split."""
    data = datasets.load("mnist", settings.data_folder(), settings.cache_folder(), validation=0)
    train = LabelledImages(data.train.source[:TRAINING_DIGITS], data.train.labels[:TRAINING_DIGITS])
    return dataclasses.replace(data, train=train)


def train_one_epoch(name: str, data: DataSet) -> tuple[int, float, float]:
    """Train one epoch; return steps, seconds of training, test accuracy."""
    short = {"epochs": 1, "batch_size": 64, "warmup": 0.2, "augment": (), "ema": 0.0}
    config = planner.plan(TrainRequest.of(name, dataset="mnist", device="cpu", **short), log=lambda line: None).config
    session = build_session(config, data, torch.device("cpu"))
    per_epoch = session.batches.steps_per_epoch
    epoch = session.batches.epoch(0)
    session.network.train()
    begun = time.perf_counter()
    for step in range(per_epoch):
        session.updater(*session.batches.batch(epoch, step), learning_rate(session.recipe, step, per_epoch))
    seconds = time.perf_counter() - begun
    evaluated = evaluate(session.network, evaluation_batches(data.test, session.input_transform), 10, session.precision)
    return per_epoch, seconds, evaluated.accuracy


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    hardware.use_threads(hardware.choose_threads(None, alone=False))
    done = given.out.read_text(encoding="utf-8") if given.out and given.out.exists() else ""
    data, below = digits(), []
    emit(given.out, HEAD if not done else "")
    for family in registry.families():
        if (given.families and family.name not in given.families) or f"| {family.name} |" in done:
            continue
        variant = smallest(family)
        steps, seconds, accuracy = train_one_epoch(variant.name, data)
        below += [family.name] if accuracy < ENOUGH else []
        mark = "" if accuracy >= ENOUGH else " (below 50 %)"
        macs = f"{variant.counts('small').macs / 1e6:.1f} M"
        speed, result = f"{64 * steps / seconds:.0f}", f"{100 * accuracy:.1f} %{mark}"
        cells = (family.name, variant.name, macs, str(steps), f"{seconds:.0f}", speed, result)
        emit(given.out, f"| {' | '.join(cells)} |\n")
    sys.exit(bool(below))


def emit(path: Path | None, text: str) -> None:
    print(text, end="", flush=True)
    if path is not None and text:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()

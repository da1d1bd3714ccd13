"""The configurations whose trainings are killed: small and real, on the bundled digits or on a folder of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kill_commands import Calibration, Export
from kill_work import DecodedTrainings, KillableWork, Ranks, Trainings

NOTE = """+++
title = "Killed"
year = 2026
input = [1, 28, 28]
classes = 10

[variants.killed]
+++
Trained in order to be killed.
"""

CODE = """
from torch import nn


def killed(num_classes, in_channels, image_size):
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

SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 64, "lr": 0.01}
CHECKPOINTS: dict[str, Any] = {"minutes": 0.0005, "keep": 2}
FULL: dict[str, Any] = SHORT | {
    "optimizer": "adamw",
    "epochs": 3,
    "ema": 0.9,
    "sam": "sam",
    "clip_norm": 1.0,
    "label_smoothing": 0.1,
    "augment": ["translate", "cutout", "mixup"],
}
IMAGES_OF_A_CLASS = 80
"""Images of each class in the folder, of which a fifth are for the test."""


@dataclass(frozen=True)
class Case:
    """A configuration: what it is in words, how many trials of fifty it gets, and what makes it."""

    words: str
    share: int
    make: Callable[[Path], KillableWork]


def configure(folder: Path) -> None:
    """Set the program up to write into ``folder``, and torch to use one thread, so that processes can be forked."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    (models / "killed.md").write_text(NOTE)
    (models / "killed.py").write_text(CODE)
    for name in ("runs", "cache", "state", "models"):
        os.environ[f"CNN_EXPLORER_{name.upper()}"] = str(folder / name)
    os.environ["CNN_EXPLORER_CONFIG"] = str(folder / "config.toml")
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from cnn_explorer.trainer.loop import metrics_window

    metrics_window.MetricsWindow.due = lambda self: True


def asked(network: str = "killed", **values: Any) -> Any:
    """Return the request for a run with these settings."""
    from cnn_explorer.trainer.config.request import TrainRequest

    given: dict[str, Any] = {"dataset": "digits", "device": "cpu", "threads": 1} | CHECKPOINTS | values
    return TrainRequest.of(network, **given)


def planned(network: str = "killed", devices: Sequence[str] = (), **values: Any) -> Any:
    """Return the configuration of such a run."""
    from cnn_explorer.trainer.config.machine_share import MachineShare
    from cnn_explorer.trainer.planning import planner

    share = MachineShare(devices=tuple(devices), ranks=max(1, len(devices)))
    return planner.plan(asked(network, **values), lambda line: None, share).config


def _trained(**values: Any) -> Callable[[Path], KillableWork]:
    return lambda folder: Trainings(folder, [planned(**values)])


def _queue(folder: Path) -> KillableWork:
    return Trainings(folder, [planned(**SHORT, seed=seed) for seed in range(3)])


def _ended_early(folder: Path) -> KillableWork:
    """Ask each process to end the training after step 17, as `runs finish` does."""
    from cnn_explorer.trainer.loop.trainer import Trainer
    from cnn_explorer.trainer.runs import requests

    def watch(paths: Sequence[Path]) -> None:
        update = Trainer._update

        def asking(trainer: Trainer, images: Any, targets: Any) -> None:
            if trainer.step + 1 == 17:
                requests._leave(paths[0], requests.FINISH)
            update(trainer, images, targets)

        Trainer._update = asking  # pyright: ignore[reportAttributeAccessIssue]

    return Trainings(folder, [planned(**SHORT)], watch)


def _frozen(folder: Path) -> KillableWork:
    """Train the last layer alone, on weights that another run has exported."""
    from cnn_explorer.trainer.weights.weight_files import export_weights

    weights = folder / "weights.safetensors"
    first = Trainings(folder / "first", [planned(**SHORT, seed=7)])
    weights.write_bytes(export_weights(first.paths[0], "best"))
    return Trainings(folder, [planned(**SHORT, init_from=str(weights), keep_head=False, freeze="backbone")])


def _own(folder: Path) -> KillableWork:
    code = folder / "mine.py"
    folder.mkdir(parents=True, exist_ok=True)
    code.write_text(CODE)
    return Trainings(folder, [planned(f"{code}:killed", **SHORT)])


def _image_folder(folder: Path) -> KillableWork:
    """Write digits as a folder of PNG files, and train on that."""
    from cnn_explorer.trainer.data import digits
    from PIL import Image

    small, labels = digits.read()
    images = digits.enlarge(small)
    for label in range(10):
        for number, image in enumerate(images[labels == label][:IMAGES_OF_A_CLASS]):
            part = folder / "images" / ("test" if number % 5 == 0 else "train") / str(label)
            part.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((96, 96)).save(part / f"{number}.png")
    augmented = SHORT | {"augment": ["crop", "flip", "randaugment"], "tta": "flip"}
    return DecodedTrainings(folder, [planned(dataset=f"folder:{folder / 'images'}", **augmented)])


def _ranks(folder: Path) -> KillableWork:
    return Ranks(folder, [planned(devices=("cpu", "cpu"), **dict(SHORT, epochs=20))])


def _calibration(folder: Path) -> KillableWork:
    first = Trainings(folder / "first", [planned(**SHORT)])
    return Calibration(folder, asked(**SHORT).to_argv(), first.paths[0])


def _export(folder: Path) -> KillableWork:
    return Export(folder, Trainings(folder, [planned(**SHORT)]).paths[0])


CASES = {
    "plain": Case("SGD with momentum", 4, _trained(**SHORT)),
    "full": Case("AdamW inside SAM, EMA, mixup, cutout, clipping", 5, _trained(**FULL)),
    "bf16": Case("bf16, channels-last", 4, _trained(**SHORT, precision="bf16", channels_last=True)),
    "parts": Case(
        "batches in two parts, cutmix, balanced sampling",
        4,
        _trained(**SHORT, accumulate=2, augment=["cutmix", "flip"], sampling="balanced"),
    ),
    "muon": Case("Muon, cosine with warm-up", 4, _trained(**SHORT, optimizer="muon", schedule="cosine", warmup=0.5)),
    "lamb": Case("LAMB, five checkpoints kept", 4, _trained(**SHORT | {"epochs": 5}, optimizer="lamb", keep=5)),
    "frozen": Case("loaded weights, frozen backbone", 4, _frozen),
    "own": Case("a network of a person's own", 3, _own),
    "early": Case("ended early, as `runs finish` does", 3, _ended_early),
    "folder": Case("a folder of images, which is decoded first", 5, _image_folder),
    "queue": Case("three runs in one queue", 4, _queue),
    "calibration": Case("`train --calibrate`", 3, _calibration),
    "export": Case("`runs export`, CSV and safetensors", 3, _export),
    "compiled": Case("compiled", 1, _trained(**SHORT, compile=True)),
    "ranks": Case("two ranks over gloo", 2, _ranks),
}

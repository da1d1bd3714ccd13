"""The curves of a run as event files of TensorBoard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common.files import remove_abandoned
from ..runs.reader import read_run
from .records import records

EVENTS = "events.out.tfevents."
_TRAIN = {"loss": "loss/train", "accuracy": "accuracy/train"}
_ALONE = ("lr", "grad_norm", "images_per_s")


def write_events(path: Path, folder: Path) -> int:
    """Write the records of the run ``path`` into ``folder``; returns the number of figures.

    Event files that are there already are replaced. Steps are those of the run, the time is when a figure was measured.
    Losses and accuracies of the parts stand side by side, and so do the accuracies of the classes. Raises UsageError where
    TensorBoard is not installed, WorkError where the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        hint = "needs the package tensorboard, which is not installed: pip install 'cnn-explorer[tensorboard]'"
        raise UsageError("--format", "tensorboard", hint) from None
    run = read_run(path)
    begun = run.created.timestamp() if run.created else 0.0
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        with SummaryWriter(str(beside)) as writer:
            writer.add_text("run.json", "\n".join(f"    {line}" for line in _words(run.config)), 0, begun)
            for record in records(path):
                for name, value in _scalars(record, run.classes):
                    step, time = int(record.get("step") or 0), float(record.get("time") or 0.0)
                    writer.add_scalar(name, value, step, begun + time)
                    count += 1
        before = {old.name for old in folder.glob(EVENTS + "*")}
        written = os.listdir(beside)
        for name in written:
            os.replace(beside / name, folder / name)
        for name in before.difference(written):  # last: whoever is killed here has both, not neither
            (folder / name).unlink()
    except OSError as error:
        raise WorkError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return count


def _words(config: dict) -> Iterator[str]:
    for part, values in config.items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            yield f"{part}{'.' if key else ''}{key} = {value}"


def _scalars(record: dict, classes: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of the charts that a record has a point of."""
    kind, split = record.get("kind"), record.get("split")
    if kind == "train":
        names = _TRAIN | {key: key for key in _ALONE}
    elif kind == "eval" and isinstance(split, str):
        names = {key: f"{key}/{split}" for key in _TRAIN}
        each = record.get("per_class")
        if isinstance(each, list) and len(each) == len(classes):
            for name, value in zip(classes, each, strict=True):
                if isinstance(value, int | float):
                    yield f"accuracy of a class, {split}/{name}", float(value)
    else:
        return
    for key, name in names.items():
        if isinstance(value := record.get(key), int | float):
            yield name, float(value)

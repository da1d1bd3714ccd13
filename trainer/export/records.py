"""A run for other programs: its records as CSV or TensorBoard events, its weights as safetensors."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...errors import UsageError
from ...settings import typed_path
from ..common import output_file
from ..runs.reader import MetricsTail, read_run

FORMATS = ("csv", "tensorboard", "safetensors")
_FIRST = ("kind", "split", "step", "epoch", "images", "time", "loss", "accuracy", "lr", "grad_norm", "images_per_s")


def default_target(path: Path, file_format: str) -> Path | None:
    """Return where an export goes without ``--output``: None is stdout, other formats go into the working directory.

    Event files of several runs lie side by side, so that `tensorboard --logdir tensorboard` shows them all.
    """
    return {
        "csv": None,
        "tensorboard": Path("tensorboard") / path.name,
        "safetensors": Path(f"{path.name}.safetensors"),
    }[file_format]


def check_target(target: Path, run: Path, *, force: bool, folder: bool = False) -> Path:
    """Return ``target`` as an absolute path, if it may be written. UsageError where something would be lost.

    Nothing that exists is replaced without ``force``, nothing in the run directory at all; ``folder`` says what is written.
    """
    if typed_path(target, "--output").resolve().is_relative_to(run.resolve()):
        raise UsageError("--output", str(target), "lies in the run directory, which belongs to the training alone")
    return output_file.check_target(target, force=force, folder=folder)


def save_csv(path: Path, target: Path) -> int:
    """Save the records as CSV in a file, which appears as a whole; return the number of rows. WorkError on failure."""
    table = io.StringIO(newline="")
    rows = write_csv(path, table)
    output_file.save(target, table.getvalue().encode())
    return rows


def write_csv(path: Path, target: IO[str]) -> int:
    """Write every record of the run in ``path`` as a row of CSV; returns the number of rows.

    The usual columns come first, then the others in order of their first appearance. A list gives a column per item, named
    by class where it has one item per class. NaN and infinities are written as nan, inf and -inf, missing values as nothing.
    """
    classes = read_run(path).classes
    columns: dict[str, None] = {}
    count = 0
    for record in records(path):
        columns |= dict.fromkeys(_flat(record, classes))
        count += 1
    ordered = [name for name in _FIRST if name in columns] + [name for name in columns if name not in _FIRST]
    writer = csv.DictWriter(target, ordered, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    # The run may go on while we write: what came after the columns were counted is left for the next export.
    for _, record in zip(range(count), records(path), strict=False):
        writer.writerow(_flat(record, classes))
    return count


def records(path: Path) -> Iterator[dict]:
    """Yield every record of a run, in order; damaged lines are left out."""
    tail = MetricsTail(path)
    while True:
        new = tail.read(budget_s=math.inf)
        yield from new.records
        if not new.more:
            return


def _flat(record: dict, classes: tuple[str, ...]) -> dict[str, object]:
    row: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, list):
            names = classes if len(classes) == len(value) else tuple(map(str, range(len(value))))
            row |= {f"{key}[{name}]": item for name, item in zip(names, value, strict=True)}
        elif isinstance(value, dict):
            row |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            row[key] = value
    return row

"""The records of a run as a table for other programs."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .reader import MetricsTail, read_run

FORMATS = ("csv",)
_FIRST = ("kind", "split", "step", "epoch", "images", "time", "loss", "accuracy", "lr", "grad_norm", "images_per_s")


def write_csv(path: Path, target: IO[str]) -> int:
    """Write every record of the run in ``path`` as a row of CSV; returns the number of rows.

    The usual columns come first, then the others in order of their first appearance. A list gives a column per item, named
    by class where it has one item per class. NaN and infinities are written as nan, inf and -inf, missing values as nothing.
    """
    classes = read_run(path).classes
    columns: dict[str, None] = {}
    count = 0
    for record in _records(path):
        columns |= dict.fromkeys(_flat(record, classes))
        count += 1
    ordered = [name for name in _FIRST if name in columns] + [name for name in columns if name not in _FIRST]
    writer = csv.DictWriter(target, ordered, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    # The run may go on while we write: what came after the columns were counted is left for the next export.
    for _, record in zip(range(count), _records(path), strict=False):
        writer.writerow(_flat(record, classes))
    return count


def _records(path: Path) -> Iterator[dict]:
    tail = MetricsTail(path)
    while True:
        batch = tail.read(budget_s=math.inf)
        yield from batch.records
        if not batch.more:
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

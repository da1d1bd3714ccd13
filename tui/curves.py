"""From the records of a run to curves that can be drawn: a history that grows, and a thread that keeps it up to date.

No Textual here; the thread tells its owner through a callback.
"""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..trainer.tail import MetricsTail
from . import charts
from .charts import ChartData, Line

AXES = ("epoch", "step", "time", "images")
AXIS_LABELS = {"epoch": "epochs", "step": "steps", "time": "seconds", "images": "pictures seen"}
METRICS = ("loss", "accuracy", "lr", "grad_norm", "images_per_s")
SPLITS = ("validation", "test")
AT_MOST_EVERY_S = 0.5
READ_S = 0.25
"""How long one read may take before the first part of a long history is shown."""


@dataclass(frozen=True)
class View:
    """How curves are wanted: ``columns`` cells wide, over which axis, how smooth, the loss on a log axis or not."""

    columns: int = 80
    axis: str = "epoch"
    smoothing: float = 0.0
    log: bool = False


@dataclass(frozen=True)
class Curves:
    """The curves of a run as far as they are read. ``more``: the file goes on, and another one follows at once."""

    path: Path
    charts: tuple[ChartData, ...] = ()
    records: int = 0
    last: dict[str, float] = field(default_factory=dict)
    diverged_step: int | None = None
    best: tuple[float, float] | None = None
    more: bool = False


class Track:
    """The columns of one kind of record. A value that is missing or no number is a gap."""

    def __init__(self) -> None:
        self.columns = {name: array("d") for name in AXES + METRICS}

    def add(self, record: dict) -> None:
        for name, column in self.columns.items():
            column.append(_number(record.get(name)))

    def __len__(self) -> int:
        return len(self.columns["step"])

    def __getitem__(self, name: str) -> array:
        return self.columns[name]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return charts.GAP
    return float(value)


class History:
    """All records of a run so far."""

    def __init__(self) -> None:
        self.train = Track()
        self.evals = {split: Track() for split in SPLITS}
        self.records = 0
        self.diverged_step: int | None = None

    def add(self, records: Iterable[dict]) -> None:
        """Take in new records; unknown kinds are counted and otherwise ignored."""
        for record in records:
            self.records += 1
            kind, split = record.get("kind"), record.get("split")
            if kind == "train":
                self.train.add(record)
                self._watch_for_divergence(record)
            elif kind == "eval" and isinstance(split, str) and split in self.evals:
                self.evals[split].add(record)

    def _watch_for_divergence(self, record: dict) -> None:
        loss = record.get("loss")
        if self.diverged_step is None and isinstance(loss, float) and not math.isfinite(loss):
            step = _number(record.get("step"))
            self.diverged_step = int(step) if math.isfinite(step) else 0

    def best(self, axis: str) -> tuple[float, float] | None:
        """Place and value of the best validation accuracy, the first of equals."""
        track = self.evals["validation"]
        points = [(x, y) for x, y in zip(track[axis], track["accuracy"], strict=True) if math.isfinite(y)]
        return max(points, key=lambda point: point[1]) if points else None

    def last(self) -> dict[str, float]:
        """The newest value of every column of the training records that has one."""
        if not len(self.train):
            return {}
        newest = {name: column[-1] for name, column in self.train.columns.items()}
        return {name: value for name, value in newest.items() if math.isfinite(value)}

    def lines(self, metric: str, view: View) -> tuple[Line, ...]:
        """The curves of one metric, thinned to the columns of the view; the raw one comes behind a smoothed one."""
        xs, ys = self.train[view.axis], charts.sanitise(self.train[metric])
        found = []
        if 0 < view.smoothing < 1:
            found.append(Line("", *charts.bucket(xs, ys, view.columns), role="raw"))
            ys = charts.ema(ys, view.smoothing)
        found.append(Line("train", *charts.bucket(xs, ys, view.columns), role="train"))
        for split, track in self.evals.items():
            values = charts.sanitise(track[metric])
            found.append(Line(split, *charts.bucket(track[view.axis], values, view.columns), role=split))
        return tuple(line for line in found if not line.empty)

    def curves(self, path: Path, view: View, more: bool = False) -> Curves:
        """Everything a screen draws of this run."""
        label, best = AXIS_LABELS[view.axis], self.best(view.axis)
        note = "" if self.diverged_step is None else f"diverged at step {self.diverged_step}"
        loss = ChartData("loss", label, self.lines("loss", view), log=view.log, note=note)
        accuracy = self.lines("accuracy", view)
        if best is not None:
            accuracy += (Line(f"best {best[1]:.1%}", [best[0]], [best[1]], role="best"),)
        shown = (loss, ChartData("accuracy", label, accuracy, y_range=(0.0, 1.0)))
        return Curves(path, shown, self.records, self.last(), self.diverged_step, best, more)


class CurveTail:
    """Follows the records of one run at a time and tells ``on_curves`` when there is something new to draw."""

    def __init__(self, on_curves: Callable[[Curves], None], every_s: float = AT_MOST_EVERY_S) -> None:
        self._on_curves = on_curves
        self._every_s = every_s
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._path: Path | None = None
        self._view = View()
        self._stopped = False

    def follow(self, path: Path | None, view: View) -> None:
        """From now on the run at ``path`` (None: nothing) in this view; answered at once."""
        with self._guard:
            self._path, self._view = path, view
        self._wake.set()

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """The loop; returns after :meth:`stop`. Runs in a thread of its own."""
        path: Path | None = None
        view = View()
        tail, history = MetricsTail(Path()), History()
        while not self._stopped:
            wanted = self._wake.is_set()
            self._wake.clear()
            with self._guard:
                new_path, new_view = self._path, self._view
            if new_path != path and new_path is not None:
                tail, history = MetricsTail(new_path), History()
            changed = new_path != path or new_view != view
            path, view = new_path, new_view
            more = False
            if path is not None:
                batch = tail.read(budget_s=READ_S)
                if batch.reset:
                    history = History()
                history.add(batch.records)
                more = batch.more
                if changed or wanted or batch.records or batch.reset:
                    self._on_curves(history.curves(path, view, more))
            self._wait(0.0 if more else self._every_s)

    def _wait(self, seconds: float) -> None:
        """Until the next look, or until somebody wants something else."""
        if seconds > 0:
            self._wake.wait(seconds)
        else:
            time.sleep(0)  # let the screen's thread have the interpreter

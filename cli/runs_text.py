"""Runs as plain text: the table of `runs` and the page of `runs show`.

The table is laid out here, because a thousand rows must appear at once, and because an id is never cut: what is left would
no longer name its run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..models.catalogue.share_text import share_text
from ..trainer.analysis.curve_findings import Finding
from ..trainer.common.ascii_locale import asks_for_ascii
from ..trainer.common.number_text import NONE, percent, rough_duration
from ..trainer.common.text_safe import clean, pad, width
from ..trainer.config.recipe import renamed
from ..trainer.runs.ids import short_names
from ..trainer.runs.reader import NewestMetrics, RunSnapshot, number
from ..trainer.runs.run_writer import checkpoint_paths
from ..trainer.runs.states import STATES

GAP = "  "
NARROWEST = 8
_COLOURS = {"starting": 36, "training": 32, "testing": 32, "stopped": 33, "failed": 31, "diverged": 31, "crashed": 31}


@dataclass(frozen=True)
class Screen:
    """Where text goes: ``width`` in cells (None: a pipe, nothing is cut), whether it takes colour and more than ASCII."""

    width: int | None
    colour: bool = False
    signs: bool = True

    @classmethod
    def of(cls, stream: TextIO) -> Screen:
        try:
            "►✓…–─█".encode(stream.encoding or "utf-8")
            signs = not asks_for_ascii(os.environ)
        except (UnicodeEncodeError, LookupError):
            signs = False
        if not stream.isatty():
            return cls(None, signs=signs)
        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(shutil.get_terminal_size().columns, colour, signs)


@dataclass
class _Column:
    title: str
    cells: list[str]
    right: bool = False
    shrinks: bool = False
    width: int = 0

    def __post_init__(self) -> None:
        self.width = max(map(width, [self.title, *self.cells]))


def table(runs: Sequence[RunSnapshot], screen: Screen) -> str:
    """Return the runs as a table that fits ``screen``; on a wide one, and in a pipe, with whole ids and more columns."""
    now = datetime.now(UTC)
    names = {run.id: run.id for run in runs}
    short = short_names(names)
    columns = [
        _Column("id", [short[run.id] for run in runs]),
        _Column("state", [state_words(run, screen) for run in runs]),
        _Column("network", [run.network or NONE for run in runs], shrinks=True),
        _Column("dataset", [run.dataset or NONE for run in runs], shrinks=True),
        _Column("epoch", [epochs(run) for run in runs], right=True),
        _Column("best", [percent(run.best_accuracy) for run in runs], right=True),
        _Column("test", [percent(run.test_accuracy) for run in runs], right=True),
        _Column("age", [rough_duration(age(run, now)) for run in runs], right=True),
    ]
    left = _Column("left", [_left(run) for run in runs], right=True)
    tags = _Column("tags", [run.notes.tags_text for run in runs])
    for wanted in (left, tags, _Column("id", list(names))):
        _add_if_it_fits(columns, wanted, screen)
    if screen.width is not None:
        _shrink(columns, screen.width)
    return "\n".join(_lines(columns, [run.state for run in runs], screen))


def _total(columns: Iterable[_Column]) -> int:
    return sum(column.width + len(GAP) for column in columns) - len(GAP)


def _add_if_it_fits(columns: list[_Column], extra: _Column, screen: Screen) -> None:
    """Put ``extra`` in the place of the column of that name, or behind the others, if there is room and something in it."""
    if not any(extra.cells):
        return
    wider = [extra if column.title == extra.title else column for column in columns]
    wider = wider if extra in wider else [*columns, extra]
    if screen.width is None or _total(wider) <= screen.width:
        columns[:] = wider


def _shrink(columns: list[_Column], room: int) -> None:
    """Take cells from the widest of the columns that may shrink until the table fits or all are at their narrowest."""
    giving = [column for column in columns if column.shrinks]
    while _total(columns) > room:
        widest = max(giving, key=lambda column: column.width)
        if widest.width <= NARROWEST:
            return
        widest.width -= 1


def _lines(columns: list[_Column], states: list[str], screen: Screen) -> Iterable[str]:
    yield GAP.join(pad(column.title, column.width, right=column.right) for column in columns).rstrip()
    yield ("─" if screen.signs else "-") * _total(columns)
    for index, state in enumerate(states):
        cells = [pad(column.cells[index], column.width, right=column.right) for column in columns]
        if screen.colour and state in _COLOURS:
            cells[1] = f"\x1b[{_COLOURS[state]}m{cells[1]}\x1b[0m"
        line = GAP.join(cells).rstrip()
        yield line if screen.signs else line.replace("…", "~").replace(NONE, "-")


def state_words(run: RunSnapshot, screen: Screen) -> str:
    """Return the symbol and word: ``► training``."""
    state = STATES[run.state]
    return f"{state.symbol if screen.signs else state.plain} {state.name}"


def epochs(run: RunSnapshot) -> str:
    """Return the epochs as text: ``14/30``"""
    if run.epochs is None:
        return NONE if run.epoch_reached is None else str(run.epoch_reached)
    return f"{run.epoch_reached if run.epoch_reached is not None else 0}/{run.epochs}"


def age(run: RunSnapshot, now: datetime) -> float | None:
    """Return the seconds since the run was created."""
    return (now - run.created).total_seconds() if run.created else None


def short_result(run: RunSnapshot) -> str:
    """Return a short result: ``resnet18 on cifar10, finished``"""
    return f"{run.network or 'unknown network'} on {run.dataset or 'unknown data'}, {run.state}"


def result(run: RunSnapshot) -> str:
    """Return the result: ``20261120-…-7f3a  finished: test accuracy 82.0 %, validation 83.0 % (epoch 14)``"""
    metrics = [] if run.test_accuracy is None else [f"test accuracy {percent(run.test_accuracy)}"]
    if run.best_accuracy is not None:
        metrics.append(f"validation {percent(run.best_accuracy)} (epoch {run.best_epoch})")
    state = "ended early" if run.ended_early else run.state
    return f"{run.id}  {state}" + (f": {', '.join(metrics)}" if metrics else "")


def size_on_disk(path: Path) -> str:
    """Return the size of everything in a run directory, ``45 MB``."""
    return size_in_words(sum(_size(Path(folder) / name) for folder, _, names in os.walk(path) for name in names))


def size_in_words(size: int) -> str:
    """Return a size in words: ``45 MB``, ``180 bytes``"""
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_:
            return f"{size / bytes_:.0f} {unit}"
    return f"{size} bytes"


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _left(run: RunSnapshot) -> str:
    return rough_duration(run.eta_s) if run.live and run.eta_s is not None else ""


def details(
    run: RunSnapshot, metrics: NewestMetrics, log: Sequence[str], screen: Screen, findings: Sequence[Finding] = ()
) -> str:
    """Return the page of one run."""
    parts: list[tuple[str, list[tuple[str, str]] | list[str]]] = [
        (run.id, _head(run, screen)),
        ("configuration", _configuration(run.config)),
        ("figures", _metrics(run, metrics)),
        ("reading the curve", [("", f"{finding.text} [{finding.page}]") for finding in findings]),
        ("accuracy of each class", _classes(run, metrics, screen)),
        ("events", [_event(event) for event in metrics.events[-10:]]),
        ("log", list(log)),
    ]
    lines: list[str] = []
    for title, rows in parts:
        if rows:
            lines += ["", title] + [line for row in rows for line in _row(row, screen)]
    text = "\n".join(lines[1:])
    return text if screen.signs else text.replace(NONE, "-").replace("×", "x").replace("±", "+-")


def _row(row: tuple[str, str] | str, screen: Screen) -> list[str]:
    """Return a row ``name  value`` with a hanging indent, or a plain line."""
    if isinstance(row, str):
        return ["  " + row]
    name, value = row
    first = f"  {pad(name, 12)} " if name else "  "
    if screen.width is None:
        return [first + value]
    hang = " " * (15 if name else 4)
    wrap = textwrap.TextWrapper(max(screen.width, 40), first, hang, break_long_words=False, break_on_hyphens=False)
    return wrap.wrap(value) or [first.rstrip()]


def _head(run: RunSnapshot, screen: Screen) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    state = state_words(run, screen)
    if run.reason:
        state += f": {run.reason}"
    elif run.ended_early:
        state += f": ended early, after {run.epoch_reached or 0} of {run.epochs} epochs"
    elif run.live:
        done = share_text(run.progress) if run.progress is not None else ""
        left = f"{rough_duration(run.eta_s)} left" if run.eta_s is not None else ""
        state += ": " + ", ".join(part for part in (run.phase, done, left) if part) if run.phase or done else ""
    rows = [("state", state)]
    if run.error:
        rows.append(("error", run.error))
    if run.created:
        rows.append(("created", f"{run.created:%Y-%m-%d %H:%M:%S} UTC, {rough_duration(age(run, now))} ago"))
    if run.host:
        rows.append(("host", run.host + (f", process {run.pid}" if run.live and run.pid is not None else "")))
    rows.append(("folder", str(run.path)))
    if kept := _checkpoints(run.path):
        rows.append(("checkpoints", kept))
    if run.notes.tags:
        rows.append(("tags", run.notes.tags_text))
    if run.notes.remark:
        rows.append(("remark", run.notes.remark))
    return rows + [("problem", problem) for problem in run.problems]


def _checkpoints(path: Path) -> str:
    """Describe the checkpoints: ``last, previous, best, after epochs 12 13; 180 MB``; a file with two names counts once."""
    paths = checkpoint_paths(path)
    sizes: dict[tuple[int, int], int] = {}
    for file in (paths.last, paths.previous, paths.best, *(file for _, file in paths.kept())):
        with contextlib.suppress(OSError):
            facts = file.lstat()
            sizes[facts.st_dev, facts.st_ino] = facts.st_size
    names = [file.stem for file in (paths.last, paths.previous, paths.best) if file.exists()]
    if epochs_kept := [str(number) for number, _ in paths.kept()]:
        names.append(f"after epoch {' '.join(epochs_kept)}")
    return f"{', '.join(names)}; {size_in_words(sum(sizes.values()))}" if names else ""


def _configuration(config: dict) -> list[tuple[str, str]]:
    rows = []
    for name in ("network", "data", "recipe", "engine", "versions"):
        part = config.get(name)
        if isinstance(part, dict):
            shown = renamed(part) if name == "recipe" else part
            rows.append((name, ", ".join(f"{key} {_value(value)}" for key, value in shown.items() if key != "classes")))
    if "seed" in config:
        rows.append(("seed", clean(str(config["seed"]))))
    argv = config.get("argv")
    if isinstance(argv, list):
        rows.append(("command", "cnn-explorer " + " ".join(map(str, argv))))
    return rows


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " ".join(map(_value, value[:20])) or NONE
    if isinstance(value, dict):
        return f"({', '.join(f'{clean(str(key))} {_value(item)}' for key, item in value.items())})"
    return NONE if value is None else clean(str(value))


def _metrics(run: RunSnapshot, metrics: NewestMetrics) -> list[tuple[str, str]]:
    rows = [
        (name, measured(record))
        for name, record in (("training", metrics.train), ("validation", metrics.validation), ("test", metrics.test))
        if record
    ]
    if run.best_accuracy is not None:
        epoch = f" in epoch {run.best_epoch}" if run.best_epoch is not None else ""
        rows.append(("best", f"validation accuracy {percent(run.best_accuracy)}{epoch}"))
    if run.test_accuracy is not None and not metrics.test:
        rows.append(("test", f"accuracy {percent(run.test_accuracy)}"))
    return rows


def measured(record: dict) -> str:
    """Return the figures of a record: ``loss 0.4100, accuracy 86.0 %, epoch 13.64, step 1200``, as far as it holds them."""
    show: dict[str, Callable[[float], str]] = {
        "loss": lambda value: f"{value:.4f}" if abs(value) < 1e6 else f"{value:.3g}",
        "accuracy": percent,
        "epoch": lambda value: f"{value:.6g}",
        "step": lambda value: f"{value:.0f}" if abs(value) < 1e15 else f"{value:.3g}",
        "images_per_s": lambda value: f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}",
    }
    shown = []
    for key, text_of in show.items():
        value = record.get(key)
        finite = number(value)
        if finite is not None:
            shown.append(f"{key.replace('_per_', '/')} {text_of(finite)}")
        elif isinstance(value, float):
            shown.append(f"{key} {value}")
    return ", ".join(shown)


def _classes(run: RunSnapshot, metrics: NewestMetrics, screen: Screen) -> list[tuple[str, str]]:
    record = metrics.test or metrics.validation
    values = record.get("per_class")
    if not isinstance(values, list):
        return []
    names = run.classes if len(run.classes) == len(values) else tuple(map(str, range(len(values))))
    block = "█" if screen.signs else "#"
    rows = []
    for name, value in zip(names, values, strict=True):
        share = number(value)
        bar = block * round(20 * share) if share is not None and 0 <= share <= 1 else ""
        rows.append((name, f"{percent(share):>7} {bar}".rstrip()))
    return rows


def _event(event: dict) -> str:
    words = [_value(event[key]) for key in ("name", "detail") if event.get(key)]
    step = number(event.get("step"))
    return ": ".join(words) + (f" (step {step:.0f})" if step is not None and abs(step) < 1e15 else "")

"""What a person sees while a network is trained: a bar on a terminal, one plain line an epoch in a pipe or a log.

A terminal may vanish under a running training (a closed window, a dropped connection); narration then falls silent.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from .number_text import duration, percent, speed
from .text_safe import clean

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID
    from rich.text import Text

Log = Callable[[str], None]
Drawing = Callable[[], str]
"""Returns a chart of the training so far, in lines with ANSI colours."""
REDRAW_S = 0.2


@dataclass(frozen=True)
class StepProgress:
    """How far a training is: ``step`` steps of ``total``, with the figures of the last record."""

    step: int
    total: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    images_per_s: float
    eta_s: float


class ProgressReporter:
    """Tells through ``write`` and, where given, into the log of the run as well. No bar."""

    def __init__(self, write: Log, log_file: BinaryIO | None = None) -> None:
        self._write = write
        self._log_file = log_file

    def log(self, line: str) -> None:
        """Tell one line."""
        line = clean(line)
        with contextlib.suppress(OSError, ValueError):
            self._write(line)
        self._to_log_file(line)

    def _to_log_file(self, line: str) -> None:
        if self._log_file is not None:
            with contextlib.suppress(OSError, ValueError):
                self._log_file.write((line + "\n").encode("utf-8", "replace"))

    def progress(self, progress: StepProgress) -> None:
        """Show how far the training is."""

    def epoch(self, line: str) -> None:
        """Tell how an epoch went."""
        self.log(line)

    def end(self) -> None:
        """End the progress display: the training is over, or leaves the terminal to others."""


class Bar(ProgressReporter):
    """A progress bar at the foot of a terminal; lines scroll by above it, epochs are told in the bar alone.

    ``drawing`` is shown above the bar, and asked for anew after each epoch.
    """

    def __init__(self, stream: TextIO, log_file: BinaryIO | None = None, drawing: Drawing | None = None) -> None:
        super().__init__(self._above, log_file)
        self._drawing = drawing
        self._chart: Text | None = None
        self._stream = stream
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._drawn = 0.0

    def _above(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def progress(self, progress: StepProgress) -> None:
        if time.monotonic() - self._drawn < REDRAW_S:
            return
        self._drawn = time.monotonic()
        with contextlib.suppress(OSError, ValueError):
            if self._bar is None:
                self._begin(progress)
            assert self._bar is not None and self._task is not None
            self._bar.update(self._task, completed=progress.step, **_fields(progress))
            self._bar.refresh()

    def _begin(self, progress: StepProgress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %  loss {task.fields[loss]}  {task.fields[accuracy]}"),
            TextColumn(" {task.fields[speed]}  {task.fields[left]} left"),
        )
        # No thread that redraws: it would take time from the training; every record redraws.
        console = Console(file=self._stream)
        chart = self._chart_lines

        class BarBelowChart(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield from chart()
                yield from super().get_renderables()

        self._bar = BarBelowChart(*columns, console=console, auto_refresh=False, expand=True, transient=True)
        self._task = self._bar.add_task("", total=progress.total, completed=progress.step, **_fields(progress))
        self._bar.start()

    def _chart_lines(self) -> list[Text]:
        return [self._chart] if self._chart is not None else []

    def epoch(self, line: str) -> None:
        self._to_log_file(clean(line))
        if self._drawing is not None and self._bar is not None:
            from rich.text import Text

            with contextlib.suppress(OSError, ValueError):
                self._chart = Text.from_ansi(self._drawing(), no_wrap=True)
                self._bar.refresh()

    def end(self) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError, ValueError):
                self._bar.stop()
            self._bar = None


def progress_reporter(
    log: Log | None = None, log_file: BinaryIO | None = None, drawing: Drawing | None = None
) -> ProgressReporter:
    """Return the reporter that fits: a bar where stderr is a terminal, otherwise lines to ``log`` (default: to stderr)."""
    if sys.stderr is not None and sys.stderr.isatty():
        return Bar(sys.stderr, log_file, drawing)
    return ProgressReporter(log or _to_stderr, log_file)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _fields(progress: StepProgress) -> dict[str, Any]:  # Any: rich takes them beside arguments of other types
    return {
        "epoch": f"{progress.epoch}/{progress.epochs}",
        "loss": f"{progress.loss:.3f}",
        "accuracy": percent(progress.accuracy),
        "speed": f"{speed(progress.images_per_s)} images/s",
        "left": duration(progress.eta_s),
    }

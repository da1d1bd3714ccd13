"""What is asked of the charts, and what they tell of a run. Data only, loaded at the start: no numpy, no Textual."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .markers import Chart

AXES = ("epoch", "step", "time", "images")
AXIS_LABELS = {"epoch": "epochs", "step": "steps", "time": "training time", "images": "images seen"}
METRICS = ("loss", "accuracy", "lr", "grad_norm", "images_per_s")
TITLES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "images_per_s": "images/s",
}
SHORT = {"validation": "val."}
"""Words that are shorter where there is little room."""
SPLITS = ("validation", "test")
Limits = tuple[float, float]
SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)


@dataclass(frozen=True)
class ChartedRun:
    """A run to draw. ``slot`` decides its colour and its marker, so it should stay the same while the run is shown.

    ``pinned``: its curves are painted over those of the others.
    """

    path: Path
    label: str
    slot: int
    pinned: bool = False


@dataclass(frozen=True)
class Window:
    """The part of the x axis to show: at most one of these; none of them is everything.

    ``percent`` of the axis or ``steps`` at its end; the last ``span`` in units of the axis; or from ``low`` to ``high``,
    which stays where it is. ``frozen`` says that the person wanted it to stay.
    """

    percent: float = 0.0
    steps: int = 0
    span: float = 0.0
    low: float = 0.0
    high: float = 0.0
    frozen: bool = False

    @property
    def fixed(self) -> bool:
        """Whether it stays where it is while the run goes on."""
        return self.high > self.low

    @property
    def text(self) -> str:
        """In words; nothing for the whole axis."""
        if self.frozen:
            return "frozen"
        if self.percent:
            return f"last {self.percent:g} %"
        if self.steps:
            return f"last {self.steps:,} steps"
        return "zoomed" if self.span or self.fixed else ""


WINDOWS = (
    Window(),
    Window(percent=50),
    Window(percent=20),
    Window(percent=5),
    Window(steps=1000),
    Window(steps=100),
)


@dataclass(frozen=True)
class View:
    """How curves are wanted: over which axis, how smooth, which charts on a log axis, which part of the x axis."""

    axis: str = "epoch"
    smoothing: float = 0.0
    log: frozenset[str] = frozenset()
    window: Window = Window()
    ascii: bool = False


@dataclass(frozen=True)
class Curves:
    """What is known of a run as far as it is read: ``progress`` of 1 is all there is so far."""

    path: Path
    records: int = 0
    last: dict[str, float] = field(default_factory=dict)
    diverged_step: int | None = None
    best: tuple[float, float] | None = None
    """Epoch and value of the best validation accuracy."""
    progress: float = 1.0


@dataclass(frozen=True)
class Readout:
    """The value of a line next to a place on the x axis."""

    slot: int
    role: str
    x: float
    value: float
    weights_epoch: float | None = None
    """Of a test: the epoch of the weights that were tested."""


@dataclass(frozen=True)
class Wanted:
    """What is to be shown: runs, and the charts that are in sight with their sizes in cells."""

    runs: tuple[ChartedRun, ...] = ()
    charts: tuple[tuple[str, tuple[int, int]], ...] = ()
    view: View = View()


@dataclass(frozen=True)
class Drawn:
    """``charts`` by metric, what is known of each run, and where the x axis runs; ``extent`` is that of the data."""

    wanted: Wanted
    charts: dict[str, Chart] = field(default_factory=dict)
    runs: tuple[Curves, ...] = ()
    x: Limits = (0.0, 0.0)
    extent: Limits | None = None

    @property
    def progress(self) -> float:
        """How much of the files is read."""
        return min((curves.progress for curves in self.runs), default=1.0)

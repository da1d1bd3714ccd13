"""What the machine is doing: sampled in a thread at a low rate, kept as short histories, told as lines of text. No Textual.

What runs of this program take is marked with the sign of a training, ►. A figure that is not to be had is N/A.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import psutil

from ... import machine
from ...machine import Gpu
from ...models.catalogue.share_text import share_text
from ...trainer.common import process
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..background_loop import BackgroundLoop
from ..charts.sparkline import sparkline

EVERY_S = 2.0
FIRST_S = 0.3
"""The first sample is taken so long after the start: a load is measured over a stretch of time."""
KEPT = 60
NONE = "N/A"
OURS = STATES["training"].symbol
SHORTEST, LONGEST = 6, 30
GB = 1e9


@dataclass(frozen=True)
class Sample:
    """The machine at one moment. Shares are between 0 and 1 of the whole, memory in bytes; ``ours`` is what runs take.

    ``gpus`` is None where there is no NVML. ``ours_on`` maps the index of a GPU to the bytes that runs take there.
    """

    cpu: float
    ours_cpu: float
    memory_used: int
    memory_total: int
    ours_memory: int
    gpus: tuple[Gpu, ...] | None
    ours_on: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Readings:
    """The newest sample, and how load went: of the CPUs, and of each GPU by its index."""

    newest: Sample
    cpu: tuple[float, ...]
    gpus: dict[int, tuple[float, ...]]


def processes_of(runs: Iterable[RunSnapshot]) -> frozenset[int]:
    """Return the process ids of the runs that go on here, on this machine."""
    here = process.host()
    return frozenset(run.pid for run in runs if run.live and run.pid is not None and run.host == here)


class Sampler:
    """Samples while it is wanted and tells ``on_readings``. Costs nothing while paused."""

    def __init__(self, on_readings: Callable[[Readings], None], every_s: float = EVERY_S) -> None:
        self._on_readings = on_readings
        self._every_s = every_s
        self._loop = BackgroundLoop(lambda wanted: self.step(wanted, time.monotonic()), False)
        self._opened = contextlib.ExitStack()
        self._nvml: object = None
        self._due: float | None = None
        """When the next sample is to be taken; None while paused."""
        self._pids: frozenset[int] = frozenset()
        self._known: dict[int, psutil.Process] = {}
        self._cpu: deque[float] = deque(maxlen=KEPT)
        self._gpus: dict[int, deque[float]] = {}

    def want(self, wanted: bool) -> None:
        """Sample from now on, or pause."""
        self._loop.want(wanted)

    def look_for(self, pids: frozenset[int]) -> None:
        """Count these processes, and what they started, as ours."""
        self._pids = pids

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        try:
            self._loop.run()
        finally:
            self._opened.close()

    def step(self, wanted: bool, now: float) -> float | None:
        """Take the sample that is due; returns when to come again, None while paused."""
        if not wanted:
            self._opened.close()
            self._due = None
            return None
        if self._due is None:
            self._nvml = self._opened.enter_context(machine.open_nvml())
            self._start_measuring()
            self._due = now + min(FIRST_S, self._every_s)
        # Woken too early it takes none: a sample right after another one would measure the load of no time at all.
        elif now >= self._due:
            self._on_readings(self._read(self._nvml))
            self._due = now + self._every_s
        return self._due - now

    def _start_measuring(self) -> None:
        """Ask for the load once: the first answer is empty, and the next one covers the time since then."""
        psutil.cpu_percent()
        for running in self._processes().values():
            with contextlib.suppress(psutil.Error):
                running.cpu_percent()

    def _read(self, nvml: object) -> Readings:
        sample = self._sample(nvml)
        self._cpu.append(sample.cpu)
        for gpu in sample.gpus or ():
            history = self._gpus.setdefault(gpu.index, deque(maxlen=KEPT))
            history.append(float("nan") if gpu.utilisation is None else gpu.utilisation)
        return Readings(sample, tuple(self._cpu), {index: tuple(history) for index, history in self._gpus.items()})

    def _sample(self, nvml: object) -> Sample:
        memory = machine.main_memory()
        ours = self._processes()
        cpu, resident = 0.0, 0
        for running in ours.values():
            try:
                cpu += running.cpu_percent() / 100 / (psutil.cpu_count() or 1)
                resident += running.memory_info().rss
            except psutil.Error:
                continue
        gpus = None if nvml is None else tuple(machine.gpus_of(nvml))
        on = {gpu.index: _taken(gpu, set(ours)) for gpu in gpus or () if any(pid in ours for pid, _ in gpu.processes)}
        load = psutil.cpu_percent() / 100
        return Sample(load, cpu, memory.total - memory.available, memory.total, resident, gpus, on)

    def _processes(self) -> dict[int, psutil.Process]:
        """Return our processes and all that they started; kept, because each measures its load since it was asked last."""
        found: dict[int, psutil.Process] = {}
        for pid in self._pids:
            try:
                parent = self._known.get(pid) or psutil.Process(pid)
                for one in (parent, *parent.children(recursive=True)):
                    found[one.pid] = self._known.get(one.pid, one)
            except psutil.Error:
                continue
        self._known = found
        return found


def _taken(gpu: Gpu, pids: set[int]) -> int:
    return sum(used or 0 for pid, used in gpu.processes if pid in pids)


def lines(readings: Readings | None, width: int) -> list[str]:
    """Return CPU and memory in one line, each GPU in another, the histories as long as ``width`` cells allow."""
    if readings is None:
        return ["reading the machine …"]
    newest = readings.newest
    ours = f" {OURS}{share_text(newest.ours_cpu)}" if newest.ours_cpu >= 0.005 else ""
    taken = newest.ours_memory if newest.ours_memory >= GB / 20 else None
    memory = f"RAM {_memory(newest.memory_used, newest.memory_total, taken)}"
    found = [_line("CPU", readings.cpu, f"{share_text(newest.cpu):>5}{ours}  {memory}", width)]
    if newest.gpus is None:
        return [*found, "no NVIDIA GPU: NVML is not available here"]
    if not newest.gpus:
        return [*found, "NVML names no GPU"]
    return found + [_gpu_line(gpu, readings, width) for gpu in newest.gpus]


def _gpu_line(gpu: Gpu, readings: Readings, width: int) -> str:
    used = None if gpu.memory_total is None or gpu.memory_free is None else gpu.memory_total - gpu.memory_free
    mine = readings.newest.ours_on.get(gpu.index)
    limit = f"/{gpu.power_limit_watts:.0f}" if gpu.power_limit_watts is not None and width >= 60 else ""
    parts = [
        f"{NONE:>5}" if gpu.utilisation is None else f"{share_text(gpu.utilisation):>5}",
        _memory(used, gpu.memory_total, mine),
        f"{NONE} W" if gpu.power_watts is None else f"{gpu.power_watts:.0f}{limit} W",
        f"{NONE} °C" if gpu.temperature is None else f"{gpu.temperature:.0f} °C",
    ]
    if width >= 90:
        parts.append(gpu.name)
    return _line(f"GPU{gpu.index}", readings.gpus.get(gpu.index, ()), "  ".join(parts), width)


def _line(name: str, history: tuple[float, ...], text: str, width: int) -> str:
    cells = min(max(width - len(text) - 7, SHORTEST), LONGEST)
    kept = history[-cells:]  # the newest stands beside the figure: a short history is no low one
    return f"{name:<5}{sparkline(kept, len(kept), 0.0, 1.0):>{cells}} {text}"


def _memory(used: int | None, total: int | None, ours: int | None) -> str:
    """Return what is used of all there is, and what runs take of it: 3.1/24 GB, 23/151 ►19 GB.

    The sign stands alone where runs are there and how much they take is not known.
    """
    both = f"{_figure(used)}/{_figure(total)}"
    if ours:
        return f"{both} {OURS}{_figure(ours)} GB"
    unit = "" if total is None else " GB"
    return both + unit + ("" if ours is None else f" {OURS}")


def _figure(size: int | None) -> str:
    """Return bytes in powers of ten, in GB."""
    if size is None:
        return NONE
    return f"{size / GB:.1f}" if size < 9.95 * GB else f"{size / GB:.0f}"

"""The machine strip: figures of a faked driver and of this process, and that it does nothing while it is hidden."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.common.text_safe import width
from cnn_explorer.trainer.runs.reader import read_run
from cnn_explorer.tui.charts.sparkline import sparkline
from cnn_explorer.tui.core.ascii_filter import plain
from cnn_explorer.tui.runs import machine
from cnn_explorer.tui.runs.machine import Readings, Sample, Sampler
from support.tui import FakeRun

GB = 10**9


def driver(cards: int = 1, *, refuses: tuple[str, ...] = (), pids: tuple[int, ...] = ()) -> types.ModuleType:
    """A driver of so many cards, busy with ``pids``; it raises for the figures named in ``refuses``."""
    nvml: Any = types.ModuleType("pynvml")
    info = types.SimpleNamespace
    answers = {
        "Count": lambda: cards,
        "HandleByIndex": lambda index: index,
        "UUID": lambda index: f"GPU-{index}",
        "Name": lambda index: f"card {index}",
        "MemoryInfo": lambda index: info(total=141 * GB, free=120 * GB),
        "UtilizationRates": lambda index: info(gpu=87),
        "PowerUsage": lambda index: 512_000,
        "EnforcedPowerLimit": lambda index: 700_000,
        "Temperature": lambda index, kind: 61,
        "ComputeRunningProcesses": lambda index: [info(pid=pid, usedGpuMemory=18 * GB) for pid in pids],
    }

    def refuse(*_: object) -> None:
        raise RuntimeError("Not Supported")

    for name, answer in answers.items():
        setattr(nvml, f"nvmlDeviceGet{name}", refuse if name in refuses else answer)
    nvml.NVML_TEMPERATURE_GPU = 0
    nvml.nvmlInit = nvml.nvmlShutdown = lambda: None
    return nvml


def read_once(pids: frozenset[int] = frozenset()) -> Readings:
    """The first readings of a sampler, which then ends."""
    told: list[Readings] = []

    def take(readings: Readings) -> None:
        told.append(readings)
        sampler.stop()

    sampler = Sampler(take, every_s=0.01)
    sampler.look_for(pids)
    sampler.want(True)
    sampler.run()
    return told[0]


def test_a_card_is_told_in_one_line_with_what_runs_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(pids=(os.getpid(), 1)))
    readings = read_once(frozenset({os.getpid()}))
    line = machine.lines(readings, 48)[1]
    assert line.startswith("GPU0 ") and width(line) <= 48
    for part in ("87 %", "21/141 ►18 GB", "512 W", "61 °C"):
        assert part in line
    assert "512/700 W" in machine.lines(readings, 100)[1] and "card 0" in machine.lines(readings, 100)[1]
    assert machine.lines(readings, 100)[1][5] == " ", "the newest value stands beside its figure"


def test_what_the_driver_refuses_is_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = (
        "MemoryInfo",
        "UtilizationRates",
        "PowerUsage",
        "EnforcedPowerLimit",
        "Temperature",
        "ComputeRunningProcesses",
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver(refuses=refused))
    line = machine.lines(read_once(), 48)[1]
    assert line.count("N/A") == 5


@pytest.mark.parametrize("refuses", [("HandleByIndex",), ("Count",)])
def test_a_card_that_fell_off_the_bus_ends_nothing(monkeypatch: pytest.MonkeyPatch, refuses: tuple[str, ...]) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver(2, refuses=refuses))
    assert "names no GPU" in machine.lines(read_once(), 48)[1]


def test_without_a_driver_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "NVML is not available" in machine.lines(read_once(), 48)[1]


def test_load_and_memory_are_this_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    readings = read_once(frozenset({os.getpid(), 2**22 + 7}))
    assert 0 < readings.newest.memory_used < readings.newest.memory_total
    assert readings.newest.ours_memory > 0 and len(readings.cpu) == 1
    assert read_once().newest.ours_memory == 0


def test_children_of_a_run_are_ours_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        monkeypatch.setitem(sys.modules, "pynvml", driver(pids=(child.pid,)))
        assert read_once(frozenset({os.getpid()})).newest.ours_on == {0: 18 * GB}
        assert read_once(frozenset({1 << 22})).newest.ours_on == {}
    finally:
        child.communicate(b"\n")


def test_what_runs_take_is_marked_only_where_it_can_be_seen() -> None:
    idle = Readings(Sample(0.5, 0.0, 12 * GB, 128 * GB, 0, None), (0.5,), {})
    busy = Readings(Sample(0.5, 0.45, 12 * GB, 128 * GB, 3 * GB, None), (0.1, 0.5), {})
    assert "►" not in machine.lines(idle, 60)[0]
    line = machine.lines(busy, 60)[0]
    assert "50 % ►45 %" in line and "RAM 12/128 ►3.0 GB" in line
    assert machine.lines(None, 60) == ["reading the machine …"]


def test_processes_are_those_of_live_runs_here(tmp_path: Path) -> None:
    live = FakeRun(tmp_path, "20261120-143022-lenet5-digits-7f3a", alive=True)
    ended = FakeRun(tmp_path, "20261120-143023-lenet5-digits-7f3b", "finished")
    far = FakeRun(tmp_path, "20261120-143024-lenet5-digits-7f3c", alive=True)
    far.status("training", host="elsewhere")
    found = machine.processes_of(read_run(run.path) for run in (live, ended, far))
    assert found == {process.identity()["pid"]}


def test_sparklines_keep_their_width_gaps_and_extremes() -> None:
    assert sparkline([0.0, 0.5, 1.0], 5) == "▁▅█  "
    assert sparkline([], 4) == sparkline([math.nan], 4) == "    "
    assert sparkline([1.0, math.nan, 1.0], 3) == "▁ ▁"
    assert sparkline([0.0] * 50 + [1.0] * 50, 10) == "▁▁▁▁▁█████"
    assert sparkline([0.5], 1, 0.0, 1.0) == "▅" and sparkline([7.0], 1, 0.0, 1.0) == "█"
    assert sparkline([-1.7e308, 1.7e308, math.inf], 3) == "▁█ "
    shown = plain(sparkline([value / 7 for value in range(8)], 8))
    assert shown.isascii() and len(set(shown)) == 8


def test_a_load_is_measured_over_a_stretch_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked twice at once, psutil answers 0 or 100 % whatever the load is."""
    asked: list[float] = []
    told: list[Readings] = []
    monkeypatch.setattr(machine.psutil, "cpu_percent", lambda: asked.append(now) or 50.0)
    sampler = Sampler(told.append)
    now = 100.0
    pause = sampler.step(True, now)
    assert asked == [100.0] and not told and pause == pytest.approx(machine.FIRST_S)
    now = 100.1  # woken by somebody
    assert sampler.step(True, now) == pytest.approx(machine.FIRST_S - 0.1) and asked == [100.0] and not told
    now = 100.0 + machine.FIRST_S
    assert sampler.step(True, now) == pytest.approx(machine.EVERY_S) and len(told) == 1
    now += machine.EVERY_S
    assert sampler.step(True, now) == pytest.approx(machine.EVERY_S) and len(told) == 2


def test_a_sampler_that_pauses_lets_go_of_the_driver_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    @contextmanager
    def opened() -> Iterator[None]:
        happened.append("opened")
        yield None
        happened.append("closed")

    monkeypatch.setattr(machine.machine, "open_nvml", opened)
    told: list[Readings] = []
    sampler = Sampler(told.append)
    for wanted, now in ((False, 0.0), (True, 1.0), (True, 2.0), (False, 3.0), (True, 90.0), (False, 91.0)):
        if not wanted:
            assert sampler.step(wanted, now) is None
        else:
            sampler.step(wanted, now)
    assert happened == ["opened", "closed", "opened", "closed"]
    assert len(told) == 1, "the first step after a pause only begins to measure"


def test_the_dot_of_a_product_is_no_full_stop_in_ascii() -> None:
    assert plain("9 = 13·2 + (−3)·(−1) · pad·k") == "9 = 13*2 + (-3)*(-1) . pad*k"
    assert plain("3·3·1/1·1 ██···") == "3*3*1/1*1 ##..."

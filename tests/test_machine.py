"""What is read off the machine: true figures, and silence where there is no driver."""

from __future__ import annotations

import sys
import types
from typing import Any

import cnn_explorer.machine as machine
import psutil
import pytest


def test_main_memory_is_that_of_the_system() -> None:
    memory = machine.main_memory()
    assert memory.total == psutil.virtual_memory().total
    assert 0 < memory.available <= memory.total


def test_no_driver_is_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Any = types.ModuleType("pynvml")

    def refuse() -> None:
        raise RuntimeError("Driver Not Loaded")

    broken.nvmlInit = refuse
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert machine.gpus() == []
    assert machine.room_for_training()[0] == "main memory"


def fake_nvml(free: list[int]) -> types.ModuleType:
    """A driver with one GPU per entry, which gives memory and a name as bytes and refuses everything else."""
    nvml: Any = types.ModuleType("pynvml")

    def refuse(*_: object) -> None:
        raise RuntimeError("Not Supported")

    names = "UtilizationRates PowerUsage EnforcedPowerLimit ComputeRunningProcesses Temperature"
    for name in names.split():
        setattr(nvml, f"nvmlDeviceGet{name}", refuse)
    nvml.NVML_TEMPERATURE_GPU = 0
    nvml.nvmlInit = nvml.nvmlShutdown = lambda: None
    nvml.nvmlDeviceGetCount = lambda: len(free)
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetUUID = lambda index: f"GPU-{index}"
    nvml.nvmlDeviceGetName = lambda index: f"card {index}".encode()
    nvml.nvmlDeviceGetMemoryInfo = lambda index: types.SimpleNamespace(total=10**11, free=free[index])
    return nvml


def test_what_a_driver_refuses_is_none_and_the_emptiest_card_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml([10**9, 5 * 10**9]))
    first, second = machine.gpus()
    assert (first.name, second.uuid, first.utilisation, first.power_watts) == ("card 0", "GPU-1", None, None)
    assert machine.room_for_training() == ("card 1", 5 * 10**9)

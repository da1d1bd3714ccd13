"""Which GPUs are taken and what is said of them, with an NVML and a CUDA that are made up; and what --devices means."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from cnn_explorer.cli.train_devices import DeviceAssignment
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config.machine_share import MachineShare
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.devices import device_list, gpus, hardware
from cnn_explorer.trainer.planning import planner
from test_machine import fake_nvml

GB = 10**9


def machine_with(
    monkeypatch: pytest.MonkeyPatch, free: list[int], seen: list[str], processes: dict | None = None
) -> None:
    """NVML knows GPU-0, GPU-1 … with so much free memory; CUDA sees those whose identifiers are in ``seen``, in order."""
    nvml: Any = fake_nvml(free)
    if processes is not None:
        nvml.nvmlDeviceGetComputeRunningProcesses = lambda index: [
            types.SimpleNamespace(pid=pid, usedGpuMemory=memory) for pid, memory in processes.get(index, [])
        ]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: types.SimpleNamespace(uuid=seen[index]))


def test_auto_is_the_gpu_with_most_room_by_cuda_s_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # As with CUDA_VISIBLE_DEVICES=2,0: CUDA's first is NVML's third, and NVML's second, the emptiest, is not seen.
    machine_with(monkeypatch, [5 * GB, 70 * GB, 2 * GB], ["2", "0"])
    assert gpus.by_free_memory() == [1, 0]
    assert hardware.choose_device("auto") == torch.device("cuda", 1)
    assert hardware.choose_device("cuda") == torch.device("cuda", 0)
    assert device_list.choose("1", None) == ("cuda:1",)


def test_parts_of_gpus_and_no_nvml_leave_cuda_s_order(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [5 * GB, 70 * GB], ["MIG-7", "MIG-8"])
    assert gpus.by_free_memory() == [0, 1]
    assert gpus.occupants(torch.device("cuda", 0)) is None
    monkeypatch.setitem(sys.modules, "pynvml", types.ModuleType("pynvml"))
    assert gpus.by_free_memory() == [0, 1]
    assert hardware.choose_device("auto") == torch.device("cuda", 0)
    assert gpus.occupants(torch.device("cuda", 0)) is None


def test_of_gpus_with_equal_room_the_first_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [9 * GB] * 3, ["0", "1", "2"])
    assert gpus.by_free_memory() == [0, 1, 2]


def test_the_users_of_a_gpu_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    me, gone = os.getpid(), 2**22 + 7
    held = {1: [(me, GB), (101, 3 * GB), (102, None), (103, GB), (gone, 2 * GB)], 0: [(me, GB)]}
    machine_with(monkeypatch, [9 * GB, 30 * GB], ["0", "1"], held)
    names = {101: "ada", 102: "ada", 103: "grace"}

    def process(pid: int) -> types.SimpleNamespace:
        if pid not in names:
            raise psutil.NoSuchProcess(pid)
        return types.SimpleNamespace(username=lambda: names[pid])

    monkeypatch.setattr(psutil, "Process", process)
    assert gpus.occupants(torch.device("cuda", 1)) == (
        "cuda:1 is in use by ada (2 processes, 3.0 GB); grace (1 process, 1.0 GB); "
        "someone outside this container or hidden (1 process, 2.0 GB); 30.0 GB are free"
    )
    assert gpus.occupants(torch.device("cuda", 0)) is None
    assert gpus.occupants(torch.device("cpu")) is None


def test_devices_by_number_list_and_all(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [5 * GB, 9 * GB, 2 * GB, 7 * GB], ["0", "1", "2", "3"])
    assert device_list.choose("2", None) == device_list.choose("2", "cuda") == ("cuda:1", "cuda:3")
    assert device_list.choose("all", "auto") == ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
    assert device_list.choose("0, 2,3", None) == ("cuda:0", "cuda:2", "cuda:3")
    assert device_list.choose("cuda:1", None) == ("cuda:1",)


@pytest.mark.parametrize(
    ("wanted", "device", "said"),
    [
        ("5", None, "devices: '5' cannot be had: 2 CUDA devices are here"),
        ("0", None, "cannot be had"),
        ("0,5", None, "the last one here is cuda:1"),
        ("1,1", None, "names cuda:1 twice"),
        ("0,1", "cpu", "contradicts --device cpu"),
        ("2", "cuda:1", "contradicts --device cuda:1"),
        (" , ", None, "must be a number, a list such as 0,2,3, or all"),
        ("some", None, "is not a device"),
    ],
)
def test_devices_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, wanted: str, device: str | None, said: str
) -> None:
    machine_with(monkeypatch, [5 * GB, 9 * GB], ["0", "1"])
    with pytest.raises(UsageError, match=said):
        device_list.choose(wanted, device)


def test_processes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "usable_cores", lambda: 4)
    assert device_list.choose("3", "cpu") == ("cpu",) * 3
    assert device_list.choose("cpu,cpu", None) == ("cpu", "cpu")
    assert device_list.choose("16", "cpu") == ("cpu",) * 16, "ranks may share a core: a run of another machine goes on"
    with pytest.raises(UsageError, match="must be at least 1 and at most 16: that is 4 for each core of this machine"):
        device_list.choose("17", "cpu")
    with pytest.raises(UsageError, match="means GPUs, and there are none"):
        device_list.choose("all", "cpu")


def test_one_network_on_all_devices_and_several_on_one_each() -> None:
    assert DeviceAssignment((), 2).of(1, alone=True) == MachineShare() and DeviceAssignment((), 2).beside == ()
    together = DeviceAssignment(("cuda:0", "cuda:2"), 1)
    assert together.of(0, alone=False) == MachineShare(("cuda:0", "cuda:2"), 2, alone=False) and together.beside == ()
    beside = DeviceAssignment(("cuda:0", "cuda:2"), 3)
    assert [beside.of(number, alone=True).devices for number in range(3)] == [("cuda:0",), ("cuda:2",), ("cuda:0",)]
    assert beside.beside == ("cuda:0", "cuda:2")


def test_a_run_has_all_cores_unless_another_one_is_under_way(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def threads(*share: MachineShare) -> int:
        return planner.plan(TrainRequest.of("tiny", device="cpu"), print, *share).config.engine.threads

    assert (threads(), threads(MachineShare()), threads(MachineShare(alone=False))) == (4, 4, 3)


def test_cores_are_shared_out_among_the_processes_of_a_plan(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    said: list[str] = []

    def planned(**options):
        return planner.plan(
            TrainRequest.of("tiny", **options), said.append, MachineShare(("cpu", "cpu"), sharing=2)
        ).config

    config = planned()
    assert (config.engine.device, config.engine.devices, config.engine.threads) == ("cpu", ("cpu", "cpu"), 2)
    assert "2 processes on cpu, 2 threads each" in planner.summary(config)
    assert planned(threads=1).engine.threads == 1
    with pytest.raises(UsageError, match="batch-size: 3 is too small for 2 processes"):
        planned(batch_size=3)

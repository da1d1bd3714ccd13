"""What this machine has, read without waking CUDA: main memory from psutil, GPUs from NVML (nvidia-ml-py).

Nothing here imports torch or opens a device, so the app and the tables may ask at any time. Where there is no NVIDIA
driver the list of GPUs is empty; a figure that a driver does not give is None.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML numbers it (``index``; CUDA's numbers may differ, ``uuid`` does not). Memory in bytes."""

    index: int
    uuid: str
    name: str
    memory_total: int | None
    memory_free: int | None
    utilisation: float | None
    power_watts: float | None
    power_limit_watts: float | None
    temperature: float | None
    processes: tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class MainMemory:
    """Bytes of main memory, in all and available without swapping."""

    total: int
    available: int


def main_memory() -> MainMemory:
    """Return the main memory at this moment."""
    import psutil

    memory = psutil.virtual_memory()
    return MainMemory(memory.total, memory.available)


@contextlib.contextmanager
def open_nvml() -> Iterator[Any]:
    """Yield the initialised NVML module, None without a driver; for those who read it often."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: all the same to the reader
        yield None
        return
    try:
        yield pynvml
    finally:
        with contextlib.suppress(Exception):
            pynvml.nvmlShutdown()


def _or_none(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception:  # NVML raises its own error for every figure that a device or container does not give
        return None


def gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs of this machine; empty without a driver."""
    with open_nvml() as nvml:
        return [] if nvml is None else gpus_of(nvml)


def gpus_of(nvml: Any) -> list[Gpu]:
    """Return the GPUs by an NVML that is open; one that fell off the bus is left out."""
    found = [_or_none(lambda index=index: _gpu(nvml, index)) for index in range(_or_none(nvml.nvmlDeviceGetCount) or 0)]
    return [gpu for gpu in found if gpu is not None]


def _gpu(nvml: Any, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = _or_none(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = _or_none(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    power = _or_none(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    limit = _or_none(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    running = _or_none(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return Gpu(
        index=index,
        uuid=_text(_or_none(lambda: nvml.nvmlDeviceGetUUID(handle))),
        name=_text(_or_none(lambda: nvml.nvmlDeviceGetName(handle))) or f"GPU {index}",
        memory_total=None if memory is None else memory.total,
        memory_free=None if memory is None else memory.free,
        utilisation=None if rates is None else rates.gpu / 100,
        power_watts=None if power is None else power / 1000,
        power_limit_watts=None if limit is None else limit / 1000,
        temperature=_or_none(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        processes=tuple((process.pid, getattr(process, "usedGpuMemory", None)) for process in running),
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def owner(pid: int) -> str:
    """Name of the user who runs a process, as far as it can be known."""
    import psutil

    try:
        return psutil.Process(pid).username()
    except (psutil.Error, KeyError):
        return "someone outside this container or hidden"


def room_for_training() -> tuple[str, int]:
    """Name and free bytes of the place where a run would go: the GPU with most free memory, else main memory."""
    candidates = [(gpu.name, gpu.memory_free) for gpu in gpus() if gpu.memory_free is not None]
    if candidates:
        return max(candidates, key=lambda candidate: candidate[1])
    return "main memory", main_memory().available

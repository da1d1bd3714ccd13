"""Which device and how many threads. Torch is imported where a device is asked for, and not before.

Threads: with as many threads as cores, torch's threads wait for each other in busy loops, and as soon as anything else
runs on the machine a training falls to a small part of its speed. So all cores are used only by a run that is alone in
the foreground; one core is left free otherwise.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError, nearest
from . import gpus

if TYPE_CHECKING:
    import torch

CGROUP = Path("/sys/fs/cgroup/cpu.max")
CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}
"""Of x86 the first two, of ARM the last: with one of them a product of bf16 numbers is an instruction."""

SHORTEST_LOOK_S = 0.2
BUSY_CORES = 0.3
"""With this much work of others a run in the foreground is not alone."""

NICENESS = 10
"""The least niceness of a detached run, so that the person at the machine comes first."""


@cache
def usable_cores() -> int:
    """Return the cores that this process may use: those of its affinity mask, or fewer where a container's quota allows
    fewer.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(CGROUP)
    return max(1, min(cores, quota)) if quota else cores


def _quota(path: Path) -> int | None:
    """Return how many cores' worth of time cgroup v2 grants, rounded up; None where there is no limit."""
    try:
        granted, period = path.read_text(encoding="ascii").split()
        return -(-int(granted) // int(period))
    except (OSError, ValueError):
        return None


class OtherWork:
    """Measures how many cores other processes keep busy, from its making to the moment of asking."""

    def __init__(self) -> None:
        self._begun = self._seconds()

    def cores(self) -> float:
        """Return how many cores' worth of work others had since then; 0 where that is unknown (a quota)."""
        if _quota(CGROUP) is not None:
            return 0.0
        time.sleep(max(0.0, self._begun[2] + SHORTEST_LOOK_S - time.monotonic()))
        busy, own, now = self._seconds()
        passed = now - self._begun[2]
        return max(0.0, (busy - self._begun[0]) - (own - self._begun[1])) / passed

    @staticmethod
    def _seconds() -> tuple[float, float, float]:
        """Return the busy seconds of all cores that we may use, those of this process, and the time."""
        import psutil

        times = psutil.cpu_times(percpu=True)
        ours = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
        busy = sum(times[core].user + times[core].system + times[core].nice for core in ours if core < len(times))
        return busy, sum(os.times()[:2]), time.monotonic()


THREADS_VARIABLE = "OMP_NUM_THREADS"


def environment_threads() -> int | None:
    """Return how many threads OMP_NUM_THREADS asks for, at most as many as there are cores; None where it asks for none.

    torchrun sets it to 1 where nobody did, so under torchrun 1 asks for nothing.
    """
    # What nested regions take comes behind a comma: "4,2".
    text = os.environ.get(THREADS_VARIABLE, "").partition(",")[0].strip()
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdigit()):
        return None
    wanted = int(digits[:9])  # Python reads no number of thousands of digits; nine are more than any machine has cores
    if wanted == 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        return None
    return min(wanted, usable_cores())


def choose_threads(wanted: int | None, *, alone: bool) -> int:
    """Return the number of threads: ``wanted`` where given, or else that of OMP_NUM_THREADS; without both all cores for a
    run that is ``alone``, one fewer otherwise.

    UsageError where more are wanted than there are cores.
    """
    cores = usable_cores()
    if wanted is not None:
        if not 1 <= wanted <= cores:
            raise UsageError("threads", wanted, f"must be at least 1 and at most {cores}, the cores of this machine")
        return wanted
    return environment_threads() or (cores if alone else max(1, cores - 1))


def set_waiting(threads: int, *, alone: bool) -> None:
    """Let OpenMP's threads sleep while they wait, where all cores are used although other work runs beside.

    Must be called before torch is imported, because the OpenMP library reads the variable when it is loaded. The
    arithmetic is the same, so a resumed run keeps its number of threads and still goes on bit for bit.
    """
    if not alone and threads >= usable_cores() and "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def use_threads(threads: int) -> None:
    """Set the threads of torch's operators. Operators never run beside each other here, so one is enough for those."""
    import torch

    torch.set_num_threads(threads)
    try:
        torch.set_num_interop_threads(1)
    except RuntimeError:
        pass  # It can be set once in a process, and a queue of runs comes here for each run.


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto" (the GPU with most free memory, mps, cpu) or for a name: "cpu", "cuda", "cuda:1",
    "mps".

    UsageError for a name that is none and for a device that is not there.
    """
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", gpus.by_free_memory()[0])
        return torch.device("mps") if torch.backends.mps.is_available() else torch.device("cpu")
    kind, _, number = wanted.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not (number.isascii() and number.isdecimal())):
        hint = nearest(kind, ("auto", "cpu", "cuda", "mps"))
        meant = f"{hint} " if hint.startswith("did") else ""
        raise UsageError("device", wanted, f"is not a device; {meant}there are auto, cpu, cuda, cuda:NUMBER and mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(number or 0)
        if index >= count:
            there = "no CUDA device is here" if not count else f"the last one here is cuda:{count - 1}"
            raise UsageError("device", wanted, f"cannot be used: {there}; --device cpu works everywhere")
        return torch.device("cuda", index)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("device", wanted, "cannot be used: no Apple GPU is here; --device cpu works everywhere")
    return torch.device(kind)


def wait_for(device: torch.device) -> None:
    """Wait until ``device`` has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def device_name(device: torch.device) -> str:
    """Return what the maker calls the device."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()} GPU" if device.type == "mps" else _processor()


def _processor() -> str:
    try:
        for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def default_precision(device: torch.device) -> str:
    """Return bf16 on a GPU that computes with it, fp32 elsewhere."""
    return "bf16" if device.type == "cuda" and has_bf16(device) else "fp32"


def has_tf32(device: torch.device) -> bool:
    """Return whether the CUDA device multiplies in TF32: from compute capability 8.0 (Ampere) on."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def has_bf16(device: torch.device) -> bool:
    """Return whether the device computes with bf16 faster than with fp32: CUDA from Ampere on, CPUs with AMX or
    AVX512-BF16.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(BF16_FLAGS & _processor_flags(CPUINFO))


def _processor_flags(path: Path) -> set[str]:
    """Return what the first processor can do, in Linux' words; on Macs, which have no such file, nothing."""
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() in ("flags", "Features"):
                return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()


def configure_gpu(device: torch.device, tf32: bool) -> None:
    """Switch TF32 on or off, and let cuDNN search the fastest convolutions: the shapes of a training do not change.

    Page-locked memory belongs to the present device; without choosing it, that would be the first one of the machine.
    """
    import torch

    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free on the device, or in main memory for the CPU and GPUs that share it."""
    import torch

    from ...machine import main_memory

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else main_memory().available


def lower_priority() -> None:
    """Lower this process's priority, where the system allows it and it is not as low already."""
    try:
        os.nice(max(0, NICENESS - os.nice(0)))
    except OSError:
        pass

"""Which GPU has room, and who computes on it.

CUDA and NVML number the GPUs of a machine differently, and CUDA sees those alone that CUDA_VISIBLE_DEVICES names. So the two
lists are matched by the identifiers of the GPUs, not by number. Without NVML, or where it does not know a GPU (as one
that is divided with MIG), CUDA's own order stands.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ... import machine

if TYPE_CHECKING:
    import torch


def by_free_memory() -> list[int]:
    """Return CUDA's numbers of the GPUs it sees, most free memory first; ties and unknown ones in CUDA's order."""
    import torch

    count = torch.cuda.device_count()
    known = _by_identifier() if count > 1 else {}
    if not known:
        return list(range(count))
    free = {index: _free_memory(known.get(_identifier(index))) for index in range(count)}
    return sorted(free, key=lambda index: -free[index])


def occupants(device: torch.device) -> str | None:
    """Return who else computes on a GPU, in one line; None where no other process does or that cannot be known."""
    if device.type != "cuda":
        return None
    known = _by_identifier()
    gpu = known.get(_identifier(device.index or 0)) if known else None
    others = [process for process in gpu.processes if process[0] != os.getpid()] if gpu else []
    if gpu is None or not others:
        return None
    users: dict[str, list[int | None]] = {}
    for pid, memory in others:
        users.setdefault(machine.owner(pid), []).append(memory)
    told = "; ".join(f"{user} ({_holding(held)})" for user, held in users.items())
    room = "" if gpu.memory_free is None else f"; {_gigabytes(gpu.memory_free)} are free"
    return f"{device} is in use by {told}{room}"


def _by_identifier() -> dict[str, machine.Gpu]:
    return {_plain(gpu.uuid): gpu for gpu in machine.gpus()}


def _identifier(index: int) -> str:
    """Return CUDA's identifier of a GPU; empty with a torch that does not tell it."""
    import torch

    return _plain(str(getattr(torch.cuda.get_device_properties(index), "uuid", "")))


def _plain(uuid: str) -> str:
    """Return an identifier without the "GPU-" or "MIG-" that NVML writes before it and CUDA does not."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _free_memory(gpu: machine.Gpu | None) -> int:
    return gpu.memory_free if gpu is not None and gpu.memory_free is not None else -1


def _holding(memory: list[int | None]) -> str:
    count = f"{len(memory)} {'process' if len(memory) == 1 else 'processes'}"
    known = [held for held in memory if held is not None]
    return f"{count}, {_gigabytes(sum(known))}" if known else count


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"

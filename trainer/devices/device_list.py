"""Which devices a command means: `--devices 4`, `--devices 0,2,3`, `--devices all`, one for each process."""

from __future__ import annotations

from ...errors import UsageError
from . import gpus, hardware
from .process_group import MOST_PER_CORE

ALL = "all"
LONGEST_NAME = 20


def choose(wanted: str, device: str | None) -> tuple[str, ...]:
    """Return the names of the devices that ``--devices wanted`` means beside ``--device device``, one for each process.

    A number takes the GPUs with most free memory, or so many processes on the CPU. UsageError for what cannot be had.
    """
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    if not names:
        raise UsageError("devices", wanted, "must be a number, a list such as 0,2,3, or all")
    if any(len(name) > LONGEST_NAME for name in names):
        raise UsageError("devices", wanted, "must be a number, a list such as 0,2,3, or all")
    if len(names) > 1 or not (names[0] == ALL or _is_number(names[0])):
        return _listed(names, wanted, device)
    kind = hardware.choose_device(device or "auto")
    if device and device not in ("auto", kind.type):
        raise UsageError("devices", wanted, f"contradicts --device {device}, which is one; give a list of numbers")
    if kind.type == "cuda":
        return _emptiest(names[0], wanted)
    if names[0] == ALL:
        raise UsageError("devices", wanted, "means GPUs, and there are none; a number means so many processes")
    return _processes(int(names[0]), wanted, kind.type)


def _emptiest(count: str, wanted: str) -> tuple[str, ...]:
    order = gpus.by_free_memory()
    number = len(order) if count == ALL else int(count)
    if not 1 <= number <= len(order):
        there = "1 CUDA device is" if len(order) == 1 else f"{len(order)} CUDA devices are"
        raise UsageError("devices", wanted, f"cannot be had: {there} here")
    return tuple(f"cuda:{index}" for index in sorted(order[:number]))


def _processes(count: int, wanted: str, kind: str) -> tuple[str, ...]:
    cores = hardware.usable_cores()
    limit = 1 if kind == "mps" else MOST_PER_CORE * cores
    if not 1 <= count <= limit:
        what = "there is one GPU" if kind == "mps" else f"that is {MOST_PER_CORE} for each core of this machine"
        raise UsageError("devices", wanted, f"must be at least 1 and at most {limit}: {what}")
    return (kind,) * count


def _listed(names: list[str], wanted: str, device: str | None) -> tuple[str, ...]:
    """Return the devices by number or by name; each GPU once, the CPU any number of times."""
    full = [f"cuda:{name}" if _is_number(name) else name for name in names]
    if device and any(name.partition(":")[0] != device.partition(":")[0] for name in full):
        raise UsageError("devices", wanted, f"contradicts --device {device}; leave that out")
    found = [str(hardware.choose_device(name)) for name in full]
    twice = next((name for name in found if name != "cpu" and found.count(name) > 1), None)
    if twice is not None:
        raise UsageError("devices", wanted, f"names {twice} twice")
    return tuple(found)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()

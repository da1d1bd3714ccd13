"""What a run is computed with: device, number format, memory layout, compilation, threads. Plain values, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest
from ..common.value_checks import Rule
from .setting import ENGINE, setting, settings_of

PRECISIONS = ("fp32", "bf16", "fp16")
MOST_THREADS = 4096
TIMED_AT_START = "is done when the run starts"
"""Why a plan has no calibration of a run whose start makes one."""


@dataclass(frozen=True)
class Engine:
    """The engine of a run. ``device`` is torch's name ("cpu", "cuda:0", "mps"), ``device_name`` the manufacturer's.

    ``devices`` names one for each process where several train together, else it is empty. ``calibration`` tells how the
    choices came about; nothing is computed by it.
    """

    device: str = setting(
        "cpu", "Where to train: auto (the GPU with most free memory), cpu, cuda, cuda:N or mps.", ENGINE, metavar="NAME"
    )
    device_name: str = ""
    precision: str = setting(
        "fp32",
        "Number format of convolutions and matrix products; weights stay fp32. GPUs that have bf16 use it.",
        ENGINE,
        Rule(choices=PRECISIONS),
    )
    channels_last: bool = setting(
        False, "Keep the channels of a pixel side by side in memory; on by default on GPUs.", ENGINE
    )
    compile: bool = setting(
        False, "Compile the network with torch.compile, which takes minutes and pays in long runs on a GPU.", ENGINE
    )
    threads: int = setting(1, "Threads of the CPU.", ENGINE, Rule(low=1, high=MOST_THREADS))
    devices: tuple[str, ...] = ()
    cuda_graphs: bool = setting(
        False,
        "Replay recorded GPU kernels, which helps small networks; not with a batch in parts or several devices.",
        ENGINE,
        title="CUDA graphs",
        rare=True,
    )
    tf32: bool = setting(
        False,
        "Round the factors of fp32 products to ten bits; on by default on GPUs that can.",
        ENGINE,
        title="TF32",
        rare=True,
    )
    data_on_device: bool = setting(
        True,
        "Keep all images in the device's memory, the default where they fit, instead of copying each batch.",
        ENGINE,
        rare=True,
    )
    calibration: Mapping[str, object] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return JSON-able values in the order of the fields."""
        return dataclasses.asdict(self)


SETTINGS = settings_of(Engine)
KEYS = tuple(field.name for field in dataclasses.fields(Engine))
CHOICES = tuple(SETTINGS)
"""What a person can choose."""

SWITCHES = tuple(key for key, defined in SETTINGS.items() if defined.kind is bool)
CUDA_ONLY = ("cuda_graphs", "tf32")


def from_dict(values: Mapping[str, object]) -> Engine:
    """Return the engine that ``to_dict`` wrote; keys that are not known are left out. UsageError for a wrong value."""
    known = {key: check(key, value) for key, value in values.items() if key in KEYS}
    if "device" not in known:
        raise UsageError("engine", None, "lacks the key 'device'")
    return Engine(**known)


def check(key: str, value: object, origin: str = "engine") -> Any:
    """Return ``value`` when the field ``key`` takes it; UsageError otherwise."""
    name = f"{origin}: {key}" if origin else key.replace("_", "-")
    if key not in KEYS:
        raise UsageError(origin or "engine", key, f"is not a value of an engine; {nearest(key, KEYS)}")
    if key in SETTINGS:
        return SETTINGS[key].check(value, origin)
    if key == "devices":
        return _devices(value, name)
    if key == "device_name" and not isinstance(value, str):
        raise UsageError(name, value, "must be a text")
    if key == "calibration" and value is not None and not isinstance(value, Mapping):
        raise UsageError(name, value, "must be a table")
    return value


def _devices(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise UsageError(name, value, "must be a list of names of devices")
    return tuple(value)

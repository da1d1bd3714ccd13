"""What a run is computed with: device, number format, memory layout, compilation, threads. Plain values, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError, nearest

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Engine:
    """``device`` is torch's name ("cpu", "cuda:0", "mps"), ``device_name`` what the maker calls it.

    ``devices`` names one for each process where several train together, else it is empty.
    ``precision`` is that of the convolutions and products under autocast; weights and their updates stay fp32. ``tf32``
    lets a GPU round the factors of fp32 products to ten bits of mantissa. ``compile`` is torch.compile, ``cuda_graphs``
    the replaying of recorded kernels. ``data_on_device`` false leaves the pictures in main memory and copies each batch.
    ``calibration`` tells how the choices came about; nothing is computed by it.
    """

    device: str
    device_name: str = ""
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    threads: int = 1
    devices: tuple[str, ...] = ()
    cuda_graphs: bool = False
    tf32: bool = False
    data_on_device: bool = True
    calibration: Mapping[str, object] | None = None

    def to_dict(self) -> dict[str, object]:
        """JSON-able values in the order of the fields."""
        return dataclasses.asdict(self)


KEYS = tuple(field.name for field in dataclasses.fields(Engine))
CHOICES = tuple(key for key in KEYS if key not in ("device_name", "devices", "calibration"))
"""What a person can choose."""

SWITCHES = ("channels_last", "compile", "cuda_graphs", "tf32", "data_on_device")
CUDA_ONLY = ("cuda_graphs", "tf32")


def from_dict(values: Mapping[str, object]) -> Engine:
    """The engine that ``to_dict`` wrote; keys that are not known are left out. UsageError for a wrong value."""
    known = {key: check(key, value) for key, value in values.items() if key in KEYS}
    if "device" not in known:
        raise UsageError("engine", None, "lacks the key 'device'")
    return Engine(**known)


def check(key: str, value: object, origin: str = "engine") -> Any:
    """``value`` when the field ``key`` takes it; UsageError otherwise."""
    name = f"{origin}: {key}" if origin else key.replace("_", "-")
    if key not in KEYS:
        raise UsageError(origin or "engine", key, f"is no value of an engine; {nearest(key, KEYS)}")
    if key == "precision" and value not in PRECISIONS:
        raise UsageError(name, value, f"is unknown; {nearest(str(value), PRECISIONS)}")
    if key == "threads" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4096):
        raise UsageError(name, value, "must be a whole number, at least 1")
    if key in SWITCHES and not isinstance(value, bool):
        raise UsageError(name, value, "must be true or false")
    if key == "devices":
        return _devices(value, name)
    if key in ("device", "device_name") and not isinstance(value, str):
        raise UsageError(name, value, "must be a text")
    if key == "calibration" and value is not None and not isinstance(value, Mapping):
        raise UsageError(name, value, "must be a table")
    return value


def _devices(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise UsageError(name, value, "must be a list of names of devices")
    return tuple(value)

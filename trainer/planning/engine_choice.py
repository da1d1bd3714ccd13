"""The engine of a run before anything is measured: flags over the file over what suits the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...errors import UsageError
from ..common.progress import Log
from ..config import engine_config
from ..config.engine_config import Engine
from ..config.request import TrainRequest
from ..devices import hardware

FLAG = "flag"
DEFAULT = "default"


@dataclass(frozen=True)
class Choice:
    """``origins`` says of each value where it comes from: FLAG, the name of a file, or DEFAULT.

    ``complete``: it is the engine of an earlier run, in which nothing is left to choose.
    """

    engine: Engine
    origins: Mapping[str, str]
    complete: bool = False

    @property
    def fixed(self) -> frozenset[str]:
        """The fields that somebody asked for."""
        return frozenset(key for key, origin in self.origins.items() if origin != DEFAULT)


def choose(flags: Mapping[str, object], file: TrainRequest, *, alone: bool, log: Log) -> Choice:
    """Resolve the fields of engine.CHOICES; ``flags`` holds those that were given. UsageError for what cannot be."""
    for key, value in flags.items():
        engine_config.check(key, value, "")
    wanted: dict[str, Any] = dict(file.engine.values) | dict(flags)
    device = hardware.choose_device(str(wanted.get("device", "auto")))
    if file.complete:
        for key in _lost(file, flags, device):
            log(f"without {key.replace('_', '-')} of {file.origin}, which ran on {file.engine.values.get('device')}")
            del wanted[key]
    origins = {
        key: FLAG if key in flags else file.origin if key in wanted else DEFAULT for key in engine_config.CHOICES
    }
    for key in engine_config.CUDA_ONLY:
        if wanted.get(key) and device.type != "cuda":
            name = key.replace("_", "-") if key in flags else f"{file.origin}: engine: {key}"
            raise UsageError(name, None, f"needs a CUDA device, and this run is on {device}")
    defaults = {} if file.complete else _defaults(device)
    chosen = Engine(
        device=str(device),
        device_name=hardware.device_name(device),
        threads=hardware.choose_threads(_threads(wanted.get("threads"), flags, file.origin, log), alone=alone),
        calibration=wanted.get("calibration") if file.complete else None,
        **{
            key: wanted.get(key, defaults.get(key, getattr(Engine, key)))
            for key in ("precision", *engine_config.SWITCHES)
        },
    )
    return Choice(chosen, origins, file.complete)


def _defaults(device: torch.device) -> dict[str, object]:
    on_cuda = device.type == "cuda"
    return {
        "precision": hardware.default_precision(device),
        "channels_last": on_cuda,
        "tf32": on_cuda and hardware.has_tf32(device),
    }


def _lost(file: TrainRequest, flags: Mapping[str, object], device: torch.device) -> list[str]:
    """What served an earlier run's kind of device and would not serve this one's."""
    was = str(file.engine.values.get("device", "")).partition(":")[0]
    if device.type in (was, "cuda"):
        return []
    return [key for key in (*engine_config.CUDA_ONLY, "compile") if file.engine.values.get(key) and key not in flags]


def _threads(wanted: Any, flags: Mapping, origin: str, log: Log) -> int | None:
    """The number asked for; of a file's at most as many as there are cores."""
    cores = hardware.usable_cores()
    if "threads" not in flags and isinstance(wanted, int) and wanted > cores:
        log(f"{cores} threads instead of the {wanted} of {origin}; last digits may differ")
        return cores
    return wanted

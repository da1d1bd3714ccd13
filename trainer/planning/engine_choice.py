"""The engine of a run before anything is measured: flags over the file over what suits the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import UsageError, counted
from ..batches import placement
from ..common.progress import Log
from ..config import engine_config
from ..config.engine_config import Engine
from ..config.machine_share import MachineShare
from ..config.recipe import Recipe
from ..data.datasets import DataSet
from ..devices import gpus, hardware

FLAG = "flag"
DEFAULT = "default"


@dataclass(frozen=True)
class WantedEngine:
    """Values of engine.CHOICES that are asked for: ``flags`` for this run, ``file`` where the flags say nothing.

    ``origin`` is the name of the file; ``complete``: it is a run.json, the engine of an earlier run. The two are kept
    apart, because what an earlier run's device could do may be impossible here.
    """

    flags: Mapping[str, object] = field(default_factory=dict)
    file: Mapping[str, object] = field(default_factory=dict)
    origin: str = ""
    complete: bool = False


@dataclass(frozen=True)
class Choice:
    """``origins`` says of each value where it comes from: FLAG, the name of a file, DEFAULT, or a variable's name.

    ``complete``: it is the engine of an earlier run, in which nothing is left to choose.
    """

    engine: Engine
    origins: Mapping[str, str]
    complete: bool = False

    @property
    def fixed(self) -> frozenset[str]:
        """The fields that somebody asked for."""
        return frozenset(key for key, origin in self.origins.items() if origin != DEFAULT)


def place(wanted: WantedEngine, share: MachineShare, log: Log) -> Choice:
    """Choose the engine on the devices and with the cores of its share; what else uses these devices is told."""
    if share.devices:
        wanted = dataclasses.replace(wanted, flags={**wanted.flags, "device": share.devices[0]})
    choice = choose(wanted, alone=share.alone, log=log)
    threads = choice.engine.threads
    if "threads" not in choice.fixed:
        threads = max(1, threads // share.sharing)
    devices = share.devices if len(share.devices) > 1 else ()
    engine = dataclasses.replace(choice.engine, devices=devices, threads=threads)
    _log_devices(engine, wanted, log)
    return dataclasses.replace(choice, engine=engine)


def _log_devices(chosen: Engine, wanted: WantedEngine, log: Log) -> None:
    """Say whose processes are on the GPUs, and that an earlier run had more of these."""
    for device in chosen.devices or (chosen.device,):
        if line := gpus.occupants(torch.device(device)):
            log(line)
    before = wanted.file.get("devices")
    if isinstance(before, list | tuple) and before and not chosen.devices:
        log(f"{wanted.origin} was trained by {len(before)} processes; --devices {len(before)} does so again")


def with_images(choice: Choice, data: DataSet, recipe: Recipe, log: Log) -> Choice:
    """Keep the images in main memory where the device has no room for them and nobody decided it; tell it to ``log``."""
    device = torch.device(choice.engine.device)
    if choice.complete or "data_on_device" in choice.fixed or placement.fits(data.train, recipe, device):
        return choice
    size = placement.size(data.train, recipe) / 1e9
    log(f"the images ({size:.1f} GB) stay in main memory, from where each batch is copied to {device}")
    return dataclasses.replace(choice, engine=dataclasses.replace(choice.engine, data_on_device=False))


def choose(wanted: WantedEngine, *, alone: bool, log: Log) -> Choice:
    """Resolve the fields of engine.CHOICES. UsageError for what cannot be."""
    flags, origin = wanted.flags, wanted.origin
    for key, value in flags.items():
        engine_config.check(key, value, "")
    values: dict[str, Any] = {**wanted.file, **flags}
    device = hardware.choose_device(str(values.get("device", "auto")))
    if wanted.complete:
        for key in _lost(wanted, device):
            log(f"without {key.replace('_', '-')} of {origin}, which ran on {wanted.file.get('device')}")
            del values[key]
    origins = {key: FLAG if key in flags else origin if key in values else DEFAULT for key in engine_config.CHOICES}
    if values.get("threads") is None and hardware.environment_threads():
        origins["threads"] = hardware.THREADS_VARIABLE
    for key in engine_config.CUDA_ONLY:
        if values.get(key) and device.type != "cuda":
            name = key.replace("_", "-") if key in flags else f"{origin}: engine: {key}"
            raise UsageError(name, None, f"needs a CUDA device, and this run is on {device}")
    defaults = {} if wanted.complete else _defaults(device)
    chosen = Engine(
        device=str(device),
        device_name=hardware.device_name(device),
        threads=hardware.choose_threads(_threads(values.get("threads"), flags, origin, log), alone=alone),
        calibration=values.get("calibration") if wanted.complete else None,
        **{
            key: values.get(key, defaults.get(key, getattr(Engine, key)))
            for key in ("precision", *engine_config.SWITCHES)
        },
    )
    return Choice(chosen, origins, wanted.complete)


def _defaults(device: torch.device) -> dict[str, object]:
    on_cuda = device.type == "cuda"
    return {
        "precision": hardware.default_precision(device),
        "channels_last": on_cuda,
        "tf32": on_cuda and hardware.has_tf32(device),
    }


def _lost(wanted: WantedEngine, device: torch.device) -> list[str]:
    """Return what served an earlier run's kind of device and would not serve this one's."""
    was = str(wanted.file.get("device", "")).partition(":")[0]
    if device.type in (was, "cuda"):
        return []
    return [key for key in (*engine_config.CUDA_ONLY, "compile") if wanted.file.get(key) and key not in wanted.flags]


def _threads(wanted: Any, flags: Mapping, origin: str, log: Log) -> int | None:
    """Return the number asked for; of a file's at most as many as there are cores."""
    cores = hardware.usable_cores()
    if "threads" not in flags and isinstance(wanted, int) and wanted > cores:
        log(f"{counted(cores, 'thread')} instead of the {wanted} of {origin}; last digits may differ")
        return cores
    return wanted

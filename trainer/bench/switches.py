"""The speed-ups of the engine, each of which can be turned the other way while the rest stays as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..config.engine_config import Engine
from ..devices import hardware
from ..loop.trainer import Session
from . import ours
from .canonical import Loader


@dataclass(frozen=True)
class Switch:
    """One speed-up, ``title``. ``used``: the engine has it on, and the variant is without it; otherwise it is with it.

    ``variant`` says so in words, ``engine`` is that of the variant, and ``change`` what is done to its session.
    """

    key: str
    title: str
    variant: str
    used: bool
    engine: Engine
    change: Callable[[Session], Session] = lambda session: session


def switches(engine: Engine, fused: bool, loader: Callable[[], Loader]) -> list[Switch]:
    """Return those that mean something on the engine's device. ``fused``: its optimiser has a fused kernel.

    TF32 is not among them: it is set for the whole process, so that loops could not take turns.
    """
    device = torch.device(engine.device)
    found = [_resident_data(engine, loader)]
    if fused:
        title = "the fused optimiser"
        found.append(Switch("fused-optimizer", title, f"without {title}", True, engine, ours.without_fused_kernels))
    title = "not waiting for metrics"
    found.append(Switch("no-waiting", title, "metrics fetched at every step", True, engine, ours.with_waiting))
    if engine.precision != "fp32" or hardware.has_bf16(device):
        found.append(_precision(engine))
    found.append(_flag(engine, "channels_last", "channels last"))
    # Compiling takes long, and on a CPU it seldom pays: there it is only measured where it is in use.
    if engine.compile or device.type == "cuda":
        found.append(_flag(engine, "compile", "torch.compile"))
    if device.type == "cuda":
        found.append(_flag(engine, "cuda_graphs", "CUDA graphs"))
    return found


def _resident_data(engine: Engine, loader: Callable[[], Loader]) -> Switch:
    return Switch(
        "resident-data",
        "keeping the images in memory",
        "images from the DataLoader",
        True,
        engine,
        lambda session: ours.with_a_loader(session, loader()),
    )


def _flag(engine: Engine, key: str, title: str) -> Switch:
    used = bool(getattr(engine, key))
    other = dataclasses.replace(engine, **{key: not used})
    return Switch(key.replace("_", "-"), title, f"{'without' if used else 'with'} {title}", used, other)


def _precision(engine: Engine) -> Switch:
    used = engine.precision != "fp32"
    precision = "fp32" if used else "bf16"
    title = engine.precision if used else precision
    return Switch("precision", title, f"in {precision}", used, dataclasses.replace(engine, precision=precision))

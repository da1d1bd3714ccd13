"""How long a run will take and whether it fits, before it begins: a few batches are timed, the memory is worked out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ...models.catalogue import registry
from ...models.own import outside
from ..batches import placement
from ..common.number_text import about, speed
from ..config.engine_config import Engine
from ..config.run_config import NetworkConfig, RunConfig
from ..data.datasets import DataSet
from ..devices import hardware
from . import step_memory
from .step_memory import RunMemory
from .trial import Trial, TrialTiming, undisturbed

TIMED_S = 0.1
"""Seconds of the timed steps."""

LONG_EPOCH_S = 3600.0
"""An epoch that takes longer makes a network too big for its device: nobody waits for a curve of days."""

GIGABYTE = 1e9


@dataclass(frozen=True)
class Estimate:
    """Seconds of training and evaluation, and images per second in training.

    ``timed_batch`` is the number of images in the timed steps, fewer than the run's where those take very long.
    ``memory``: bytes of an update, and ``evaluation_memory``: of a batch of an evaluation, which takes fewer images at a
    time where they do not fit; None if unknown.
    """

    seconds_per_epoch: float
    seconds: float
    images_per_s: float
    timed_batch: int
    memory: int | None = None
    evaluation_memory: int | None = None

    def words(self) -> str:
        """Return the forecast in half a line."""
        return (
            f"about {about(self.seconds_per_epoch)} an epoch and {about(self.seconds)} in all "
            f"({speed(self.images_per_s)} images/s)"
        )


def from_timing(
    config: RunConfig, timing: TrialTiming, memory: int | None = None, evaluation_memory: int | None = None
) -> Estimate:
    """Return what the seconds of one step mean for the whole run, its evaluations and the final test included."""
    data, recipe = config.data, config.recipe
    images_per_s = timing.batch / timing.step_s
    epoch = data.train // recipe.batch_size * recipe.batch_size / images_per_s + data.validation * timing.evaluation_s
    total = recipe.epochs * epoch + data.test * timing.evaluation_s
    return Estimate(epoch, total, images_per_s, timing.batch, memory, evaluation_memory)


def memory_needed(config: RunConfig) -> RunMemory | None:
    """Return the memory of a run on one device, from an update without memory; None for networks that do not run there.

    Each of several processes also holds a copy of the gradients, which is exchanged.
    """
    try:
        needed = step_memory.memory_of_run(config)
    except Exception:  # whatever a network does with a tensor without values
        return None
    exchanged = needed.gradients if config.engine.devices else 0
    return replace(needed, update=needed.update + exchanged, evaluation=needed.evaluation + exchanged)


def resident_images(config: RunConfig, data: DataSet, device: torch.device) -> int:
    """Return the bytes of the images that are kept on the device beside the network."""
    if device.type == "cpu" or not config.engine.data_on_device:
        return 0
    return placement.size(data.train, config.recipe)


@dataclass(frozen=True)
class Forecast:
    """The estimate and its timing, None where nothing could be timed, and warnings in whole lines.

    ``free_memory`` in bytes is that of the device before anything was built.
    """

    estimate: Estimate | None
    warnings: tuple[str, ...]
    timing: TrialTiming | None = None
    free_memory: int = 0

    def faster(self, config: RunConfig, gain: float) -> Forecast:
        """Return the forecast for steps that are ``gain`` times as fast."""
        if self.timing is None or self.estimate is None:
            return self
        timing = replace(self.timing, step_s=self.timing.step_s / gain)
        memory = self.estimate.memory, self.estimate.evaluation_memory
        return _forecast_of(config, from_timing(config, timing, *memory), timing, self.free_memory)


def forecast(config: RunConfig, data: DataSet) -> Forecast:
    """Time a few steps of a throw-away copy of the run and say what speaks against training it here.

    Where the memory does not suffice nothing is timed. A network that fails in training is not reported here: its run says
    why.
    """
    device, ranks = hardware.choose_device(config.engine.device), max(1, len(config.engine.devices))
    # Of several processes each works off its part of a batch; what their exchange of gradients costs is not counted.
    recipe = replace(config.recipe, batch_size=config.recipe.batch_size // ranks)
    part = replace(config, recipe=recipe)
    needed, free = memory_needed(part), hardware.free_memory(device)
    images = resident_images(config, data, device)
    if needed is not None and needed.update + images > free:
        return Forecast(None, (_too_large(config, needed.update + images, free),), free_memory=free)
    try:
        with undisturbed(device):
            timing = Trial(_uncompiled(part), data).timing(TIMED_S)
    except Exception:  # whatever a network raises in training: its run, which says why, will meet it again
        return Forecast(None, ())
    whole = replace(timing, batch=timing.batch * ranks, evaluation_s=timing.evaluation_s / ranks)
    memory = (needed.update, needed.evaluation) if needed else (None, None)
    return _forecast_of(config, from_timing(config, whole, *memory), whole, free)


def _uncompiled(config: RunConfig) -> RunConfig:
    """Return a copy without compilation, which would take longer than all the rest of the timing."""
    return replace(config, engine=replace(config.engine, compile=False))


def _forecast_of(config: RunConfig, estimate: Estimate, timing: TrialTiming, free: int) -> Forecast:
    warnings = (_too_slow(config, estimate),) if estimate.seconds_per_epoch > LONG_EPOCH_S else ()
    return Forecast(estimate, warnings, timing, free)


def _too_large(config: RunConfig, needed: int, free: int) -> str:
    engine, recipe = config.engine, config.recipe
    where = "of main memory" if engine.device == "cpu" else f"of {engine.device}"
    line = (
        f"{config.network.name} needs about {needed / GIGABYTE:.1f} GB for batches of {recipe.batch_size}, "
        f"and {free / GIGABYTE:.1f} GB {where} are free"
    )
    advice = smaller(config.network)
    return f"{line}; --set accumulate={2 * recipe.accumulate} works them off in parts{advice and f', or {advice}'}"


def _too_slow(config: RunConfig, estimate: Estimate) -> str:
    network = config.network
    line = f"{network.name} is too big for {_place(config.engine)}: {estimate.words()}"
    advice = smaller(network)
    return f"{line}; {advice}" if advice else line


def _place(engine: Engine) -> str:
    return "this CPU" if engine.device == "cpu" else engine.device_name or engine.device


def smaller(network: NetworkConfig) -> str:
    """Return what to train instead: the stem for small images where it was not taken, else a smaller network of the
    family.
    """
    if outside.is_outside(network.name):
        return ""
    variant = registry.find(network.name)
    if variant.small_stem is not None and network.stem != "small":
        return "--stem small is meant for small images"
    own = variant.counts(network.stem).macs
    family = [other for other in registry.variants().values() if other.family == variant.family]
    lighter = [other for other in family if 0 < other.counts(network.stem).macs <= own / 4]
    if not lighter:
        return ""
    best = max(lighter, key=lambda other: other.counts(network.stem).macs)
    return f"{best.name} is a smaller one of its family"

"""Turns a request into a complete run directory: network and stem, data, recipe, engine.

Everything that can be wrong is found out here, before a run exists and before a detached one leaves the terminal: names,
values, the data (downloaded and decoded where it must be), whether the network can be built for these images.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from ... import settings
from ...errors import counted
from ...models.anatomy import counting
from ...models.anatomy.outside import traced
from ..config.engine_config import Engine
from ..config.machine_share import MachineShare
from ..config.request import TrainRequest
from ..config.run_config import RunConfig
from ..data.datasets import DataSet
from ..devices import process_group
from ..optim import fine_tuning
from ..runs import deleted_runs
from ..runs.ids import new_id
from ..runs.lock import RunLock
from ..runs.run_writer import RunWriter
from ..weights import initialise, weight_files
from . import engine_choice, fitted_network, images, networks, output_check, recipe_choice
from .asked import Asked, read_file
from .engine_choice import Choice

Log = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """A resolved request: the configuration of the run, and what is known about how it came about.

    ``origins`` says of each value of the recipe where it comes from: "default", "data set", "images" (made to fit their
    number), the name of a note or file, or "flag"; ``choice`` says the same of the engine. ``remarks`` are the lines that
    were said.
    """

    config: RunConfig
    data: DataSet
    origins: Mapping[str, str]
    choice: Choice
    remarks: tuple[str, ...] = ()


def plan(request: TrainRequest, log: Log, share: MachineShare = MachineShare()) -> Plan:  # noqa: B008 - it is frozen
    """Resolve a request for one network; what a person should know is told to ``log``.

    Raises UsageError naming the field at fault, WorkError where the data cannot be had.
    """
    remarks: list[str] = []

    def remark(line: str) -> None:
        remarks.append(line)
        log(line)

    asked = Asked(request, read_file(request, remark))
    for line in asked.unusual():
        remark(line)
    return dataclasses.replace(_resolve(asked, share, remark), remarks=tuple(remarks))


def _resolve(asked: Asked, share: MachineShare, log: Log) -> Plan:
    """Resolve one thing after the other; of several mistakes a person hears of the one that is found first here."""
    network = networks.find(asked.network, asked.stored)
    networks.check_stem(network, asked.network, asked.stem)
    source = initialise.find(asked.weights, network.variant, asked.runs_folder, log)
    stem, size = initialise.stem_and_size_of(source, asked.stem, asked.image_size)
    info = images.describe(asked.images, network, stem, size)
    layers = asked.recipe_layers(recipe_choice.of_network(network.variant), recipe_choice.of_weights(source))
    recipe = recipe_choice.choose(layers, info.name, source, flags_only=asked.repeats_a_run, log=log)
    choice = engine_choice.place(asked.engine, share, log)
    checkpoints = asked.checkpoints
    built = fitted_network.fit(network, info, source, stem, size, log)
    output_check.check(network, built.config(network, len(info.classes)), info.name, log)
    data = images.load(asked.images, info, log)
    fitted = recipe_choice.fit(recipe, data, log)
    config = built.config(network, len(data.classes))
    config = initialise.with_weights(config, source, data.classes, fitted, log)
    recipe_choice.check_loss(recipe, config)
    ranks = max(share.ranks, len(choice.engine.devices))
    process_group.check_batch(fitted.batch_size, ranks)
    output_check.check_single_image(config, fitted, ranks)
    choice = engine_choice.with_images(choice, data, fitted, log)
    run = RunConfig(config, images.config_of(asked.images, data), fitted, choice.engine, asked.seed, checkpoints)
    return Plan(run, data, recipe_choice.origins(recipe, fitted, info.name), choice)


def create(
    config: RunConfig, runs: Path, argv: Sequence[str], more: Mapping[str, object] | None = None
) -> tuple[Path, RunLock]:
    """Make the run directory in the state *queued*; returns it with its lock, held. WorkError where that fails.

    ``more`` are further keys of run.json. What has been in the bin for long enough is deleted first: it makes room.
    """
    deleted_runs.empty_old(runs)
    run_id = new_id(config.network.name, config.data.name, datetime.now(UTC))
    versions = {"cnn_explorer": settings.VERSION, "torch": str(torch.__version__), "python": platform.python_version()}
    lock = RunLock.acquire(runs / run_id)
    try:
        words = networks.named(argv, config.network.name)
        values = {"argv": words} | config.to_dict() | {"versions": versions} | dict(more or {})
        with networks.kept(config.network.own, runs / run_id), RunWriter.create(runs, run_id, values, lock):
            return runs / run_id, lock
    except BaseException:
        lock.release()
        raise


def _where(chosen: Engine) -> str:
    """Return the devices, precision where it is not fp32, what is switched on, and threads."""
    count, kinds = len(chosen.devices), sorted(set(chosen.devices))
    devices = f"{count} processes on {' '.join(kinds)}" if chosen.devices else chosen.device
    precision = [] if chosen.precision == "fp32" else [chosen.precision]
    switched_on = [key.replace("_", "-") for key in ("channels_last", "compile", "cuda_graphs") if getattr(chosen, key)]
    threads = f"{counted(chosen.threads, 'thread')}{' each' if count else ''}"
    return ", ".join([devices, *precision, *switched_on, threads])


def _parameters(config: RunConfig) -> str:
    """Return how many parameters the network has, and how many of them learn where the backbone is frozen."""
    network, first = config.network, config.network.pretrained
    if config.recipe.freeze != "backbone" or first is None:
        return f"{network.parameters:,} parameters"
    built = traced.built(network.name, lambda: weight_files.build(network))
    fine_tuning.freeze(built, first.newly_initialised)
    return f"{counting.count_trainable(built):,} of {network.parameters:,} parameters learn"


def summary(config: RunConfig) -> str:
    """Return what will be trained, on what and how, in one line."""
    network, data, plan = config.network, config.data, config.recipe
    steps = data.train // plan.batch_size
    return (
        f"{network.name} ({_parameters(config)}) on {data.name}: {data.train:,} images to train on, "
        f"{data.validation:,} to validate, {data.test:,} to test; {plan.optimizer}, lr {plan.lr:g} {plan.schedule}, "
        f"{counted(plan.epochs, 'epoch')} of {counted(steps, 'step')} of {plan.batch_size}; {_where(config.engine)}"
    )

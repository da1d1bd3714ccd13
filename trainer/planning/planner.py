"""From what a person asked for to a run directory that lacks nothing: network and form, data, recipe, engine.

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

from ... import __version__, settings
from ...errors import UsageError
from ...models.anatomy import counting
from ...models.catalogue import registry
from ...models.own.outside import is_outside
from ..config.engine_config import Engine
from ..config.request import Placement, TrainRequest
from ..config.run_config import DataConfig, NetworkConfig, RunConfig
from ..config.weights_source import WeightsRequest
from ..data import dataset_info, datasets
from ..data.dataset_info import DataInfo
from ..data.datasets import DataSet
from ..devices import process_group
from ..runs.ids import new_id
from ..runs.lock import RunLock
from ..runs.run_writer import RunWriter
from ..weights import initialise
from ..weights.initialise import Source
from . import engine_choice, networks as outside, recipe_choice
from .asked import Asked, read_file
from .engine_choice import Choice

SMALL_IMAGES = 64
"""Up to this side images are small: a network with a layout for such images is built in that one."""

Log = Callable[[str], None]


@dataclass(frozen=True)
class ResolvedLayout:
    """The layout in which a network is built, and for which image sizes."""

    stem: str | None
    image_size: int
    parameters: int


@dataclass(frozen=True)
class Plan:
    """A resolved request: the configuration of the run, and what is known about how it came about.

    ``origins`` says of each value of the recipe where it comes from: "default", "data set", "pictures" (made to fit their
    number), the name of a note or file, or "flag"; ``choice`` says the same of the engine. ``remarks`` are the lines that
    were said.
    """

    config: RunConfig
    data: DataSet
    origins: Mapping[str, str]
    choice: Choice
    remarks: tuple[str, ...] = ()


def plan(request: TrainRequest, log: Log, placement: Placement = Placement()) -> Plan:  # noqa: B008 - it is frozen
    """Resolve a request for one network; what a person should know is told to ``log``.

    Raises UsageError naming the field at fault, WorkError where the data cannot be had.
    """
    remarks: list[str] = []

    def remark(line: str) -> None:
        remarks.append(line)
        log(line)

    return dataclasses.replace(_plan(request, placement, remark), remarks=tuple(remarks))


def _plan(request: TrainRequest, placement: Placement, log: Log) -> Plan:
    asked = Asked(request, read_file(request, log))
    outsider = outside.find(asked.network, asked.stored) if is_outside(asked.network) else None
    variant = outsider.variant if outsider is not None else registry.find(asked.network)
    stem, size = asked.stem, asked.image_size
    if outsider is not None and stem in ("small", "imagenet"):
        raise UsageError("stem", stem, f"is for networks of the catalogue; {asked.network} has one layout")
    folder = settings.data_folder(request.data.folder)
    source = _source(asked.weights, request.run.runs, variant, log)
    if source is not None:
        stem, size = initialise.form_of(source, stem, size)

    info = _describe(asked.dataset, variant, stem, size, folder)
    resolved = recipe_choice.choose(asked, info.name, variant, source, log)
    choice = engine_choice.place(asked, placement, log)
    kept = asked.checkpoints
    if source is not None and source.channels is not None and source.channels > info.channels:
        log(f"grey images become {source.channels} equal channels, which is what the weights expect")
        info = dataclasses.replace(info, channels=source.channels)
    if outsider is not None:
        info, layout = _fit(outsider, info, size, log)
    else:
        layout = _layout(variant, info, stem, size, log)
    data = datasets.load(
        info.name,
        folder,
        settings.cache_folder(),
        image_size=info.size,
        validation=asked.held_out,
        seed=asked.seed,
        log=log,
    )
    fitted = recipe_choice.fit(resolved, data, log)
    network = NetworkConfig(
        variant.name, layout.stem, info.channels, layout.image_size, len(data.classes), layout.parameters
    )
    if outsider is not None:
        network = dataclasses.replace(network, own=outsider.own)
    if source is not None:
        begin = initialise.resolve(source, network, data.classes, log)
        network = dataclasses.replace(network, pretrained=begin)
        initialise.check_learning(fitted, begin, network)
    recipe_choice.check_loss(resolved, network)
    process_group.check_batch(fitted.batch_size, max(placement.ranks, len(choice.engine.devices)))
    choice = engine_choice.with_images(choice, data, fitted, log)
    config = RunConfig(network, _data(data, folder, asked.held_out), fitted, choice.engine, asked.seed, kept)
    return Plan(config, data, recipe_choice.origins(resolved, fitted, info.name), choice)


def _source(asked: WeightsRequest, runs: Path | None, variant: registry.Variant, log: Log) -> Source | None:
    """The weights that the run begins with, None where they are drawn."""
    return initialise.find(asked, variant, settings.runs_folder(runs), log) if asked.kind else None


def _describe(dataset: str, variant: registry.Variant, stem: str, size: int | None, folder: Path) -> DataInfo:
    """The data set; images of one's own are scaled to the size of the network's form where no size is given."""
    if dataset.startswith(dataset_info.FOLDER) and size is None:
        paper = variant.paper_form.input[1]
        small = stem != "imagenet" and (variant.small_form is not None or paper <= SMALL_IMAGES)
        size = dataset_info.DEFAULT_IMAGE_SIZE if small else paper
    return dataset_info.describe(dataset, folder, size)


def _layout(variant: registry.Variant, info: DataInfo, stem: str, size: int | None, log: Log) -> ResolvedLayout:
    """The layout that fits the images, tried out on the meta device; said where it is not the obvious one."""
    if stem == "small" and variant.small_form is None and variant.paper_form.input[1] > SMALL_IMAGES:
        raise UsageError("stem", stem, f"does not exist for {variant.name}, which has the paper's stem only")
    small = stem == "small" or (stem == "auto" and (size or info.size) <= SMALL_IMAGES)
    chosen = None if variant.small_form is None else "small" if small else "imagenet"
    own = variant.paper_form.input[1]
    wanted = size or (own if stem == "imagenet" else info.size)
    layout = _try(variant, info, chosen, wanted, fall_back=None if size else own)
    if chosen == "small" and stem == "auto":
        log(f"{variant.name}: the stem for small images; --stem imagenet takes the paper's")
    _tell_size(info, layout, log)
    return layout


def _fit(outsider: outside.Outside, info: DataInfo, size: int | None, log: Log) -> tuple[DataInfo, ResolvedLayout]:
    """The images that a network from outside the catalogue takes; said where they are others than the data's."""
    fit = outside.fit(outsider, info, size)
    if fit.channels != info.channels:
        log(f"grey images become {fit.channels} equal channels, which is what {outsider.variant.name} takes")
        info = dataclasses.replace(info, channels=fit.channels)
    layout = ResolvedLayout(None, fit.image_size, fit.parameters)
    _tell_size(info, layout, log)
    return info, layout


def _tell_size(info: DataInfo, layout: ResolvedLayout, log: Log) -> None:
    if layout.image_size != info.size:
        log(f"images are resized from {info.size}×{info.size} to {layout.image_size}×{layout.image_size} on the device")


def _try(
    variant: registry.Variant, info: DataInfo, stem: str | None, size: int, fall_back: int | None
) -> ResolvedLayout:
    """Build the network without memory and send a shape through it; at its own size where the images' is too small."""
    try:
        network = counting.on_meta(
            lambda: registry.build(
                variant.name,
                form="small" if stem == "small" else "paper",
                num_classes=len(info.classes),
                in_channels=info.channels,
                image_size=size,
            )
        ).eval()
        with torch.no_grad():
            network(torch.empty((2, info.channels, size, size), device="meta"))
        return ResolvedLayout(stem, size, counting.count_parameters(network))
    except UsageError:
        raise
    except (ValueError, RuntimeError) as error:
        if fall_back is not None and fall_back > size:
            return _try(variant, info, stem, fall_back, None)
        raise UsageError("image-size", size, f"does not work for {variant.name}: {error}") from None


def _data(data: DataSet, folder: Path, held_out: float | None) -> DataConfig:
    counts = (len(data.train), len(data.validation), len(data.test))
    return DataConfig(data.name, *counts, data.classes, data.image_size, str(folder), held_out)


def create(
    config: RunConfig, runs: Path, argv: Sequence[str], more: Mapping[str, object] | None = None
) -> tuple[Path, RunLock]:
    """Make the run directory in the state *queued*; returns it with its lock, held. WorkError where that fails.

    ``more`` are further keys of run.json.
    """
    run_id = new_id(config.network.name, config.data.name, datetime.now(UTC))
    versions = {"cnn_explorer": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
    lock = RunLock.acquire(runs / run_id)
    try:
        words = outside.named(argv, config.network.name)
        values = {"argv": words} | config.to_dict() | {"versions": versions} | dict(more or {})
        with outside.kept(config.network.own, runs / run_id), RunWriter.create(runs, run_id, values, lock):
            return runs / run_id, lock
    except BaseException:
        lock.release()
        raise


def _where(chosen: Engine) -> str:
    """Devices, precision where it is not fp32, what is switched on, and threads."""
    count, kinds = len(chosen.devices), sorted(set(chosen.devices))
    devices = f"{count} processes on {' '.join(kinds)}" if chosen.devices else chosen.device
    precision = [] if chosen.precision == "fp32" else [chosen.precision]
    switched_on = [key.replace("_", "-") for key in ("channels_last", "compile", "cuda_graphs") if getattr(chosen, key)]
    threads = f"{chosen.threads} {'thread' if chosen.threads == 1 else 'threads'}{' each' if count else ''}"
    return ", ".join([devices, *precision, *switched_on, threads])


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def summary(config: RunConfig) -> str:
    """What will be trained, on what and how, in one line."""
    network, data, plan = config.network, config.data, config.recipe
    steps = data.train // plan.batch_size
    return (
        f"{network.name} ({network.parameters:,} parameters) on {data.name}: {data.train:,} images to train on, "
        f"{data.validation:,} to validate, {data.test:,} to test; {plan.optimizer}, lr {plan.lr:g} {plan.schedule}, "
        f"{_counted(plan.epochs, 'epoch')} of {_counted(steps, 'step')} of {plan.batch_size}; {_where(config.engine)}"
    )

"""From a configuration to a trained and tested network: loading, building, resuming, training, the one test."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ... import settings
from ...errors import WorkError, counted
from ...models.catalogue import registry
from ..batches import class_balance, placement
from ..batches.batches import InputTransform, TrainingBatches
from ..common import rng
from ..common.json_safe import short
from ..common.number_text import percent
from ..common.out_of_memory import is_out_of_memory, release
from ..config.recipe import Recipe
from ..config.run_config import RunConfig
from ..data import datasets
from ..data.datasets import DataSet
from ..devices import hardware, process_group
from ..devices.process_group import ALONE, Group
from ..optim import fine_tuning
from ..optim.build import Average, build_optimizer
from ..runs.run_writer import RunWriter
from ..runs.tail import newest_metrics
from ..weights import checkpoint, initialise, weight_files
from .checkpointer import Checkpointer, NullCheckpointer
from .compile_warmup import warm_up
from .evaluate import Evaluation
from .reporter import Report
from .train_step import Updater, autocast
from .trainer import Session, Stopped, Trainer

StopWanted = Callable[[], bool]


def train(config: RunConfig, writer: RunWriter, report: Report, stop_wanted: StopWanted, group: Group = ALONE) -> None:
    """Bring the run to its end from where it stands. Raises Stopped, Diverged, UsageError, WorkError."""
    device = hardware.choose_device(process_group.device_of(group, config.engine.device, config.engine.devices))
    report.status(state="starting", phase="loading data")
    data = _load_in_turn(config, report, group)
    _unless_stopped(stop_wanted, group)
    job = Job(config, data, device, writer, report, stop_wanted, group)
    shortage = _attempt(job, None)
    while shortage is not None:
        release()
        shortage = _attempt(job, shortage)


@dataclass(frozen=True)
class Job:
    """What stays the same over all attempts to train a run; ``group`` is this process among its ranks."""

    config: RunConfig
    data: DataSet
    device: torch.device
    writer: RunWriter
    report: Report
    stop_wanted: StopWanted
    group: Group


@dataclass(frozen=True)
class Shortage:
    """Memory did not suffice in step ``step`` (from 1), with the batch of ``images`` in ``parts``."""

    step: int
    parts: int
    images: int

    @property
    def next_parts(self) -> int:
        """In how many parts to try it next. Raises WorkError when they hold one image each already."""
        if self.parts >= self.images:
            raise WorkError(
                f"out of memory at step {self.step}, with one image at a time: a smaller network or --image-size helps"
            )
        return min(2 * self.parts, self.images)

    @property
    def split(self) -> str:
        """The next parts in words, as they will be: a batch of 12 in 8 parts makes ``6 parts of 2``."""
        size = self.next_size
        return f"{math.ceil(self.images / size)} parts of {'up to ' if self.images % size else ''}{size}"

    @property
    def next_size(self) -> int:
        """Images in the largest of the next parts."""
        return math.ceil(self.images / self.next_parts)


def _attempt(job: Job, before: Shortage | None) -> Shortage | None:
    """Train from where the run stands to the end, and test; or, where memory does not suffice, say where that was.

    ``before`` is how the attempt before ended. Nothing of the attempt is referred to when it is over, so its memory can be
    given back.
    """
    report, checkpoints, group = job.report, job.writer.checkpoints, job.group
    report.status(state="starting", phase="building the network")
    begun = group.broadcast_object(checkpoints.last.exists() or checkpoints.previous.exists())
    session = build_session(job.config, job.data, job.device, group, begun=begun)
    checkpointer = (Checkpointer if group.first else NullCheckpointer)(checkpoints, report, job.config.checkpoints)
    trainer = Trainer(session, report, checkpointer, job.stop_wanted)
    _go_on(trainer, job.writer, report, job.device)
    if before is not None:
        _take_smaller_parts(trainer, checkpointer, report, before)
    _unless_stopped(job.stop_wanted, group)
    try:
        warm_up(session, job.config.engine, report, trainer.step)
        trainer.run()
    except Exception as error:
        # Of several ranks one may lack memory and the others not: they cannot be asked, as they wait for its gradients.
        if group.world > 1 or not is_out_of_memory(error):
            raise
        return Shortage(trainer.step + 1, session.updater.accumulate, session.recipe.batch_size)
    if not trainer.ended_early:
        report.status(progress=1.0)
    _test(trainer, job.data, checkpointer, report)
    return None


def _take_smaller_parts(trainer: Trainer, checkpointer: Checkpointer, report: Report, shortage: Shortage) -> None:
    """Compute the batch in more parts from here on, log it, and write it into a checkpoint for a resumed run."""
    network = trainer.session.network
    trainer.session.updater.accumulate = shortage.next_parts
    said = f"out of memory at step {shortage.step}: {shortage.split} instead of {shortage.images} at once"
    report.event("batch_split", said, trainer.step)
    normed = any(name.endswith("running_mean") for name, _ in network.named_buffers())
    remark = (
        f", but batch norm takes its statistics from {counted(shortage.next_size, 'image')} at a time" if normed else ""
    )
    report.log(f"{said}, from step {trainer.step:,} on; a step is still that of the whole batch{remark}")
    checkpointer.save(trainer.state, trainer.step)


def _unless_stopped(stop_wanted: StopWanted, group: Group = ALONE) -> None:
    """Raise Stopped where this process, or any rank of the group, was asked to stop."""
    if group.all_reduce_max(stop_wanted())[0]:
        raise Stopped


def _load_in_turn(config: RunConfig, report: Report, group: Group) -> DataSet:
    """Return the data set; of the ranks on one host the first decodes it, and the others find its copy."""
    if group.world == 1:
        return load_data(config, report.log)
    data = load_data(config, report.log) if group.local_rank == 0 else None
    group.all_reduce_max(0)
    return data or load_data(config, report.log)


def load_data(config: RunConfig, log: Callable[[str], None]) -> DataSet:
    """Return the data set of a run; WorkError where it is no longer the one that the run began with."""
    wanted = config.data
    data = datasets.load(
        wanted.name,
        Path(wanted.folder),
        settings.cache_folder(),
        image_size=wanted.size if wanted.name.startswith("folder:") else None,
        validation=wanted.held_out,
        seed=config.seed,
        classes=wanted.classes,
        log=log,
    )
    for part in ("train", "validation", "test"):
        now, then = len(getattr(data, part)), getattr(wanted, part)
        if now != then:
            raise WorkError(f"data set {wanted.name}: has changed since the run began: {part} {now:,}, was {then:,}")
    if data.classes != wanted.classes:
        raise WorkError(f"data set {wanted.name}: has other classes than when the run began")
    return data


def build_network(config: RunConfig) -> nn.Module:
    """Return the network with its initial weights, which follow from the seed, on the CPU; UsageError where it cannot
    be built.
    """
    rng.begin(config.seed)
    return weight_files.build(config.network)


def build_session(
    config: RunConfig, data: DataSet, device: torch.device, group: Group = ALONE, *, begun: bool = False
) -> Session:
    """Return the network, optimiser, batches and all that belongs to them, at the start of the run.

    ``begun``: there is a checkpoint with the weights, so those that the run began with are not needed any more.
    """
    recipe, engine = config.recipe, config.engine
    hardware.configure_gpu(device, engine.tf32)
    network = build_network(config)
    first = config.network.pretrained
    loads_weights = first is not None and not begun
    if loads_weights and group.first:  # the file may be on this host alone
        initialise.load_initial_weights(network, config.network)
    newly_initialised = first.newly_initialised if first is not None else ()
    if recipe.freeze == "backbone":
        fine_tuning.freeze(network, newly_initialised)
    scales = fine_tuning.rate_scales(network, recipe, newly_initialised)
    mean, std = (first.mean, first.std) if first is not None and first.mean else (data.mean, data.std)
    if len(mean) == 1:  # grey images get as many equal channels as the network takes
        mean, std = tuple(mean) * config.network.in_channels, tuple(std) * config.network.in_channels
    layout = torch.channels_last if engine.channels_last else torch.contiguous_format
    network = network.to(device, memory_format=layout)  # pyright: ignore[reportCallIssue] torch declares no memory_format beside a device
    if loads_weights:
        group.broadcast_parameters(network)
    input_transform = InputTransform(mean, std, config.network.image_size, device, engine.channels_last)
    average = Average(network, copy.deepcopy(network), recipe.ema) if recipe.ema else None
    precision = autocast(engine.precision, device, cache=not engine.cuda_graphs)
    scaler = torch.amp.GradScaler(device.type) if engine.precision == "fp16" else None
    on_device = engine.data_on_device and placement.fits(data.train, recipe, device)
    batches = TrainingBatches(
        data.train, input_transform, recipe, config.seed, len(data.classes), group, on_device=on_device
    )
    optimizer = build_optimizer(network, recipe, scales)
    # Of a person's own network it is not known whether each of its parameters gets a gradient.
    forward = group.wrapped(network, partly_used=not registry.comes_with_the_program(config.network.name))
    weights = _class_weights(recipe, data, device)
    updater = Updater(network, optimizer, recipe, precision, average, scaler, forward, batches.share, weights)
    facts = {
        "network": config.network.to_dict(),
        "classes": list(data.classes),
        "mean": list(mean),
        "std": list(std),
    }
    parts = (
        network,
        updater,
        batches,
        data.validation,
        input_transform,
        recipe,
        len(data.classes),
        precision,
        facts,
        group,
    )
    return Session(*parts)


def _class_weights(recipe: Recipe, data: DataSet, device: torch.device) -> Tensor | None:
    counts = torch.bincount(data.train.labels, minlength=len(data.classes))
    weights = class_balance.class_weights(recipe, counts.tolist())
    return None if weights is None else torch.tensor(weights, device=device)


def _go_on(trainer: Trainer, writer: RunWriter, report: Report, device: torch.device) -> None:
    """Put the trainer where the newest whole checkpoint left it, and drop the records of what comes after."""

    def damaged(line: str) -> None:
        report.log(line)
        report.event("checkpoint_damaged", line, 0)

    group = trainer.session.group
    # Rank 0 reads, as the others may be on hosts that do not see the run directory; tensors travel in main memory.
    where = device if group.world == 1 else "cpu"
    state = group.broadcast_object(checkpoint.read_newest(writer.checkpoints, where, damaged) if group.first else None)
    began_before = newest_metrics(writer.path).train or state is not None
    if state is not None:
        try:
            trainer.restore(state)
        except Exception as error:  # a stranger's checkpoint may hold anything in any place
            if is_out_of_memory(error):
                raise
            raise WorkError(f"the checkpoint does not fit this run: {checkpoint.first_line(error)}") from None
    if began_before:
        report.forget_after(trainer.step)
        writer.drop_records_after(trainer.step)
        report.already_recorded(newest_metrics(writer.path))
        report.event("resumed", f"from step {trainer.step}", trainer.step)
        report.log(f"going on from step {trainer.step:,} of {trainer.total:,}")
        if state is not None and state["mean"] != trainer.session.facts["mean"]:
            # As many as before, of the same classes, or `load_data` would have refused them.
            line = "the images are no longer those that the run began with; it goes on with them as they are now"
            report.event("data_changed", line, trainer.step)
            report.log(line)


def _test(trainer: Trainer, data: DataSet, checkpointer: Checkpointer, report: Report) -> None:
    """Evaluate the best weights on the test split, once, and write down the result."""
    if not len(data.test):
        return
    report.status(state="testing", phase="test", eta_s=None)
    session = trainer.session
    network, epoch = session.updater.eval_model, trainer.epochs_done
    try:
        best = checkpointer.best(session.input_transform.device)
    except checkpoint.CheckpointError as error:
        report.log(f"{error}; the last weights are tested instead")
        report.event("checkpoint_damaged", str(error), trainer.step)
        best = None
    if best is not None:
        epoch = _take_best(network, best)
    session.group.broadcast_parameters(network)
    tta = session.recipe.tta
    evaluation = trainer.evaluate(network, data.test, mirrored=tta == "flip")
    report.record(_test_record(evaluation, trainer, epoch, report.time()) | {"tta": tta})
    report.status(test={"accuracy": evaluation.accuracy, "loss": short(evaluation.loss), "epoch": epoch})
    mirrored = ", images evaluated together with their mirror images" if tta == "flip" else ""
    report.log(f"test accuracy {percent(evaluation.accuracy)} with the weights of epoch {epoch}{mirrored}")


def _take_best(network: nn.Module, best: dict) -> float:
    """Load the best weights; returns their epoch. WorkError where they are of another network."""
    try:
        network.load_state_dict(best["model"])
        return float(best["epoch"]) if best["epoch"] % 1 else int(best["epoch"])
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise WorkError(f"best.pt does not fit this run: {checkpoint.first_line(error)}") from None


def _test_record(evaluation: Evaluation, trainer: Trainer, best_epoch: float, seconds: float) -> dict:
    return {
        "kind": "eval",
        "split": "test",
        "step": trainer.step,
        "epoch": trainer.epochs_done,
        "best_epoch": best_epoch,
        "time": round(seconds, 3),
        "loss": short(evaluation.loss),
        "accuracy": evaluation.accuracy,
        "per_class": evaluation.per_class,
        "confusion": evaluation.confusion,
    }

"""`cnn-explorer train`: one network or several, here or in a process of its own."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import typer

from ..errors import UsageError, WorkError
from . import train_devices as where
from . import train_options as options
from .narrate import say

JSON_SCHEMA = 1
INTERRUPTED = 130


def train(
    names: options.Names = None,
    dataset: options.Dataset = None,
    preset: options.Preset = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.Rate = None,
    optimizer: options.Optimizer = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    sam: options.Sam = None,
    schedule: options.Schedule = None,
    warmup: options.Warmup = None,
    label_smoothing: options.LabelSmoothing = None,
    class_weights: options.ClassWeights = None,
    sampling: options.Sampling = None,
    clip_norm: options.ClipNorm = None,
    ema: options.Ema = None,
    augment: options.Augment = None,
    no_augment: options.NoAugment = False,
    tta: options.Tta = None,
    assign: options.Assign = None,
    pretrained: options.Pretrained = None,
    weights: options.Weights = None,
    init_from: options.InitFrom = None,
    grow_from: options.GrowFrom = None,
    freeze: options.Freeze = None,
    backbone_lr: options.BackboneRate = None,
    layer_decay: options.LayerDecay = None,
    config: options.Config = None,
    seed: options.Seed = None,
    validation: options.Validation = None,
    stem: options.Stem = None,
    image_size: options.ImageSize = None,
    device: options.Device = None,
    devices: options.Devices = None,
    precision: options.Precision = None,
    channels_last: options.ChannelsLast = None,
    compile_it: options.Compile = None,
    cuda_graphs: options.CudaGraphs = None,
    tf32: options.Tf32 = None,
    data_on_device: options.DataOnDevice = None,
    threads: options.Threads = None,
    checkpoint_minutes: options.CheckpointMinutes = None,
    keep: options.Keep = None,
    calibrate: options.Calibrate = None,
    plan: options.Plan = False,
    find_lr: options.FindLr = False,
    detach: options.Detach = False,
    as_json: options.AsJson = False,
    runs: options.Runs = None,
    data: options.Data = None,
    run: options.RunId = None,
    lock_fd: options.LockFd = None,
    as_rank: options.AsRank = None,
) -> None:
    """Train networks. Ctrl-C writes a checkpoint; 'cnn-explorer runs resume last' goes on from there."""
    from ..settings import runs_folder
    from ..trainer.config.weights_source import wish
    from ..trainer.devices.process_group import ranked

    folder = runs_folder(runs)
    listed = devices.split(",") if devices else []
    if as_rank:
        raise typer.Exit(where.train_as_rank(as_rank, listed))
    if run:
        raise typer.Exit(_train_created(folder, run, lock_fd or [], listed))
    values = {
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "optimizer": optimizer,
        "momentum": momentum,
        "weight_decay": weight_decay,
        "sam": sam,
        "schedule": schedule,
        "warmup": warmup,
        "label_smoothing": label_smoothing,
        "class_weights": _class_weights(class_weights),
        "sampling": sampling,
        "clip_norm": clip_norm,
        "ema": ema,
        "augment": _augmentations(augment, no_augment),
        "freeze": freeze,
        "backbone_lr": backbone_lr,
        "layer_decay": layer_decay,
        "tta": tta,
    }
    given = {key: value for key, value in values.items() if value is not None} | _assigned(assign or [])
    wishes = {
        "dataset": dataset,
        "config": config,
        "preset": preset,
        "recipe": given,
        "stem": stem,
        "image_size": image_size,
        "validation": validation,
        "seed": seed,
        "device": device,
        "devices": devices,
        "precision": precision,
        "channels_last": channels_last,
        "compile": compile_it,
        "cuda_graphs": cuda_graphs,
        "tf32": tf32,
        "data_on_device": data_on_device,
        "threads": threads,
        "data": data,
        "checkpoints": {
            key: value for key, value in (("minutes", checkpoint_minutes), ("keep", keep)) if value is not None
        },
        "runs": folder,
        "start": wish({"pretrained": pretrained, "weights": weights, "init_from": init_from, "grow_from": grow_from}),
        "from_scratch": pretrained is False,
    }
    try:
        if find_lr:
            if plan or detach or ranked():
                hint = "trains nothing, so it goes neither with --plan nor with --detach nor under torchrun"
                raise UsageError("find-lr", None, hint)
            raise typer.Exit(_find_rates(names or [None], wishes, folder, calibrate, as_json))
        if plan:
            raise typer.Exit(_show_plans(names or [None], wishes, folder, calibrate, as_json))
        if ranked():
            raise typer.Exit(_train_in_ranks(names or [None], wishes, folder, detach, as_json))
        raise typer.Exit(_train_new(names or [None], wishes, folder, calibrate, detach, as_json))
    except KeyboardInterrupt:
        say("interrupted before the training began")
        raise typer.Exit(INTERRUPTED) from None


def _augmentations(names: str | None, none: bool) -> list[str] | None:
    if none and names:
        raise UsageError("no-augment", None, "contradicts --augment; give one of them")
    if none:
        return []
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def _class_weights(text: str | None) -> str | list[object] | None:
    """A name, or the numbers of a list; what is no number is left to the recipe to refuse."""
    if text is None or not any(sign in text for sign in ",0123456789"):
        return text
    return _assigned([f"weights=[{text}]"])["weights"]  # pyright: ignore[reportReturnType] a list in TOML, or text


def _assigned(pairs: list[str]) -> dict[str, object]:
    """``gamma=0.2`` as a key and a value in the manner of TOML; what is no TOML value is a text."""
    values: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError("set", pair, "must be KEY=VALUE")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def _train_created(folder: Path, run_ids: list[str], descriptors: list[int], devices: list[str]) -> int:
    """The detached process: train runs that exist already, with the locks that were handed down."""
    from ..trainer.launch import device_queue
    from ..trainer.launch.execute import execute_queue
    from ..trainer.runs.ids import check_id
    from ..trainer.runs.lock import RunLock

    paths = [folder / check_id(run_id) for run_id in run_ids]
    if descriptors and len(descriptors) != len(paths):
        raise UsageError("--lock-fd", len(descriptors), f"must be given once for each of the {len(paths)} runs")
    if descriptors:
        locks = [RunLock.from_fd(number, path) for number, path in zip(descriptors, paths, strict=True)]
    else:
        locks = [RunLock.acquire(path) for path in paths]
    if len(devices) > 1 and len(paths) > 1:
        return max(device_queue.train(paths, locks, devices, say=say, detached=True))
    return max(execute_queue(paths, locks, detached=True, devices=devices))


def _train_in_ranks(names: list, wishes: dict, folder: Path, detach: bool, as_json: bool) -> int:
    """torchrun has started this process as one of several."""
    from ..trainer.runs.reader import read_run, summary

    def create(names: list, wishes: dict) -> tuple:
        from ..trainer.launch import torchrun
        from ..trainer.planning import planner

        wishes = {key: value for key, value in wishes.items() if key != "devices"}
        made = planner.plan(planner.Request(network=names[0], **wishes), say)
        say(planner.summary(made.config))
        return planner.create(made.config, folder, sys.argv[1:], {"torchrun": torchrun.job()})

    code, path = where.train_under_torchrun(names, wishes, folder, detach, create)
    if path is not None and as_json:
        _print_json([summary(read_run(path))])
    elif path is not None:
        _print_results([read_run(path)])
    return code


def _plans(
    names: list, wishes: dict, folder: Path, calibrated: bool | None, *, alone: bool, measure: bool
) -> tuple[list, where.Spread]:
    """Resolve what was asked for, calibrate and time it: a list of (plan, forecast), and what goes to which device."""
    from ..trainer.devices.hardware import BUSY_CORES, OtherWork, set_waiting, usable_cores
    from ..trainer.launch.execute import is_alone

    others = OtherWork()
    alone = alone and is_alone(folder)
    set_waiting(wishes["threads"] or usable_cores(), alone=alone)
    from ..trainer.planning import (
        calibrate,  # bring torch: long enough to see what else the machine is doing
        planner,
    )

    busy = others.cores()
    crowded = alone and busy > BUSY_CORES
    wishes = dict(wishes)
    spread = where.spread(wishes.pop("devices"), wishes["device"], len(names))
    found = []
    for number, name in enumerate(names):
        asked = wishes | spread.of(number) | {"network": name, "alone": alone and not crowded}
        found.append(planner.plan(planner.Request(**asked), say))
    if crowded and usable_cores() > 1 and any("threads" not in plan.choice.fixed for plan in found):
        say(f"other programs keep {busy:.1f} cores busy, so one is left to them; --threads says otherwise")
    return [calibrate.settle(plan, say, wanted=calibrated, measure=measure) for plan in found], spread


def _find_rates(names: list, wishes: dict, folder: Path, calibrated: bool | None, as_json: bool) -> int:
    """`--find-lr`: the losses at growing rates, on stdout; nothing is written."""
    plans, _ = _plans(names, wishes, folder, calibrated, alone=True, measure=False)
    from ..trainer.planning import lr_finder
    from .find_lr import as_dict, as_text

    found = [(plan, lr_finder.range_test(plan.config, plan.data)) for plan, _ in plans]
    if as_json:
        _print_json([as_dict(*pair) for pair in found], "tests")
    else:
        _emit("\n".join(as_text(*pair) for pair in found))
    return 0


def _show_plans(names: list, wishes: dict, folder: Path, calibrated: bool | None, as_json: bool) -> int:
    """`--plan`: what would be trained, on stdout; nothing is written."""
    plans, _ = _plans(names, wishes, folder, calibrated, alone=True, measure=False)
    from ..trainer.planning import preview

    if as_json:
        _print_json([preview.as_dict(*pair) for pair in plans], "plans")
    else:
        _emit("\n\n".join("\n".join(preview.as_lines(*pair)) for pair in plans) + "\n")
    return 0


def _train_new(names: list, wishes: dict, folder: Path, calibrated: bool | None, detach: bool, as_json: bool) -> int:
    """Resolve all, create all, then train them here or in another process."""
    from ..trainer.runs.ids import run_names

    run_names(folder)  # tells of a folder that is none, before anything is decoded and timed
    plans, spread = _plans(names, wishes, folder, calibrated, alone=not detach, measure=True)
    from ..trainer.planning import planner

    for plan, forecast in plans:
        _introduce(plan, forecast, in_full=not detach and sys.stderr.isatty())
    created = []
    try:
        for plan, _ in plans:
            created.append(planner.create(plan.config, folder, sys.argv[1:]))
    except WorkError:
        _discard(created)
        raise
    paths, locks = [path for path, _ in created], [lock for _, lock in created]
    return (_detached if detach else _here)(paths, locks, spread.beside, as_json)


def _introduce(plan, forecast, in_full: bool) -> None:
    """What is going to be trained and how long that takes; ``in_full`` with the recipe and its learning-rate curve."""
    from ..trainer.planning import planner, preview

    say(planner.summary(plan.config))
    for line in preview.recipe_lines(plan) if in_full else []:
        say(line)
    if forecast.estimate is not None:
        say(forecast.estimate.words())
    for warning in forecast.warnings:
        say(f"warning: {warning}")


def _discard(created: list) -> None:
    """Take back the runs of a queue that could not be created as a whole."""
    from ..trainer.launch import spawn
    from ..trainer.runs.run_writer import RunWriter

    for path, lock in created:
        with RunWriter.open(path, lock) as writer:
            writer.status(state="failed", error="the queue could not be created", exit=1)
        lock.release()
        spawn.remove(path.parent, path.name)


def _detached(paths: list[Path], locks: list, beside: tuple[str, ...], as_json: bool) -> int:
    from ..trainer.launch import logout, spawn

    try:
        pid = spawn.spawn(paths, locks, devices=beside)
    except WorkError:
        _discard(list(zip(paths, locks, strict=True)))
        raise
    for path in paths:
        say(f"{path.name} is trained in process {pid}; 'cnn-explorer runs watch {path.name}' follows it")
    if line := logout.warning():
        say(f"warning: {line}")
    if as_json:
        _print_json([{"id": path.name, "path": str(path), "state": "queued"} for path in paths])
    else:
        for path in paths:
            _emit(path.name + "\n")
    return 0


def _here(paths: list[Path], locks: list, beside: tuple[str, ...], as_json: bool) -> int:
    from ..trainer.launch import device_queue
    from ..trainer.launch.execute import execute_queue
    from ..trainer.runs.reader import read_run, summary

    codes = device_queue.train(paths, locks, beside, say=say) if beside else execute_queue(paths, locks)
    found = [read_run(path) for path in paths if path.is_dir()]  # one that was taken out of the line may be removed
    if as_json:
        _print_json([summary(run) for run in found])
    else:
        _print_results(found)
    return INTERRUPTED if INTERRUPTED in codes else max(codes)


def _print_json(results: list[dict], several: str = "runs") -> None:
    """One result as it is, several as the list ``several``."""
    from ..trainer.common.json_safe import encode_json

    value = results[0] if len(results) == 1 else {several: results}
    _emit(encode_json({"schema": JSON_SCHEMA} | value, indent=1).decode())


def _print_results(found: list) -> None:
    """The last words on stdout: one line for one run, a table for a queue."""
    from ..trainer.common.number_text import percent
    from .runs_text import result

    if len(found) == 1:
        _emit(result(found[0]) + "\n")
        return
    rows = [("run", "state", "validation", "test")]
    rows += [(run.id, run.state, percent(run.best_accuracy, "-"), percent(run.test_accuracy, "-")) for run in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        _emit("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _emit(text: str) -> None:
    """Write to stdout. Where nobody is left to read it, the exit code still tells how the run ended."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the flush at the end does not fail as well

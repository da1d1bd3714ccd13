"""`cnn-explorer train`: one network or several, here or in a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import UsageError, WorkError
from . import train_devices
from .narrate import log
from .output import written_to

if TYPE_CHECKING:
    from ..trainer.config.machine_share import MachineShare
    from ..trainer.config.request import RunOptions, TrainRequest
    from ..trainer.planning.planner import Plan

JSON_SCHEMA = 1
INTERRUPTED = 130


def train(values: Mapping[str, Any]) -> None:
    """Do what the parsed options of `train` ask for."""
    from ..settings import runs_folder
    from .train_options import request_of

    listed = values["devices"].split(",") if values["devices"] else []
    if values["as_rank"]:
        draw = _training_plot() if values["plot"] else None
        raise typer.Exit(train_devices.train_as_rank(Path(values["as_rank"]), listed, draw))
    if values["run_ids"]:
        raise typer.Exit(
            _train_created(runs_folder(values["runs"]), values["run_ids"], values["lock_fds"] or [], listed)
        )
    request = request_of(values)
    output = None if values["output"] is None else Path(values["output"])
    if output is not None and not (request.run.plan or request.run.find_lr):
        raise UsageError("--output", str(output), "is for --plan and --find-lr; a training writes its run directory")
    _check_plot(request)
    with written_to(output, force=values["force"]):
        _do(request)


def _check_plot(request: TrainRequest) -> None:
    """Refuse --plot where nothing is trained in this process."""
    run = request.run
    if run.plot and (run.plan or run.find_lr):
        raise UsageError("--plot", None, "draws a training, and --plan and --find-lr train nothing")
    if run.plot and run.detach:
        raise UsageError(
            "--plot", None, "draws a training here, not with --detach; 'runs watch RUN --plot' draws that one"
        )


def _do(request: TrainRequest) -> None:
    """Train, plan or try learning rates, and leave with the exit code."""
    from ..trainer.devices.process_group import ranked

    try:
        if request.run.find_lr:
            if request.run.plan or request.run.detach or ranked():
                hint = "trains nothing, so it goes neither with --plan nor with --detach nor under torchrun"
                raise UsageError("find-lr", None, hint)
            raise typer.Exit(_find_rates(request))
        if request.run.plan:
            raise typer.Exit(_show_plans(request))
        if ranked():
            raise typer.Exit(_train_in_ranks(request))
        raise typer.Exit(_train_new(request))
    except KeyboardInterrupt:
        log("interrupted before the training began")
        raise typer.Exit(INTERRUPTED) from None


def _train_created(folder: Path, run_ids: list[str], descriptors: list[int], devices: list[str]) -> int:
    """Train runs that exist already, in the detached process, with the locks that were handed down."""
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
        return max(device_queue.train(paths, locks, devices, log=log, detached=True))
    return max(execute_queue(paths, locks, detached=True, devices=devices))


def _train_in_ranks(request: TrainRequest) -> int:
    """Train as one of several processes that torchrun has started."""
    from ..settings import runs_folder
    from ..trainer.runs.reader import read_run

    folder = runs_folder(request.run.runs)

    def create(share: MachineShare) -> tuple:
        from ..trainer.launch import torchrun
        from ..trainer.planning import planner, preview

        made = _planned(request, share)
        for line in (planner.summary(made.config), *preview.class_lines(made)):
            log(line)
        return planner.create(made.config, folder, sys.argv[1:], {"torchrun": torchrun.job()})

    draw = _training_plot() if request.run.plot else None
    code, path = train_devices.train_under_torchrun(request, folder, create, draw)
    if path is not None and request.run.plot:
        _print_plots([path], request.run)
    if path is not None and request.run.json:
        _print_runs([path])
    elif path is not None:
        _print_results([read_run(path)])
    return code


def _planned(request: TrainRequest, share: MachineShare) -> Plan:
    """Resolve a request for one network; a line tells of one whose own code runs for long."""
    from ..trainer.planning import planner
    from .long_runs import noted_while_planning

    with noted_while_planning(request.networks[0] if request.networks else "the network"):
        return planner.plan(request, log, share)


def _plans(request: TrainRequest, *, alone: bool, measure: bool) -> tuple[list, train_devices.DeviceAssignment]:
    """Resolve what was asked for, calibrate and time it: a list of (plan, forecast), and what goes to which device."""
    from ..models.catalogue.user_code import prints_dropped
    from ..settings import runs_folder
    from ..trainer.devices.hardware import BUSY_CORES, OtherWork, set_waiting, usable_cores
    from ..trainer.launch.execute import is_alone
    from ..trainer.runs.ids import run_names

    folder = runs_folder(request.run.runs)
    run_names(folder)  # reports a folder that is none, before anything is decoded and timed
    others = OtherWork()
    alone = alone and is_alone(folder)
    threads: Any = request.engine.values.get("threads")
    set_waiting(threads or usable_cores(), alone=alone)
    from ..trainer.planning import calibrate  # brings torch: long enough to see what else the machine is doing

    busy = others.cores()
    crowded = alone and busy > BUSY_CORES
    each = [request.of_network(name) for name in request.networks] or [request]
    device = request.engine.values.get("device")
    assignment = train_devices.assign_devices(
        request.engine.devices, None if device is None else str(device), len(each)
    )
    with prints_dropped():  # but for those of the first run, which tries the network
        found = [_planned(one, assignment.of(number, alone=alone and not crowded)) for number, one in enumerate(each)]
    if crowded and usable_cores() > 1 and any("threads" not in plan.choice.fixed for plan in found):
        log(f"other programs keep {busy:.1f} cores busy, so one is left to them; --threads says otherwise")
    wanted = request.engine.calibrate
    with prints_dropped():
        return [calibrate.resolve(plan, log, wanted=wanted, measure=measure) for plan in found], assignment


def _find_rates(request: TrainRequest) -> int:
    """Print the losses at growing rates (`--find-lr`); nothing is written."""
    plans, _ = _plans(request, alone=True, measure=False)
    from ..trainer.planning import lr_finder
    from . import find_lr

    found = [(plan, lr_finder.range_test(plan.config, plan.data)) for plan, _ in plans]
    if request.run.json:
        _print_json([find_lr.as_dict(*pair) for pair in found], "tests")
    else:
        _emit("\n".join(find_lr.as_text(*pair, sys.stdout) for pair in found))
    return 0


def _show_plans(request: TrainRequest) -> int:
    """Print what would be trained (`--plan`); nothing is written."""
    plans, _ = _plans(request, alone=True, measure=False)
    from ..trainer.planning import preview
    from . import plan_plot

    if request.run.json:
        _print_json([preview.as_dict(*pair) for pair in plans], "plans")
    else:
        texts = (preview.as_lines(plan, known, plan_plot.rate_lines(plan, sys.stdout)) for plan, known in plans)
        _emit("\n\n".join("\n".join(lines) for lines in texts) + "\n")
    return 0


def _train_new(request: TrainRequest) -> int:
    """Resolve all, create all, then train them here or in another process."""
    from ..settings import runs_folder

    folder, detach = runs_folder(request.run.runs), request.run.detach
    plans, assignment = _plans(request, alone=not detach, measure=True)
    from ..trainer.planning import planner

    for plan, forecast in plans:
        _print_plan(plan, forecast, in_full=not detach and sys.stderr.isatty())
    created = []
    try:
        for plan, _ in plans:
            created.append(planner.create(plan.config, folder, sys.argv[1:]))
    except WorkError:
        _discard(created)
        raise
    paths, locks = [path for path, _ in created], [lock for _, lock in created]
    return (_detached if detach else _here)(paths, locks, assignment.beside, request.run)


def _print_plan(plan, forecast, in_full: bool) -> None:
    """Print what will be trained and how long that takes; ``in_full`` with the recipe and its learning-rate curve."""
    from ..trainer.planning import planner, preview
    from . import plan_plot

    for line in (planner.summary(plan.config), *preview.class_lines(plan)):
        log(line)
    if in_full:
        for line in (*preview.recipe_lines(plan), *plan_plot.rate_lines(plan, sys.stderr, plan_plot.SMALL)):
            log(line)
    if forecast.estimate is not None:
        log(forecast.estimate.words())
    for warning in forecast.warnings:
        log(f"warning: {warning}")


def _discard(created: list) -> None:
    """Take back the runs of a queue that could not be created as a whole."""
    from ..trainer.runs import deleted_runs
    from ..trainer.runs.run_writer import RunWriter

    for path, lock in created:
        with RunWriter.open(path, lock) as writer:
            writer.status(state="failed", error="the queue could not be created", exit=1)
        lock.release()
        deleted_runs.remove(path.parent, path.name)


def _detached(paths: list[Path], locks: list, beside: tuple[str, ...], options: RunOptions) -> int:
    from ..trainer.launch import logout, spawn

    try:
        pid = spawn.spawn(paths, locks, devices=beside)
    except WorkError:
        _discard(list(zip(paths, locks, strict=True)))
        raise
    for path in paths:
        log(f"{path.name} is trained in process {pid}; 'cnn-explorer runs watch {path.name}' follows it")
    if line := logout.warning():
        log(f"warning: {line}")
    if options.json:
        _print_runs(paths)
    else:
        for path in paths:
            _emit(path.name + "\n")
    return 0


def _here(paths: list[Path], locks: list, beside: tuple[str, ...], options: RunOptions) -> int:
    from ..trainer.launch import device_queue
    from ..trainer.launch.execute import execute_queue
    from ..trainer.runs.reader import read_run

    draw = _training_plot() if options.plot else None
    codes = device_queue.train(paths, locks, beside, log=log) if beside else execute_queue(paths, locks, draw=draw)
    found = [read_run(path) for path in paths if path.is_dir()]  # one that was taken out of the line may be removed
    if options.plot:
        _print_plots([run.path for run in found], options)
    if options.json:
        _print_runs([run.path for run in found])
    else:
        _print_results(found)
    return INTERRUPTED if INTERRUPTED in codes else max(codes)


def _training_plot() -> Callable[[Path], str] | None:
    """Return what draws a training above its progress bar; None where there is no bar."""
    if not sys.stderr.isatty():
        return None
    from . import runs_plot

    return runs_plot.TrainingPlot()


def _print_plots(paths: list[Path], options: RunOptions) -> None:
    """Draw how the trainings went: on stdout, and on stderr where stdout carries JSON."""
    from . import runs_plot

    with contextlib.suppress(OSError):
        runs_plot.print_final(paths, sys.stderr if options.json else sys.stdout)


def _print_json(results: list[dict], several: str = "runs") -> None:
    """Print one result as it is, several as the list ``several``."""
    from ..trainer.common.json_safe import encode_json

    value = results[0] if len(results) == 1 else {several: results}
    _emit(encode_json({"schema": JSON_SCHEMA} | value, indent=1).decode())


def _print_runs(paths: list[Path]) -> None:
    """Print the runs as JSON: the keys of `runs --json`, and ``best`` and ``test``; several are the list ``runs``."""
    from ..trainer.runs.reader import read_run, summary

    results = []
    for run in map(read_run, paths):
        best = None if run.best_accuracy is None else {"accuracy": run.best_accuracy, "epoch": run.best_epoch}
        test = None if run.test_accuracy is None else {"accuracy": run.test_accuracy}
        results.append(summary(run) | {"best": best, "test": test})
    _print_json(results)


def _print_results(found: list) -> None:
    """Print the results on stdout: one line for one run, a table for a queue."""
    from ..trainer.common.number_text import percent
    from .runs_text import result

    if not found:  # its directory is gone, which was told
        return
    if len(found) == 1:
        _emit(result(found[0]) + "\n")
        return
    rows = [("run", "state", "validation", "test")]
    rows += [(run.id, run.state, percent(run.best_accuracy, "-"), percent(run.test_accuracy, "-")) for run in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        _emit("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _emit(text: str) -> None:
    """Write to stdout. Where no reader is left, the exit code still tells how the run ended."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the flush at the end does not fail as well

"""Runs a run directory to its end, whatever end that is: finished, stopped, diverged, failed. The state is always written.

Torch comes in only after the run has said that it is starting and signals are heard, and after the environment that its
libraries read while they are loaded is set.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import UsageError, WorkError, counted
from ...models.catalogue import user_code
from ..common import process, progress
from ..common.files import remove_leftovers
from ..common.out_of_memory import is_out_of_memory
from ..common.progress import Log, ProgressReporter
from ..config import run_config
from ..devices import hardware, process_group
from ..devices.process_group import ALONE, Group
from ..loop.reporter import Report
from ..runs import log_file, reader, requests, train_longer
from ..runs.lock import RunLock
from ..runs.null_writer import NullRunWriter
from ..runs.run_writer import RunWriter, read_config
from .queue import Queue
from .signals import INTERRUPTED, StopSignals


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: the state, the exit code, and one line on what went wrong."""

    state: str
    exit: int
    error: str | None = None


@dataclass(frozen=True)
class ExecutionContext:
    """In what circumstances a run is trained.

    ``devices`` overrides where run.json says that it is trained: one, or one for each of several ranks. ``launched``:
    local_ranks.py has started this rank, and knows better why another one is gone. ``draw`` returns a chart of a run that is
    shown above the progress bar.
    """

    signals: StopSignals
    log: Log | None = None
    detached: bool = False
    devices: tuple[str, ...] = ()
    group: Group = ALONE
    launched: bool = False
    draw: Callable[[Path], str] | None = None


def execute_run(
    path: Path, lock: RunLock, *, log: Log | None = None, detached: bool = False, devices: Sequence[str] = ()
) -> int:
    """Train the run in the directory ``path``, whose lock is held, from where it stands; returns the exit code.

    0: finished; 1: failed or diverged, the reason told in one line and the traceback of an error of the program in train.log
    alone; 130: stopped by a signal or through control/stop. On a terminal a progress bar is shown; elsewhere lines go
    to ``log`` (default: to stderr). ``devices`` are taken instead of those in run.json. The lock is let go at the end.
    """
    return execute_queue([path], [lock], log=log, detached=detached, devices=devices)[0]


def execute_queue(
    paths: Sequence[Path],
    locks: Sequence[RunLock],
    *,
    log: Log | None = None,
    detached: bool = False,
    devices: Sequence[str] = (),
    draw: Callable[[Path], str] | None = None,
) -> list[int]:
    """Train runs one after the other; returns their exit codes. ``draw`` returns a chart to show above the progress bar.

    A failed run does not keep the next one from starting. A signal stops the whole queue, except where control/stop says
    that only the run at hand was meant.
    """
    with StopSignals() as signals, Queue(paths, locks) as queue:
        context = ExecutionContext(signals, log, detached, tuple(devices), draw=draw)
        if detached:
            ignore_hangup()
        while (taken := queue.take()) is not None:
            place, path, lock = taken
            if detached:
                with contextlib.suppress(WorkError):  # the log of the run before serves as well
                    log_file.redirect_output(path)
            try:
                queue.codes[place] = _here_or_in_ranks(path, lock, context)
            finally:
                lock.release()
            if signals.wanted and requests.is_requested(path, requests.STOP):
                signals.wanted = None
    return [queue.codes[place] for place in range(len(paths))]


def ignore_hangup() -> None:
    """Prepare a detached process: ignore a closed terminal, and leave the processor to the person at the machine first."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    hardware.lower_priority()


def _here_or_in_ranks(path: Path, lock: RunLock, context: ExecutionContext) -> int:
    """Train in this process, or start one for each device where there are several."""
    config = _config(path)
    devices = context.devices or (config.engine.devices if config else ())
    if config is None or len(devices) < 2:
        return train_here(path, lock, context)
    from . import local_ranks

    threads = min(config.engine.threads, max(1, hardware.usable_cores() // len(devices)))
    with _log_file_of(path, wanted=not context.detached) as stream:
        log = progress.progress_reporter(context.log, stream).log
        return local_ranks.train(path, lock, devices, threads, context.signals, log, plot=context.draw is not None)


def _config(path: Path) -> run_config.RunConfig | None:
    """Return what run.json says; None where it cannot be used, which is told when the run is opened."""
    try:
        return run_config.from_dict(read_config(path), path)
    except WorkError:
        return None


def execute_rank(
    path: Path,
    lock: RunLock | None,
    group: Group,
    devices: Sequence[str] = (),
    *,
    launched: bool = False,
    draw: Callable[[Path], str] | None = None,
) -> int:
    """Train the run as one rank of a job of torch.distributed; returns the exit code, 0 for a stop as well.

    torchrun takes any other code for an accident: it would end, or start again, what has just written its checkpoint. Rank 0
    gives the lock and is the one that writes and speaks.
    """
    with StopSignals(patient=True) as signals:
        context = ExecutionContext(signals, None, log_file.is_log(path), tuple(devices), group, launched, draw)
        code = _accompany(path, context) if lock is None else train_here(path, lock, context)
        if code == 1:
            # The others may be gone, or wait for this one: nothing is said goodbye to.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        group.destroy()
        return 0


def _accompany(path: Path, context: ExecutionContext) -> int:
    """Train as a rank that is not the first: write and print nothing, unless an error is its own."""
    writer = NullRunWriter(path)
    outcome = _outcome(writer, Report(writer, ProgressReporter(lambda line: None)), context)
    if outcome.state == "failed" and outcome.error != process_group.LOST:
        progress.progress_reporter().log(f"cnn-explorer: rank {context.group.rank}: {outcome.error}")
    return outcome.exit


def train_here(path: Path, lock: RunLock, context: ExecutionContext) -> int:
    """Train the run in this process, to whatever end; returns the exit code. The lock stays held."""
    with _log_file_of(path, wanted=not context.detached) as stream:
        drawing = functools.partial(context.draw, path) if context.draw else None
        reporter = progress.progress_reporter(context.log, stream, drawing)
        try:
            writer = RunWriter.open(path, lock)
        except WorkError as error:
            reporter.log(f"cnn-explorer: {error}")
            return 1
        with writer:
            remove_leftovers(writer.checkpoints.folder)
            report = Report(writer, reporter)
            outcome = _outcome(writer, report, context)
            reporter.end()
            _write_end_state(path, report, outcome, quiet=context.launched and outcome.error == process_group.LOST)
            return outcome.exit


@contextlib.contextmanager
def _log_file_of(path: Path, *, wanted: bool) -> Iterator[BinaryIO | None]:
    """Open train.log for appending; None where the output of the process goes there already, or where that fails."""
    if not wanted:
        yield None
        return
    try:
        stream = _open_log(path)
    except OSError:
        yield None
        return
    with stream:
        yield stream


def _open_log(path: Path) -> BinaryIO:
    """Open the log without a buffer: what a full disk did not take is not tried again when the file is closed."""
    return open(path / log_file.LOG, "ab", buffering=0)


def _outcome(writer: RunWriter, report: Report, context: ExecutionContext) -> RunOutcome:
    """Train, and turn every way in which that can end into a state."""
    signals, group, launcher = context.signals, context.group, os.getppid()

    def stop_wanted() -> bool:
        # Ranks without their launcher would be looked after by nobody.
        return signals.wanted is not None or (group.world > 1 and os.getppid() != launcher)

    try:
        if group.all_reduce_max(stop_wanted() or report.requested(requests.STOP))[0]:
            return RunOutcome("stopped", INTERRUPTED)
        report.status(state="starting", phase="loading torch", exit=None, error=None)
        writer.keep_alive()
        config = run_config.from_dict(group.broadcast_object(writer.config), writer.path).on(context.devices)
        report.status(devices=config.engine.devices or (config.engine.device,))
        _configure_process(config.engine.threads, writer.path, report.log, context)
        from ..loop.session import train
        from ..loop.trainer import Diverged, Stopped

        try:
            train(config, writer, report, stop_wanted, group)
        except Stopped:
            return RunOutcome("stopped", INTERRUPTED)
        except Diverged as error:
            return RunOutcome("diverged", 1, _advice(str(error), config.recipe.lr, writer))
        return RunOutcome("finished", 0)
    except (UsageError, WorkError) as error:
        return RunOutcome("failed", 1, str(error))
    except Exception as error:
        if group.world > 1 and process_group.lost(error):
            return RunOutcome("failed", 1, process_group.LOST)
        _log_traceback(writer.path)
        return RunOutcome("failed", 1, _one_line(error))


def _configure_process(threads: int, path: Path, log: Callable[[str], None], context: ExecutionContext) -> None:
    """Set the threads that the run was configured with, because others change the last digits; fewer where cores lack."""
    cores = hardware.usable_cores()
    if context.group.world > 1:
        cores = max(1, cores // context.group.local_world)
    if threads > cores:
        there = f"there {'is' if cores == 1 else 'are'} {counted(cores, 'core')} here"
        log(f"{counted(cores, 'thread')} instead of {threads}, because {there}; last digits may differ")
    threads = min(threads, cores)
    hardware.set_waiting(threads, alone=not context.detached and is_alone(path.parent, path.name))
    hardware.use_threads(threads)


def is_alone(runs: Path, but: str = "") -> bool:
    """Return whether no run on this machine but ``but`` is being trained."""
    try:
        found = reader.list_runs(runs)
    except UsageError:
        return True
    busy = ("starting", "training", "testing")
    return not any(run.state in busy and run.id != but and run.host == process.host() for run in found)


def _advice(what: str, rate: float, writer: RunWriter) -> str:
    kept = (
        "the last good checkpoint is kept" if writer.checkpoints.last.exists() else "no checkpoint was written before"
    )
    return f"{what}; {kept}; a learning rate below {rate:g} usually helps: --lr {rate / 10:g}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return "out of memory: smaller parts of the batch help, --set accumulate=2, or a smaller --batch-size"
    where = user_code.place(error)
    return f"{type(error).__name__}: {text[:300]} ({f'{where}; ' if where else ''}traceback in {log_file.LOG})"


def _log_traceback(path: Path) -> None:
    with contextlib.suppress(OSError), _open_log(path) as stream:
        stream.write(traceback.format_exc().encode("utf-8", "replace"))


def fail(path: Path, lock: RunLock, error: str, context: ExecutionContext) -> None:
    """Write down that a run could not be begun."""
    with _log_file_of(path, wanted=not context.detached) as stream, RunWriter.open(path, lock) as writer:
        report = Report(writer, progress.progress_reporter(context.log, stream))
        _write_end_state(path, report, RunOutcome("failed", 1, error))


def _write_end_state(path: Path, report: Report, outcome: RunOutcome, *, quiet: bool = False) -> None:
    """Write the end state and tell it; ``quiet``: not the error."""
    written = report.status(state=outcome.state, phase="", eta_s=None, exit=outcome.exit, error=outcome.error)
    lost = report.end()
    if outcome.error and not quiet:
        report.log(f"cnn-explorer: run {path.name}: {outcome.state}: {outcome.error}")
    if outcome.state == "finished" and (command := train_longer.command(reader.read_run(path))):
        report.log(f"finished; '{command}' trains it longer")
    if outcome.state == "stopped":
        report.log(f"stopped; 'cnn-explorer runs resume {path.name}' goes on")
    if (lost or not written) and not report.is_gone():
        gone = f"{counted(lost, 'record')} {'is' if lost == 1 else 'are'} lost"
        report.log(f"the disk did not take everything: {gone}, the end state is {outcome.state}")

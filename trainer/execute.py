"""Runs a run directory to its end, whatever end that is: finished, stopped, diverged, failed. The state is always written.

Torch comes in only after the run has said that it is starting and signals are heard, and after the environment that its
libraries read while they are loaded is set.
"""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import UsageError, WorkError
from . import control, hardware, output, process, progress, reader, runconfig
from .files import remove_leftovers
from .lock import RunLock
from .outofmemory import is_out_of_memory
from .progress import Say
from .queue import Queue
from .report import Report
from .rundir import RunWriter
from .signals import INTERRUPTED, StopSignals


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the state, the exit code, and one line on what went wrong."""

    state: str
    exit: int
    error: str | None = None


def execute_run(path: Path, lock: RunLock, *, say: Say | None = None, detached: bool = False) -> int:
    """Train the run in the directory ``path``, whose lock is held, from where it stands; returns the exit code.

    0: finished; 1: failed or diverged, the reason told in one line and the traceback of an error of the program in train.log
    alone; 130: stopped by a signal or through control/stop. On a terminal a progress bar is shown; elsewhere lines go
    to ``say`` (default: to stderr). The lock is let go at the end.
    """
    return execute_queue([path], [lock], say=say, detached=detached)[0]


def execute_queue(
    paths: Sequence[Path], locks: Sequence[RunLock], *, say: Say | None = None, detached: bool = False
) -> list[int]:
    """Train runs one after the other; returns their exit codes.

    A failed run does not keep the next one from starting. A signal stops the whole queue, except where control/stop says
    that only the run at hand was meant.
    """
    with StopSignals() as signals, Queue(paths, locks) as queue:
        if detached:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            hardware.be_nice()
        while (taken := queue.take()) is not None:
            place, path, lock = taken
            if detached:
                with contextlib.suppress(WorkError):  # the log of the run before serves as well
                    output.redirect_output(path)
            try:
                queue.codes[place] = _execute(path, lock, say, signals, detached)
            finally:
                lock.release()
            if signals.wanted and control.is_requested(path, control.STOP):
                signals.wanted = None
    return [queue.codes[place] for place in range(len(paths))]


def _execute(path: Path, lock: RunLock, say: Say | None, signals: StopSignals, detached: bool) -> int:
    with _log(path, wanted=not detached) as log:
        narrator = progress.narrator(say, log)
        try:
            writer = RunWriter.open(path, lock)
        except WorkError as error:
            narrator.say(f"cnn-explorer: {error}")
            return 1
        with writer:
            remove_leftovers(writer.checkpoints.folder)
            report = Report(writer, narrator)
            outcome = _outcome(writer, report, signals, detached)
            narrator.end()
            _conclude(path, report, outcome)
            return outcome.exit


@contextlib.contextmanager
def _log(path: Path, *, wanted: bool) -> Iterator[BinaryIO | None]:
    """train.log for appending; None where the output of the process goes there already, or it cannot be opened."""
    if not wanted:
        yield None
        return
    try:
        log = _open_log(path)
    except OSError:
        yield None
        return
    with log:
        yield log


def _open_log(path: Path) -> BinaryIO:
    """Without a buffer: what a full disk did not take is not tried again when the file is closed."""
    return open(path / output.LOG, "ab", buffering=0)


def _outcome(writer: RunWriter, report: Report, signals: StopSignals, detached: bool) -> Outcome:
    """Train, and turn every way in which that can end into a state."""

    def stop_wanted() -> bool:
        return signals.wanted is not None

    if stop_wanted() or report.requested(control.STOP):
        return Outcome("stopped", INTERRUPTED)
    report.status(state="starting", phase="loading torch", exit=None, error=None)
    writer.keep_alive()
    try:
        config = runconfig.from_dict(writer.config)
        _settle(config.engine.threads, writer.path, report.say, detached)
        from .loop import Diverged, Stopped
        from .training import train

        try:
            train(config, writer, report, stop_wanted)
        except Stopped:
            return Outcome("stopped", INTERRUPTED)
        except Diverged as error:
            return Outcome("diverged", 1, _advice(str(error), config.recipe.lr, writer))
        return Outcome("finished", 0)
    except (UsageError, WorkError) as error:
        return Outcome("failed", 1, str(error))
    except Exception as error:
        _log_traceback(writer.path)
        return Outcome("failed", 1, _one_line(error))


def _settle(threads: int, path: Path, say: Callable[[str], None], detached: bool) -> None:
    """Threads as the run was configured with, because another number gives other last digits; fewer where cores lack."""
    cores = hardware.usable_cores()
    if threads > cores:
        say(f"{cores} threads instead of {threads}, because there are {cores} cores here; last digits may differ")
    threads = min(threads, cores)
    hardware.set_waiting(threads, alone=not detached and is_alone(path.parent, path.name))
    hardware.use_threads(threads)


def is_alone(runs: Path, but: str = "") -> bool:
    """Whether no run on this machine but ``but`` is being trained."""
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
    return f"{type(error).__name__}: {text[:300]} (traceback in {output.LOG})"


def _log_traceback(path: Path) -> None:
    with contextlib.suppress(OSError), _open_log(path) as log:
        log.write(traceback.format_exc().encode("utf-8", "replace"))


def _conclude(path: Path, report: Report, outcome: Outcome) -> None:
    """Write the end state and tell it."""
    written = report.status(state=outcome.state, phase="", eta_s=None, exit=outcome.exit, error=outcome.error)
    lost = report.end()
    if outcome.error:
        report.say(f"cnn-explorer: run {path.name}: {outcome.state}: {outcome.error}")
    if outcome.state == "stopped":
        report.say(f"stopped; 'cnn-explorer runs resume {path.name}' goes on")
    if lost or not written:
        report.say(f"the disk did not take everything: {lost} records are lost, the end state is {outcome.state}")

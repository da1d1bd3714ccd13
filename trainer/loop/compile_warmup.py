"""Before the first step: the network is compiled, or its kernels are recorded; on a GPU the libraries are loaded.

All of it runs on a batch of the run, and leaves weights, running statistics, gradients and random numbers as they were.
What cannot be compiled or recorded is trained without, which is said.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..batches.batches import evaluation_batches
from ..common import rng
from ..common.number_text import duration
from ..common.out_of_memory import is_out_of_memory
from ..config.engine_config import Engine
from ..optim.fine_tuning import train_mode
from .evaluate import evaluate
from .reporter import Report
from .trainer import Session

BACKEND = "inductor"
"""Of torch.compile."""

Log = Callable[[str], None]


def warm_up(session: Session, engine: Engine, report: Report, step: int, *, alone: bool = True) -> None:
    """Make the session ready for its first step as ``engine`` says; on a CPU that does not compile, that is nothing.

    ``alone``: what was compiled before in this process is done with. Errors for lack of memory are raised, as in a step.
    """
    compiled, recorded = engine.compile, engine.cuda_graphs and _can_record(session, report.log)
    if not compiled and session.input_transform.device.type != "cuda":
        return
    report.status(state="starting", phase="compiling" if compiled else "warming up")
    if compiled:
        report.log("compiling the network; that may take minutes")
    begun = time.monotonic()
    with _undisturbed(session):
        if compiled:
            compiled = _attempt("compiling", lambda: _compile(session, recorded, alone), _run_eagerly, report, step)
        elif recorded:
            _attempt("recording CUDA graphs", lambda: _record(session), lambda: _forget(session), report, step)
        _rehearse(session)
    if compiled:
        took = duration(time.monotonic() - begun)
        report.log(f"compiled in {took}")
        report.event("compiled", took, step)


def make_ready(session: Session, engine: Engine) -> None:
    """Compile or record as ``engine`` says, in a session that is thrown away, beside others; raises what goes wrong."""
    if engine.compile:
        _compile(session, engine.cuda_graphs, alone=False)
    elif engine.cuda_graphs:
        _record(session)


def _attempt(what: str, work: Callable[[], None], undo: Callable[[], None], report: Report, step: int) -> bool:
    """Return whether ``work`` succeeded; if not, it is undone and told in one line."""
    try:
        work()
    except Exception as error:
        undo()
        if is_out_of_memory(error):
            raise
        line = f"{what} failed, the run goes on without: {_in_short(error)}"
        report.log(line)
        report.event(f"{what.split()[0]}_failed", line, step)
        return False
    return True


def _in_short(error: Exception) -> str:
    """Return the first two lines: the compiler names itself in the one and the reason in the other."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join([f"{type(error).__name__}:", *lines[:2]])[:300]


def _can_record(session: Session, log: Log) -> bool:
    """Return whether CUDA graphs work here: their kernels overwrite gradients, which parts of a batch have to add up."""
    if session.updater.accumulate == 1 and session.group.world == 1 and session.recipe.sam == "none":
        return True
    log("without CUDA graphs: they work neither with a batch in parts, nor with SAM, nor with several devices")
    return False


def _compile(session: Session, graphs: bool, alone: bool) -> None:
    """Compile the network for the shapes of the run: training batches, whole batches of an evaluation.

    Other shapes, such as an evaluation's last batch, run as they are: each would cost a compilation of its own.
    """
    torch.compiler.set_stance("default")
    if alone:
        torch.compiler.reset()  # of the run before in the same process, whose networks would count against the limit
    options: dict = {"mode": "reduce-overhead"} if graphs else {}
    for network in _networks(session):
        network.compile(backend=BACKEND, dynamic=False, **options)
    _rehearse(session)
    if alone:
        torch.compiler.set_stance("eager_on_recompile")


def _run_eagerly() -> None:
    torch.compiler.set_stance("force_eager")


def _networks(session: Session) -> list[nn.Module]:
    """Return the network, and its moving average where there is one."""
    network, eval_model = session.network, session.updater.eval_model
    return [network] if eval_model is network else [network, eval_model]


def _record(session: Session) -> None:
    """Record the kernels of forward and backward pass; evaluations do not use them."""
    train_mode(session.network)
    images, _ = _batch(session)
    with session.precision():
        torch.cuda.make_graphed_callables(session.network, (images,), allow_unused_input=True)


def _forget(session: Session) -> None:
    """Drop the recorded forward pass, which stands before that of the class."""
    session.network.__dict__.pop("forward", None)


def _rehearse(session: Session) -> None:
    """Run a step without the optimiser's part, and the evaluation of a batch."""
    train_mode(session.network)
    session.updater.rehearse(*_batch(session))
    if len(session.validation):
        at_least = max(1, session.recipe.batch_size // session.group.world)
        batch = next(
            evaluation_batches(session.validation, session.input_transform, at_least, group=session.group), None
        )
        evaluated = [] if batch is None else [batch]
        try:
            evaluate(session.updater.eval_model, evaluated, session.num_classes, session.precision, session.group)
        except Exception as error:
            if session.group.world > 1 or not is_out_of_memory(error):
                raise  # of one process the evaluation itself finds out how many images there is memory for


def _batch(session: Session) -> tuple[Tensor, Tensor]:
    """Return the last batch of the first epoch: behind it no copy is under way, which would spoil a recording."""
    batches = session.batches
    return batches.batch(batches.epoch(0), batches.steps_per_epoch - 1)


@contextlib.contextmanager
def _undisturbed(session: Session) -> Iterator[None]:
    """Put buffers, random numbers and mode of the networks back to where they were."""
    device = session.input_transform.device
    numbers = rng.state(device)
    buffers = [(buffer, buffer.clone()) for network in _networks(session) for buffer in network.buffers()]
    training = session.network.training
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        session.network.train(training)
        rng.restore(numbers, device)

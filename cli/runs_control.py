"""`cnn-explorer runs stop`, `skip` and `resume`: what is asked of a training, or begun again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .narrate import log
from .output import AsJson
from .runs_options import Folder, RunId, Wait, find_run, name_of, print_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..trainer.runs.requests import Stop


def stop(
    context: typer.Context,
    run: RunId,
    keep_best: Annotated[
        bool, typer.Option("--keep-best", help="End the training here and evaluate the best weights on the test split.")
    ] = False,
    wait: Wait = False,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Ask a run to write a checkpoint and end.

    'runs resume' goes on from there.
    """
    from ..trainer.runs import requests

    path = find_run(context, run, runs)
    if keep_best:
        _ask(
            requests.request_finish, path, wait, "was asked to end its training and evaluate its best weights", as_json
        )
    else:
        _ask(requests.request_stop, path, wait, "was asked to stop", as_json)


def skip(context: typer.Context, run: RunId, wait: Wait = False, as_json: AsJson = False, runs: Folder = None) -> None:
    """Skip a run of a queue, waiting or in training.

    A waiting run is taken out; the one that is being trained ends, and the queue goes on with the next.
    """
    from ..trainer.runs import requests

    _ask(requests.skip, find_run(context, run, runs), wait, "was asked to leave its queue", as_json)


def _ask(request: Callable[[Path, float], Stop], path: Path, wait: bool, asked: str, as_json: bool) -> None:
    try:
        answer = request(path, float("inf") if wait else 0.0)
    except KeyboardInterrupt:
        log(f"{path.name} {asked}; no longer waiting for it")
        raise typer.Exit(130) from None
    log(f"{path.name} has ended" if answer.ended else f"{path.name} {asked}")
    if as_json:
        print_run(path, ended=answer.ended)


def resume(
    context: typer.Context,
    run: RunId,
    detach: Annotated[bool, typer.Option("--detach", help="Train in the background; return at once.")] = False,
    devices: Annotated[
        str | None, typer.Option(metavar="N|LIST|all", help="Devices other than before, each with a process.")
    ] = None,
    as_json: AsJson = False,
    runs: Folder = None,
) -> None:
    """Go on with a run from its last checkpoint.

    It may have been stopped, have failed or have crashed.
    """
    from ..trainer.devices.process_group import ranked
    from ..trainer.launch import logout, spawn
    from . import train_devices

    path = find_run(context, run, runs)
    if ranked():
        code, shown = train_devices.resume_under_torchrun(path)
        if shown is not None:
            _print_result(shown, as_json)
        raise typer.Exit(code)
    code = spawn.resume(path, detach=detach, devices=train_devices.assign_devices(devices, None, 1).devices)
    if detach:
        log(
            f"{path.name} goes on in the background; 'cnn-explorer runs watch {name_of(context, path, runs)}' follows it"
        )
        if line := logout.warning():
            log(f"warning: {line}")
    if detach and not as_json:
        print(path.name)
    else:
        _print_result(path, as_json)
    raise typer.Exit(code)


def _print_result(path: Path, as_json: bool) -> None:
    """Print how a run stands, in a line or as JSON."""
    from ..trainer.runs.reader import read_run
    from . import runs_text

    if as_json:
        print_run(path)
    else:
        print(runs_text.result(read_run(path)))

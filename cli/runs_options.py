"""What the commands of `cnn-explorer runs` share: how a run is named, where it lies, how it is printed as JSON."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .output import print_json

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run: its id, a unique beginning or ending of it, its tag, its directory, or 'last'."
    ),
]
Folder = Annotated[Path | None, typer.Option("--runs", metavar="FOLDER", help="Folder of the runs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when the run has ended.")]


def folder_of(context: typer.Context, given: Path | None) -> Path:
    """Return the folder of the runs: given behind the command, before it, or the usual one."""
    from ..settings import runs_folder

    return runs_folder(given or context.obj)


def find_run(context: typer.Context, run: str, given: Path | None) -> Path:
    """Return the run that a person means."""
    from ..trainer.runs.ids import resolve

    return resolve(folder_of(context, given), run)


def name_of(context: typer.Context, path: Path, given: Path | None) -> str:
    """Return how a command that is proposed names a run: by its id, outside the folder of the runs by its directory."""
    return path.name if path.parent == folder_of(context, given) else shlex.quote(str(path))


def print_run(path: Path, **more: object) -> None:
    """Print a run as JSON: the keys of `runs --json` and ``more``."""
    from ..trainer.runs.reader import read_run, summary

    print_json({"schema": 1} | summary(read_run(path)) | more)

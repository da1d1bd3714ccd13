"""`cnn-explorer runs export`: the records of a run, or its weights, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError, nearest
from .narrate import log
from .output import is_stdout, print_json
from .runs_options import Folder, RunId, find_run


def export(
    context: typer.Context,
    run: RunId,
    file_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="csv, tensorboard or safetensors.")
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="File or, for TensorBoard, folder (default: stdout, ID.safetensors, tensorboard/ID).",
        ),
    ] = None,
    which: Annotated[
        str, typer.Option("--checkpoint", metavar="NAME", help="best or last: whose weights safetensors get.")
    ] = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace what exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object about what was written.")] = False,
    runs: Folder = None,
) -> None:
    """Export the records of a run, or its weights.

    Records are written as CSV or TensorBoard events, weights as safetensors.
    """
    from ..trainer.common import output_file
    from ..trainer.export import records

    for option, given, choices in (
        ("--format", file_format, records.FORMATS),
        ("--checkpoint", which, ("best", "last")),
    ):
        if given not in choices:
            raise UsageError(option, given, f"is unknown; {nearest(given, choices)}")
    path = find_run(context, run, runs)
    target = output or records.default_target(path, file_format)
    if target is not None and is_stdout(target):
        if file_format != "csv":
            raise UsageError("--output", "-", f"is stdout, which takes csv alone; name a place for {file_format}")
        target = None
    if target is None and as_json:
        raise UsageError("--json", None, "needs --output: without it the CSV itself goes to stdout")
    if target is None:
        records.write_csv(path, sys.stdout)
        return
    checked = records.check_target(target, path, force=force, folder=file_format == "tensorboard")
    written: dict[str, object] = {}
    if file_format == "csv":
        written["records"] = records.save_csv(path, checked)
        log(f"{target}: {written['records']} records")
    elif file_format == "tensorboard":
        from ..trainer.export.tensorboard import write_events

        written["figures"] = write_events(path, checked)
        log(f"{target}: {written['figures']} figures; 'tensorboard --logdir {target.parent}' shows them")
    else:
        from ..trainer.weights.weight_files import export_weights

        written["checkpoint"] = which
        output_file.save(checked, export_weights(path, which))
        log(f"{target}: the {which} weights")
    if as_json:
        print_json({"schema": 1, "id": path.name, "format": file_format, "output": str(checked)} | written)

"""What the commands print on stdout: JSON in one manner, and into a file where one is named."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..trainer.common import output_file
from .narrate import log

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write into this file instead of stdout; - is stdout."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")]


def _show_tracebacks(wanted: bool) -> bool:
    global tracebacks_wanted
    tracebacks_wanted = wanted
    return wanted


tracebacks_wanted = False
"""Whether this command was asked for the whole traceback of an error in a network's own code."""
Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback", help="Show the whole traceback of an error in a network's own code.", callback=_show_tracebacks
    ),
]


def print_json(value: dict[str, Any], *, indent: int | None = 1) -> None:
    """Print a JSON object; NaN and infinities become null. ``indent`` None prints it as one line."""
    from ..trainer.common.json_safe import encode_json

    text = encode_json(value, indent=indent).decode()
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


@contextlib.contextmanager
def written_to(target: Path | None, *, force: bool) -> Iterator[None]:
    """Send what is printed on stdout into a file, which appears as a whole when all went well.

    UsageError, before anything is done, where the file exists and ``force`` is not given; WorkError where it cannot be
    written.
    """
    if target is None or is_stdout(target):
        if force and target is None:
            raise UsageError("--force", None, "replaces the file of --output, which is not given")
        yield
        return
    path = output_file.check_target(target, force=force)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    except typer.Exit as leaving:
        if leaving.exit_code:
            raise
        _save(path, printed.getvalue())
        raise
    _save(path, printed.getvalue())


def is_stdout(target: Path) -> bool:
    """Return whether a file named by a person is ``-``, the usual word for stdout."""
    return str(target) == "-"


def _save(path: Path, text: str) -> None:
    output_file.save(path, text.encode())
    log(f"written: {path}")

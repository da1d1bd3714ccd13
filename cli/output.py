"""What the commands print on stdout: JSON in one manner, and into a file where one is named."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError, WorkError
from .narrate import log

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write into this file instead of stdout.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file where it exists.")]


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
    if target is None:
        if force:
            raise UsageError("--force", None, "replaces the file of --output, which is not given")
        yield
        return
    path = target.expanduser().absolute()
    if path.is_dir():
        raise UsageError("--output", str(target), "is a folder")
    if not path.parent.is_dir():
        raise UsageError("--output", str(target), f"cannot be written: there is no folder {path.parent}")
    if path.exists() and not force:
        raise UsageError("--output", str(target), "exists; --force replaces it")
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


def _save(path: Path, text: str) -> None:
    from ..trainer.common.files import replace_file

    try:
        replace_file(path, text.encode(), sync=False)
    except OSError as error:
        raise WorkError(f"{path}: cannot be written: {error.strerror}") from None
    log(f"written: {path}")

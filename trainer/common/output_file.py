"""A file that a person names to be written: looked at before the work, and written as a whole after it."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import UsageError, WorkError
from ...settings import typed_path
from .files import remove_abandoned, replace_file, write_all


def check_target(target: Path, *, force: bool, folder: bool = False) -> Path:
    """Return ``target`` as an absolute path, if it may be written. UsageError where something would be lost.

    Nothing that exists is replaced without ``force``; ``folder`` says what is written. What is neither file nor folder,
    such as /dev/null or a pipe, holds nothing that could be lost.
    """
    path = typed_path(target, "--output")
    if is_stream(path):
        if folder:
            raise UsageError("--output", str(target), "is not a folder")
        return path
    if os.path.exists(path) and os.path.isdir(path) != folder:
        raise UsageError("--output", str(target), "is a file, not a folder" if folder else "is a folder")
    if not folder and not os.path.isdir(path.parent):
        raise UsageError("--output", str(target), f"cannot be written: there is no folder {path.parent}")
    if os.path.exists(path) and not force and not (folder and _is_empty(path)):
        raise UsageError("--output", str(target), "exists; --force replaces it")
    return path


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe or a socket: written into, never replaced by a file."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _is_empty(folder: Path) -> bool:
    try:
        return not os.listdir(folder)
    except OSError as error:
        raise UsageError("--output", str(folder), f"cannot be read: {error.strerror}") from None


def save(target: Path, contents: bytes) -> None:
    """Put ``contents`` into the file ``target``, as a whole or not at all; a link goes on to point to it. WorkError."""
    try:
        if is_stream(target):
            descriptor = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
            try:
                write_all(descriptor, contents)
            finally:
                os.close(descriptor)
        else:
            remove_abandoned(target.resolve())
            replace_file(target.resolve(), contents, sync=False)
    except OSError as error:
        raise WorkError(f"{target}: cannot be written: {error.strerror}") from None

"""Reading and replacing small files in a folder that other processes, and perhaps strangers, write as well."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
import time
from pathlib import Path

TEMPORARY = ".tmp"
ABANDONED_S = 3600


def open_regular(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """Return the descriptor of a regular file; a symbolic link, a pipe or a device raises OSError instead of being
    followed.

    Without ``O_NONBLOCK`` a pipe that someone named metrics.jsonl would hold the reader for ever.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def close_read(descriptor: int) -> None:
    """Close a file that was only read: where a broken disk lets that fail, nothing is lost."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Return the contents of a regular file; more than ``limit`` bytes raises OSError (EFBIG)."""
    descriptor = open_regular(path)
    try:
        parts, left = [], limit + 1
        size = os.fstat(descriptor).st_size
        while left > 0 and (part := os.read(descriptor, min(left, size + 1, 1 << 20))):
            parts.append(part)
            left -= len(part)
    finally:
        close_read(descriptor)
    if left <= 0:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return b"".join(parts)


def replace_file(path: Path, data: bytes, *, sync: bool) -> None:
    """Put ``data`` in the place of the file: a reader sees the old contents or the new, never a part.

    ``sync`` makes it survive a power loss as well; a heartbeat does not need that. Raises OSError, and the old file stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{TEMPORARY}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            write_all(descriptor, data)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    if sync:
        sync_folder(path.parent)


def remove_abandoned(path: Path) -> None:
    """Delete what killed writers of ``path``, a file or a folder, left beside it more than an hour ago.

    Nobody holds a lock here; what a writer at work has there is younger.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            beside = path.with_name(name)
            is_temporary = name.startswith(f".{path.name}.") and name.endswith(TEMPORARY)
            if is_temporary and time.time() - os.lstat(beside).st_mtime > ABANDONED_S:
                shutil.rmtree(beside) if os.path.isdir(beside) else os.unlink(beside)


def overwrite(path: Path, data: bytes) -> None:
    """Write ``data`` over the file's own blocks: works where a full disk leaves no room for a second copy."""
    descriptor = open_regular(path, os.O_WRONLY)
    try:
        write_all(descriptor, data)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: the kernel may take a part, and says why it takes no more only on the next call."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable; some network file systems refuse, and then there is nothing to be done."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed writer left behind; only the holder of the run's lock may do that.

    A folder that cannot be listed keeps them.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(".") and name.endswith(TEMPORARY):
                with contextlib.suppress(OSError):
                    os.unlink(folder / name)

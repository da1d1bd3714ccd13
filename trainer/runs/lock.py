"""Lock a run: the process that trains it, or is about to, holds the lock. The kernel frees it however that process ends.

flock(2) belongs to the open file description, which a parent and the child it hands the descriptor to share. So the
launcher can take the lock, start the trainer with ``pass_fds`` and close its own descriptor: it is never free in between.
A forked helper (a worker process, say) would share it too and keep a dead run alive; it closes the descriptor at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from ...errors import UsageError, WorkError
from ..common.files import open_regular

NAME = "lock"
RETRY_S = 0.02
# What a file system without flock answers: some network file systems, or NFS without its lock daemon.
_UNSUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL})


class RunLock:
    """A held lock. ``supported`` is False on a file system without flock: the run goes on, and readers go by heartbeat."""

    def __init__(self, descriptor: int, *, supported: bool = True) -> None:
        self._descriptor = descriptor
        self.supported = supported
        _held.add(self)

    @classmethod
    def acquire(cls, path: Path, wait_s: float = 2.0, *, create: bool = True) -> RunLock:
        """Take the lock of the run directory ``path``, which is made when it does not exist, unless ``create`` is False.

        Tries for ``wait_s`` seconds, because a reader's probe holds it for an instant. Raises WorkError when another
        process keeps it or the folder cannot be written.
        """
        deadline = time.monotonic() + wait_s
        while True:
            descriptor = _open(path, create)
            try:
                taken = _try_exclusive(descriptor)
            except WorkError:
                os.close(descriptor)
                raise
            if taken is not False and _is_current(descriptor, path):
                return cls(descriptor, supported=taken is not None)
            os.close(descriptor)
            if time.monotonic() >= deadline:
                raise WorkError(f"run {path.name}: another process holds its lock, so it is running or being changed")
            time.sleep(RETRY_S)

    @classmethod
    def from_fd(cls, descriptor: int, path: Path | None = None) -> RunLock:
        """Adopt a lock that the launcher took and handed down; with ``path``, the run directory it must belong to.

        Raises UsageError when the descriptor is not open or is no lock of that run, WorkError when another process holds it.
        """
        try:
            os.set_inheritable(descriptor, False)
            belongs = path is None or _is_current(descriptor, path)
        except (OSError, OverflowError, ValueError):
            raise UsageError("--lock-fd", descriptor, "is not an open file descriptor") from None
        if not belongs:
            raise UsageError("--lock-fd", descriptor, f"is not the lock of the run in {path}")
        taken = _try_exclusive(descriptor)
        if taken is False:
            raise WorkError("the lock that was handed down is held by another process")
        return cls(descriptor, supported=taken is not None)

    def fileno(self) -> int:
        """Return the descriptor, for ``pass_fds``; -1 once let go."""
        return self._descriptor

    @property
    def held(self) -> bool:
        """Whether this process still has the lock."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Free the lock: the run is over. Also ends the hold of children that inherited the descriptor."""
        if self._descriptor >= 0:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            except OSError:
                pass
            self.hand_over()

    def hand_over(self) -> None:
        """Close this process's descriptor only: the lock stays with the child that inherited it."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            _held.discard(self)
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


_held: set[RunLock] = set()


def _close_in_child() -> None:
    for lock in list(_held):
        lock.hand_over()


os.register_at_fork(after_in_child=_close_in_child)


def is_locked(path: Path | str) -> bool | None:
    """Return whether some process holds the lock of the run directory ``path``; None where that cannot be found out.

    The probe is a shared lock, so two readers never disturb each other, and nothing is created or written.
    """
    try:
        descriptor = open_regular(f"{path}/{NAME}")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # Closing would not free it while a process forked in this instant has the descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def _open(path: Path, create: bool) -> int:
    try:
        if create:
            path.mkdir(parents=True, exist_ok=True)
        return open_regular(path / NAME, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise WorkError(f"run directory {path}: cannot be locked: {error.strerror}") from None


def _try_exclusive(descriptor: int) -> bool | None:
    """Return True when taken, False when another holds it, None where the file system has no such locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise WorkError(f"the lock of the run cannot be taken: {error.strerror}") from None
    return True


def _is_current(descriptor: int, path: Path) -> bool:
    """Return whether the open file is still the one named ``lock``: the run may have been removed while we waited."""
    opened = os.fstat(descriptor)
    try:
        named = os.stat(path / NAME, follow_symlinks=False)
    except OSError:
        return False
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)

"""Writes a run directory, which docs/run-directory.md describes. One process writes, any number of others read.

Nothing here need end a training: a full disk raises :class:`DiskFull`, any other refusal :class:`RunWriteError`, the
files stay whole, and the caller can go on and try again with the next record.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...errors import WorkError
from ..common import process
from ..common.files import open_regular, overwrite, read_bytes, remove_leftovers, replace_file, sync_folder
from ..common.json_safe import encode_json, encode_record
from .annotations import Notes, read_notes, write_notes
from .ids import check_id
from .lock import RunLock
from .states import ENDED

__all__ = ["CheckpointPaths", "DiskFull", "Notes", "RunGone", "RunWriteError", "RunWriter", "checkpoint_paths"]
__all__ += ["read_config", "read_notes", "timestamp", "write_notes"]

SCHEMA = 1
LARGEST_JSON = 16 << 20
HEARTBEAT_S = 15.0
_KEPT = re.compile(r"epoch-(\d{4,9})\.pt")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class RunWriteError(WorkError):
    """A file of the run directory could not be written; what was there before still stands."""


class DiskFull(RunWriteError):
    """There is no room left (or a quota or size limit is reached); a later attempt may succeed."""


@dataclass(frozen=True)
class CheckpointPaths:
    """Where the checkpoints of a run are: the newest, the one before it, and the best on the validation split."""

    folder: Path
    last: Path
    previous: Path
    best: Path

    def of_epoch(self, number: int) -> Path:
        """Return where the checkpoint made after an epoch is kept."""
        return self.folder / f"epoch-{number:04}.pt"

    def kept(self) -> list[tuple[int, Path]]:
        """Return the kept checkpoints that there are, with their epochs, oldest first; none where the folder cannot be
        read.
        """
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        numbers = (int(found[1]) for name in names if (found := _KEPT.fullmatch(name)))
        return sorted((number, self.of_epoch(number)) for number in numbers)


def checkpoint_paths(path: Path) -> CheckpointPaths:
    """Return the checkpoint files of the run directory ``path``; none of them need exist."""
    folder = path / "checkpoints"
    return CheckpointPaths(folder, folder / "last.pt", folder / "previous.pt", folder / "best.pt")


def timestamp(when: datetime | None = None) -> str:
    """Return ``when`` (now by default) as the files write it: UTC, milliseconds, ``2026-11-20T14:30:22.125Z``."""
    when = datetime.now(UTC) if when is None else when.astimezone(UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_config(path: Path) -> dict:
    """Read run.json of the run directory ``path`` as it was written. Raises WorkError when it is missing or damaged.

    The strings are not cleaned for showing: the trainer needs the very folder names. See reader.read_run for showing.
    """
    try:
        config = json.loads(read_bytes(path / "run.json", LARGEST_JSON))
    except OSError as error:
        raise WorkError(f"run {path.name}: run.json cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise WorkError(f"run {path.name}: run.json is damaged") from None
    if not isinstance(config, dict):
        raise WorkError(f"run {path.name}: run.json is damaged")
    return config


class RunGone(WorkError):
    """The run directory was removed or renamed, or its disk is no longer there: nobody would find what is trained."""


class RunWriter:
    """The one writer of a run directory; ``lock`` is held by the caller and stays held after :meth:`close`."""

    def __init__(self, path: Path, lock: RunLock, config: dict, status: dict) -> None:
        self.path = path
        self.lock = lock
        self.config = config
        self.checkpoints = checkpoint_paths(path)
        self._status = status
        self._place = _place_of(path)
        self._guard = threading.Lock()
        self._torn = False
        self._metrics = _append(path / "metrics.jsonl")
        self._beating: threading.Event | None = None

    @classmethod
    def create(cls, runs: Path, run_id: str, config: dict, lock: RunLock | None = None) -> RunWriter:
        """Make the run directory ``runs/run_id`` in the state *queued*; ``lock`` is taken first where none is given.

        ``config`` becomes run.json; ``schema``, ``id``, ``created`` and ``host`` are filled in where they are missing. It is
        written last, so that a directory with one is complete. Raises WorkError when there is such a run already.
        """
        path = runs / check_id(run_id)
        if (path / "run.json").exists():
            raise WorkError(f"run {run_id}: exists already in {runs}")
        held = lock or RunLock.acquire(path)
        writer: RunWriter | None = None
        try:
            _make_folders(path)
            first = {"schema": SCHEMA, "id": run_id, "created": timestamp(), "host": process.host()}
            writer = cls(path, held, first | config, {})
            writer.status(state="queued", phase="")
            replace_file(path / "run.json", encode_json(writer.config, indent=1), sync=True)
            sync_folder(runs)
        except (OSError, WorkError) as error:
            if writer is not None:
                writer.close()
            shutil.rmtree(path, ignore_errors=True)  # nobody wants half a run in the list
            if lock is None:
                held.release()
            raise _write_error(path, error) if isinstance(error, OSError) else error from None
        return writer

    @classmethod
    def open(cls, path: Path, lock: RunLock) -> RunWriter:
        """Go on with an existing run: leftovers of a killed writer are cleared away, a torn last record is cut off.

        Raises WorkError when run.json is missing or damaged.
        """
        config = read_config(path)
        remove_leftovers(path)
        try:
            _make_folders(path)
            _cut_torn_end(path / "metrics.jsonl")
        except OSError as error:
            raise _write_error(path, error) from None
        return cls(path, lock, config, _read_status(path))

    def record(self, record: dict) -> None:
        """Append one record to metrics.jsonl with a single write; numbers of numpy and torch are taken as they come.

        Raises DiskFull or RunWriteError; the file is then as it was, or ends in a torn line that the next record closes off.
        Raises RunGone.
        """
        self.check_place()
        line = encode_record(record) + b"\n"
        if self._torn:
            line = b"\n" + line
        try:
            written = os.write(self._metrics, line)
        except OSError as error:
            raise _write_error(self.path, error) from None
        if written < len(line):
            self._take_back(written)
            raise DiskFull(f"run {self.path.name}: no room left for metrics.jsonl")
        self._torn = False

    def check_place(self) -> None:
        """Raise RunGone where the directory is no longer at its place.

        Files that are open could be written to for ever. A server that does not answer is no proof of anything.
        """
        with contextlib.suppress(OSError):
            if _place_of(self.path) == self._place:
                return
            raise RunGone(f"its directory is gone from {self.path}: it was removed or renamed, or its disk is away")

    def _take_back(self, written: int) -> None:
        """Cut off the part of a record that a full disk took, so that readers never see it."""
        try:
            os.ftruncate(self._metrics, os.lseek(self._metrics, 0, os.SEEK_END) - written)
        except OSError:
            self._torn = True

    def event(self, name: str, detail: str = "", **values: object) -> None:
        """Append an event record: ``name`` says what happened, ``values`` may hold ``step``, ``time`` and more."""
        self.record({"kind": "event", "name": name, "detail": detail} | values)

    def status(self, **changes: object) -> None:
        """Change keys of status.json and replace it, with a new heartbeat and this process's identity.

        The end states are flushed, and where the disk has no room for a second copy they are written over the old one,
        so that a finished run is never taken for a crashed one. Raises DiskFull or RunWriteError otherwise.
        """
        with self._guard:
            self._status |= changes
            updated = {"schema": SCHEMA} | self._status | _identity() | {"heartbeat": timestamp()}
            self._status = updated
            data = encode_json(updated)
            ended = updated.get("state") in ENDED
            try:
                self.check_place()
                replace_file(self.path / "status.json", data, sync=ended)
            except RunGone as error:  # another run may be there by now
                raise RunWriteError(f"run {self.path.name}: {error}") from None
            except OSError as error:
                if not (ended and error.errno in _FULL):
                    raise _write_error(self.path, error) from None
                self._overwrite_status(data)

    def _overwrite_status(self, data: bytes) -> None:
        try:
            overwrite(self.path / "status.json", data)
        except OSError as error:
            raise _write_error(self.path, error) from None

    def current_status(self) -> dict:
        """Return a copy of what status.json holds."""
        with self._guard:
            return dict(self._status)

    def keep_alive(self, every_s: float = HEARTBEAT_S) -> None:
        """Touch status.json from a daemon thread until :meth:`close`, for phases without a call of :meth:`status`.

        Only the time of the file changes, so a second writer's contents are safe, and a full disk does not matter.
        """
        if self._beating is None:
            self._beating = threading.Event()
            threading.Thread(target=self._beat, args=(self._beating, every_s), name="heartbeat", daemon=True).start()

    def _beat(self, ended: threading.Event, every_s: float) -> None:
        while not ended.wait(every_s):
            try:
                os.utime(self.path / "status.json")
            except OSError:
                continue

    def drop_records_after(self, step: int) -> int:
        """Remove the records whose ``step`` is greater, and damaged lines; returns how many. Records without a step stay.

        A resumed run calls it with the step of its checkpoint, so that no step is recorded twice. The file is replaced as
        a whole; readers notice by its new inode. Raises DiskFull or RunWriteError, and then nothing has changed.
        """
        target = self.path / "metrics.jsonl"
        beside = self.path / f".metrics.jsonl.{os.getpid()}.tmp"
        try:
            with open(open_regular(target), "rb") as old, open(beside, "wb") as new:
                dropped = 0
                for line in old:
                    if _keeps(line, step):
                        new.write(line)
                    else:
                        dropped += 1
                new.flush()
                os.fsync(new.fileno())
            if dropped:
                os.replace(beside, target)
                sync_folder(self.path)
                updated = _append(target)
                os.close(self._metrics)
                self._metrics, self._torn = updated, False
        except OSError as error:
            raise _write_error(self.path, error) from None
        finally:
            beside.unlink(missing_ok=True)
        return dropped

    def sync(self) -> None:
        """Make the records durable; called before a checkpoint, so that the curve is never older than the weights."""
        try:
            os.fsync(self._metrics)
        except OSError as error:
            raise _write_error(self.path, error) from None

    def close(self) -> None:
        """Close the files and end the heartbeat. The lock stays with the caller."""
        if self._beating is not None:
            self._beating.set()
        if self._metrics >= 0:
            os.close(self._metrics)
            self._metrics = -1

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_own_identity: dict[int, dict[str, object]] = {}


def _identity() -> dict[str, object]:
    """Return the identity of this process, looked up once per pid: a forked child is another process."""
    pid = os.getpid()
    if pid not in _own_identity:
        _own_identity[pid] = process.identity()
    return _own_identity[pid]


def _make_folders(path: Path) -> None:
    """Make the folders in a run directory. A link in the place of one would lead what is written there elsewhere."""
    for folder in (path / "control", checkpoint_paths(path).folder):
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise OSError(errno.ELOOP, f"{folder.name} is a link, which is not followed")


def _place_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a directory from another one of the same name; None where there is none. OSError."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _append(path: Path) -> int:
    try:
        return open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise _write_error(path.parent, error) from None


def _cut_torn_end(path: Path) -> None:
    """Cut the file after its last line break: what follows is a record that a killed writer did not finish."""
    try:
        descriptor = open_regular(path, os.O_RDWR)
    except FileNotFoundError:
        return
    try:
        end = size = os.fstat(descriptor).st_size
        while end > 0:
            start = max(0, end - (1 << 16))
            found = os.pread(descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            os.ftruncate(descriptor, end)
    finally:
        os.close(descriptor)


def _keeps(line: bytes, step: int) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict) or not line.endswith(b"\n"):
        return False
    at = record.get("step")
    return not isinstance(at, int | float) or at <= step


def _read_status(path: Path) -> dict:
    try:
        status = json.loads(read_bytes(path / "status.json", LARGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return status if isinstance(status, dict) else {}


def _write_error(path: Path, error: OSError) -> RunWriteError:
    kind = DiskFull if error.errno in _FULL else RunWriteError
    return kind(f"run {path.name}: cannot write in {path}: {error.strerror}")

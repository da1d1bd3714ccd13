"""The decoded copy of a data set: one file, written once and then opened memory-mapped.

Layout: the arrays one after another, each on a multiple of 64 bytes; a JSON footer that says what they are, what they
were made from and the CRC-32 of every 4 MiB; last the footer's length, its CRC-32 and eight letters. A file that was
cut off has no such end, so it is noticed, as are changed bytes; then the copy is made again. The file is written beside
its place and renamed, so that a reader never sees half of one. A folder that cannot be written is no error: the
images are then kept in memory, for this run only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

VERSION = 1
ALIGNMENT = 64
CHUNK = 4 << 20
CHECKED_AT_MOST = 1 << 30
"""Bytes whose CRC is verified at opening (a quarter of a second); of a larger file evenly spread chunks are."""

_END = struct.Struct("<QI8s")
_LETTERS = b"CNNXPICS"
_STALE_S = 3600
_NEW_S = 60
TEMPORARY = ".tmp"

Log = Callable[[str], None]


@dataclass(frozen=True)
class Decoded:
    """Tensors by name, memory-mapped or in memory, and the ``facts`` kept with them (JSON values)."""

    arrays: dict[str, Tensor]
    facts: dict[str, Any]


def read(path: Path, key: str | None, log: Log) -> Decoded | None:
    """Return the copy at ``path``, or None where there is none, it is damaged, or it was made from something else than
    ``key``.

    With ``key`` None any whole copy will do. The tensors are mapped copy-on-write: nothing is read before it is used,
    and writing to them changes this process's memory, never the file. What killed processes left beside it is removed.
    """
    _remove_left(path.parent)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= _END.size:
                raise _Damaged("it is cut off")
            data = np.memmap(file, mode="c", dtype=np.uint8)
            footer = _footer(data)
            if footer["version"] != VERSION or (key is not None and footer["key"] != key):
                return None
            _verify(data[: footer["bytes"]], footer["crc"])
            arrays = {name: _array(data, entry) for name, entry in footer["arrays"].items()}
            return Decoded(arrays, footer["facts"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        log(f"the decoded copy {path} cannot be read ({error.strerror}) and will be made again")
        return None
    except (_Damaged, KeyError, TypeError, ValueError) as error:
        log(f"the decoded copy {path} is damaged ({error}) and will be made again")
        return None


class _Damaged(Exception):
    """The file is not what was written."""


def _footer(data: np.ndarray) -> dict[str, Any]:
    length, crc, letters = _END.unpack(bytes(data[-_END.size :]))
    if letters != _LETTERS:
        raise _Damaged("it is cut off")
    end = len(data) - _END.size
    text = bytes(data[max(0, end - length) : end])
    if len(text) != length or zlib.crc32(text) != crc:
        raise _Damaged("its footer has changed")
    return json.loads(text)


def _verify(data: np.ndarray, crcs: list[int]) -> None:
    step = max(1, -(-len(crcs) * CHUNK // CHECKED_AT_MOST))
    for number in sorted({*range(0, len(crcs), step), *range(len(crcs) - 1, len(crcs))}):
        if zlib.crc32(data[number * CHUNK : (number + 1) * CHUNK].data) != crcs[number]:
            raise _Damaged(f"bytes around {number * CHUNK} have changed")


def _array(data: np.ndarray, entry: dict[str, Any]) -> Tensor:
    dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
    start, length = entry["start"], dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(np.asarray(data[start : start + length]).view(dtype).reshape(shape))


class Writer:
    """Writes arrays row by row to ``path``, or keeps them in memory where that cannot be done. Used with `with`.

    The rows of one array are added before those of the next. `finish` gives what was written; leaving the block
    without it removes what there is.
    """

    def __init__(self, path: Path, log: Log) -> None:
        self.path = path
        self._log = log
        self._entries: dict[str, dict[str, Any]] = {}
        self._memory: dict[str, list[np.ndarray]] = {}
        self._file: BinaryIO | None = None
        self._written = 0
        self._crcs: list[int] = []
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_left(path.parent)
            self._file = open(self._temporary, "w+b", buffering=0)  # noqa: SIM115 (closed by __exit__)
            with contextlib.suppress(OSError):  # some file systems have no locks
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._explain(error)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._drop_file()

    def add(self, name: str, rows: np.ndarray) -> None:
        """Append ``rows``, (N, …), to the array ``name``."""
        rows = np.ascontiguousarray(rows)
        entry = self._entries.get(name)
        if entry is None:
            start = -(-self._written // ALIGNMENT) * ALIGNMENT
            entry = {"dtype": rows.dtype.str, "shape": [0, *rows.shape[1:]], "start": start}
            self._entries[name] = entry
        if self._file is not None:
            try:
                self._write(bytes(entry["start"] - self._written) if entry["shape"][0] == 0 else b"")
                self._write(rows.reshape(-1).view(np.uint8).data)
            except OSError as error:
                self._explain(error)
                self._move_to_memory()
        if self._file is None:
            self._memory.setdefault(name, []).append(rows)
        entry["shape"][0] += len(rows)

    def finish(self, key: str, facts: dict[str, Any]) -> Decoded:
        """Write the footer, put the file in its place and open it; or hand over what is in memory."""
        if self._file is not None:
            try:
                self._seal(self._file, key, facts)
                stored = read(self._temporary, key, self._log)
                if stored is not None:
                    os.replace(self._temporary, self.path)
                    self._drop_file()
                    return stored
            except OSError as error:
                self._explain(error)
            self._move_to_memory()
        arrays = {
            name: torch.from_numpy(np.concatenate(self._memory.pop(name)))
            for name in self._entries
            if name in self._memory
        }
        return Decoded(arrays, facts)

    def _write(self, data: bytes | memoryview) -> None:
        """Write all of ``data``, however little of it the system takes at a time."""
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) or 0 :]
        self._add_crc(memoryview(data))

    def _add_crc(self, view: memoryview) -> None:
        while view:
            room = CHUNK - self._written % CHUNK
            before = self._crcs.pop() if room < CHUNK else 0
            self._crcs.append(zlib.crc32(view[:room], before))
            self._written += len(view[:room])
            view = view[room:]

    def _seal(self, file: BinaryIO, key: str, facts: dict[str, Any]) -> None:
        footer = {"version": VERSION, "key": key, "bytes": self._written, "crc": self._crcs}
        footer |= {"arrays": self._entries, "facts": facts}
        text = json.dumps(footer).encode()
        view = memoryview(text + _END.pack(len(text), zlib.crc32(text), _LETTERS))
        while view:
            view = view[file.write(view) or 0 :]
        os.fsync(file.fileno())

    def _move_to_memory(self) -> None:
        """Go on in memory with what the file holds so far."""
        assert self._file is not None
        for name, entry in self._entries.items():
            dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
            self._file.seek(entry["start"])
            rows = np.fromfile(self._file, dtype, int(np.prod(shape, dtype=np.int64)))
            self._memory[name] = [rows.reshape(shape)]
        self._drop_file()

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._temporary.unlink(missing_ok=True)

    def _explain(self, error: OSError) -> None:
        self._log(f"the decoded images cannot be kept in {self.path.parent} ({error.strerror or error}); using memory")


def _remove_left(folder: Path) -> None:
    """Remove copies in the making of which nobody holds the lock: whoever made them was killed."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f".*{TEMPORARY}"):
            if _is_left(left):
                left.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    """Return whether nobody writes a copy any more. OSError where that cannot be found out.

    Version 0.1.0 takes no lock, and some file systems have none, but a copy in the making is written to all the time.
    """
    silent = time.time() - path.stat().st_mtime
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return silent > _STALE_S
    return silent > _NEW_S

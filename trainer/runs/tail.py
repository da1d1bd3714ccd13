"""Follows the files of a run while they grow: the records of metrics.jsonl and the lines of train.log.

A reader keeps its place in the file. A line that is not finished yet waits for its end; a file that shrank or was replaced
is read again from the start, and the reader is told. Reads are bounded in records and in time, so that a screen stays alive
in front of a million records.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..common.files import close_read, open_regular
from ..common.json_safe import restore
from ..common.text_safe import clean_value, is_harmless, log_line

CHUNK = 1 << 17
LONGEST_LINE = 4 << 20
LONGEST_SHOWN = 1 << 14
FINGERPRINT = 64
TRAIN = b'"train"'


@dataclass(frozen=True)
class NewRecords:
    """``records`` that are new since the last read, oldest first.

    ``reset``: the file was replaced or cut, so forget what was read before and begin with these. ``more``: the bounds ended
    this read, and there is more to read at once.
    """

    records: list[dict]
    reset: bool = False
    more: bool = False


@dataclass(frozen=True)
class NewLines:
    """Finished ``lines`` that are new, and the ``unfinished`` last one as it stands, such as a progress bar."""

    lines: list[str]
    unfinished: str = ""
    reset: bool = False


@dataclass
class _FileFollower:
    """Reads a growing file in chunks of whole lines."""

    path: Path
    position: int = 0
    partial: bytes = b""
    _inode: tuple[int, int] = (0, 0)
    _before: bytes = b""
    _skipping: bool = False

    def open(self) -> tuple[int, bool] | None:
        """Return a descriptor and whether the file is another one than before; None where there is none to read."""
        try:
            descriptor = open_regular(self.path)
        except (OSError, ValueError):
            return None
        state = os.fstat(descriptor)
        inode = (state.st_dev, state.st_ino)
        # The bytes just before our place tell when a file was cut and grew past it again, or its inode was used again.
        start = self.position - len(self._before)
        same = inode == self._inode and state.st_size >= self.position
        same = same and os.pread(descriptor, len(self._before), start) == self._before
        reset = self.position > 0 and not same
        if not same:
            self.position, self.partial, self._before, self._skipping = 0, b"", b"", False
        self._inode = inode
        return descriptor, reset

    def go_near_end(self, descriptor: int, last_bytes: int) -> None:
        """Go ``last_bytes`` before the end of the file and on to the beginning of a line."""
        start = max(0, os.fstat(descriptor).st_size - last_bytes)
        if start:
            self.position = start + os.pread(descriptor, CHUNK, start).find(b"\n") + 1

    def lines(self, descriptor: int) -> list[bytes] | None:
        """Return the finished lines of the next chunk; None at the end of the file."""
        chunk = os.pread(descriptor, CHUNK, self.position)
        if not chunk:
            return None
        self.position += len(chunk)
        self._before = (self._before + chunk)[-FINGERPRINT:]
        *lines, self.partial = (self.partial + chunk).split(b"\n")
        if self._skipping and lines:
            lines, self._skipping = lines[1:], False
        if len(self.partial) > LONGEST_LINE:
            self.partial, self._skipping = b"", True
        return lines


class MetricsTail:
    """Follows metrics.jsonl of the run directory ``path``, from its start or ``last_bytes`` before its end.

    ``containing`` keeps only lines with one of these pieces in them, undecoded otherwise; it may be changed between reads.
    ``skipped`` counts the lines that were no records.
    """

    def __init__(self, path: Path, last_bytes: int | None = None, containing: tuple[bytes, ...] = ()) -> None:
        self._file = _FileFollower(path / "metrics.jsonl")
        self._last_bytes = last_bytes
        self.containing = containing
        self._waiting: list[bytes] = []
        self._newest_train = b""
        self.skipped = 0

    @property
    def position(self) -> int:
        """Bytes of the file that were read so far."""
        return self._file.position

    @property
    def newest_train(self) -> dict:
        """The newest training record among the lines that ``containing`` leaves out; {} where there is none."""
        found = parse_records([self._newest_train] if self._newest_train else [])
        return found[0] if found and found[0].get("kind") == "train" else {}

    def read(self, max_records: int = 20_000, budget_s: float = 0.05) -> NewRecords:
        """Return the next records, at most ``max_records`` of them and for about ``budget_s`` seconds (at least one
        chunk).

        Never raises on what the file holds, nor when it is missing. NaN and infinities are given back as numbers and strings
        are cleaned for showing.
        """
        deadline = time.monotonic() + budget_s
        opened = self._file.open()
        if opened is None:
            return NewRecords([])
        descriptor, reset = opened
        if reset:
            self._waiting, self._newest_train, self.skipped = [], b"", 0
        records: list[dict] = []
        try:
            if self._last_bytes is not None and self._file.position == 0:
                self._file.go_near_end(descriptor, self._last_bytes)
            while len(records) < max_records:
                lines = self._waiting or self._file.lines(descriptor)
                if lines is None:
                    return NewRecords(records, reset)
                if self.containing and not self._waiting:
                    self._newest_train = next((line for line in reversed(lines) if TRAIN in line), self._newest_train)
                    lines = _wanted(lines, self.containing)
                room = max_records - len(records)
                self._waiting = lines[room:]
                found = parse_records(lines[:room])
                self.skipped += min(room, len(lines)) - len(found)
                records += found
                if time.monotonic() >= deadline:
                    break
        except OSError:
            return NewRecords(records, reset)
        finally:
            close_read(descriptor)
        return NewRecords(records, reset, more=True)


class LogTail:
    """Follows train.log of the run directory ``path``, beginning ``last_bytes`` before its end."""

    def __init__(self, path: Path, last_bytes: int = 1 << 16) -> None:
        self._file = _FileFollower(path / "train.log")
        self._last_bytes = last_bytes

    def read(self, max_chunks: int = 32) -> NewLines:
        """Return the next lines as a terminal would show them: after carriage returns, without escape sequences."""
        opened = self._file.open()
        if opened is None:
            return NewLines([])
        descriptor, reset = opened
        lines: list[bytes] = []
        try:
            if self._file.position == 0:
                self._file.go_near_end(descriptor, self._last_bytes)
            for _ in range(max_chunks):
                part = self._file.lines(descriptor)
                if part is None:
                    break
                lines += part
        except OSError:
            pass
        finally:
            close_read(descriptor)
        return NewLines([_shown(line) for line in lines], _shown(self._file.partial), reset)


def last_log_lines(path: Path, count: int) -> list[str]:
    """Return the last ``count`` lines of train.log, cleaned; an unfinished one counts."""
    new = LogTail(path).read()
    lines = new.lines + ([new.unfinished] if new.unfinished else [])
    return lines[-count:] if count > 0 else []


def _shown(line: bytes) -> str:
    return log_line(line[-LONGEST_SHOWN:].decode("utf-8", "replace"))


def parse_records(lines: list[bytes]) -> list[dict]:
    """Return the records among ``lines``; whatever is no JSON object is left out.

    The lines are decoded as one array, which is more than twice as fast as one by one; that is done only where the array
    does not come out as one object a line.
    """
    if not lines:
        return []
    whole = b",".join(lines)
    text = whole.decode("utf-8", "replace")
    try:
        values = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        values = None
    if values is None or len(values) != len(lines) or not all(type(value) is dict for value in values):
        values = [value for line in lines if (value := _parse(line)) is not None]
    if not is_harmless(whole, max(map(len, lines))):
        values = [value for item in values if (value := _cleaned(item)) is not None]
    if b'"nonfinite"' in whole:
        values = [restore(value) for value in values]
    return values


def _parse(line: bytes) -> dict | None:
    try:
        value = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _cleaned(record: dict) -> dict | None:
    try:
        cleaned = clean_value(record)
    except RecursionError:
        return None
    return cleaned if isinstance(cleaned, dict) else None


def skim(path: Path, count: int = 2000) -> list[dict]:
    """Return about ``count`` records spread evenly over metrics.jsonl: a first curve at once, however long the file is.

    A file of a million records takes as long as one of ``count``; :class:`MetricsTail` then reads all of them.
    """
    try:
        descriptor = open_regular(path / "metrics.jsonl")
    except (OSError, ValueError):
        return []
    try:
        size = os.fstat(descriptor).st_size
        offsets = sorted({size * index // count for index in range(count)})
        found = (_line_after(descriptor, offset) for offset in offsets)
        lines = dict(line for line in found if line is not None)
        return parse_records(list(lines.values()))
    except OSError:
        return []
    finally:
        close_read(descriptor)


def _line_after(descriptor: int, offset: int) -> tuple[int, bytes] | None:
    """Return the start of the first line at or after ``offset``, and that line, when it is whole and of usual length."""
    start = max(0, offset - 1)
    block = os.pread(descriptor, 8192, start)
    begin = 0 if offset == 0 else block.find(b"\n") + 1
    end = block.find(b"\n", begin)
    if end < 0 or (offset and not begin):
        return None
    return start + begin, block[begin:end]


def newest_records(path: Path, containing: tuple[bytes, ...] = (), max_bytes: int = 32 << 20) -> Iterator[dict]:
    """Yield the records of metrics.jsonl from the newest to the oldest, as far back as ``max_bytes``.

    ``containing`` keeps only lines with one of these pieces in them, which is far quicker than decoding all of them.
    """
    try:
        descriptor = open_regular(path / "metrics.jsonl")
    except (OSError, ValueError):
        return
    try:
        offset = os.fstat(descriptor).st_size
        oldest, rest = max(0, offset - max_bytes), b""
        while offset > oldest:
            start = max(oldest, offset - CHUNK)
            block = os.pread(descriptor, offset - start, start) + rest
            offset = start
            first, *lines = block.split(b"\n")
            rest = first if len(first) <= LONGEST_LINE else b""
            yield from reversed(parse_records(_wanted(lines, containing)))
        if offset == 0:
            yield from parse_records(_wanted([rest], containing))
    except OSError:
        return
    finally:
        close_read(descriptor)


def _wanted(lines: list[bytes], containing: tuple[bytes, ...]) -> list[bytes]:
    if not containing:
        return [line for line in lines if line]
    return [line for line in lines if any(piece in line for piece in containing)]


@dataclass(frozen=True)
class NewestMetrics:
    """The newest records of each kind, and the newest ``events`` in order of time; {} where there is none yet."""

    train: dict
    validation: dict
    test: dict
    events: list[dict]


def newest_metrics(path: Path, max_events: int = 20) -> NewestMetrics:
    """Return what the run in ``path`` measured last, without reading the whole of metrics.jsonl."""
    train = next((record for record in newest_records(path, (b'"train"',)) if record.get("kind") == "train"), {})
    evaluated: dict[str, dict] = {}
    events: list[dict] = []
    for record in newest_records(path, (b'"eval"', b'"event"')):
        split = record.get("split")
        if record.get("kind") == "eval" and isinstance(split, str):
            evaluated.setdefault(split, record)
        elif record.get("kind") == "event" and len(events) < max_events:
            events.append(record)
        if len(events) == max_events and {"validation", "test"} <= evaluated.keys():
            break
    return NewestMetrics(train, evaluated.get("validation", {}), evaluated.get("test", {}), events[::-1])

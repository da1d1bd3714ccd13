"""A piece of work in a process of its own, which dies of SIGKILL at a random moment or in a random file operation."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OPERATIONS = ("write", "fsync", "replace", "link")
PATIENCE_S = 600.0

Work = Callable[[], int]
Prepare = Callable[[], None]


@dataclass(frozen=True)
class Spot:
    """A method of a class of the program, ``words`` for what it does."""

    module: str
    owner: str
    method: str
    words: str

    def replace(self, act: Callable[[], None]) -> None:
        """Call ``act`` before each call of the method."""
        owner = getattr(importlib.import_module(self.module), self.owner)
        method = getattr(owner, self.method)

        def perform(*arguments, **options):
            act()
            return method(*arguments, **options)

        setattr(owner, self.method, perform)


@dataclass(frozen=True)
class Counts:
    """How much an undisturbed process does: file operations, and calls of its spot."""

    operations: int = 1
    calls: int = 0


@dataclass(frozen=True)
class Death:
    """How a process is to die: after so many seconds, in its file operation number ``operation``, or in its call number
    ``call`` of ``spot``.

    ``half``: a write is first made by half.
    """

    how: str
    seconds: float = PATIENCE_S
    operation: int = -1
    half: bool = False
    spot: Spot | None = None
    call: int = -1

    def prepare(self) -> None:
        """Arrange the death in the process that is to die."""
        if self.operation >= 0:
            _die_in_operation(self.operation, self.half)
        if self.spot is not None:
            _die_in_call(self.spot, self.call)


ALIVE = Death("")


def draw(rng: random.Random, seconds: float, counts: Counts, spot: Spot | None) -> Death:
    """Return a random death of work that takes so many seconds, file operations and calls of the spot: each kind as
    often.
    """
    kind = rng.randrange(3 if spot is not None and counts.calls else 2)
    if kind == 0:
        return Death("at a moment", seconds=rng.uniform(0, seconds))
    if kind == 1:
        return Death("in a file operation", operation=rng.randrange(counts.operations), half=rng.random() < 0.5)
    assert spot is not None
    return Death(spot.words, spot=spot, call=rng.randrange(counts.calls))


def call(work: Work, death: Death = ALIVE, prepare: Prepare | None = None, said: Path | None = None) -> int:
    """Do the work in a process of its own; return its status as of waitpid(2). ``said`` gets what it prints."""
    child = os.fork()
    if child == 0:
        be_worker(work, death, prepare, said)
    deadline = time.monotonic() + death.seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.001)


def be_worker(work: Work, death: Death, prepare: Prepare | None, said: Path | None) -> None:
    """Be the process that works: arrange its death, do the work, and leave with its code."""
    code = 99
    try:
        if said is not None:
            print_into(said)
        if prepare is not None:
            prepare()
        death.prepare()
        code = work()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def print_into(target: Path) -> None:
    """Let this process print at the end of a file."""
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def count(target: Path, spot: Spot | None) -> None:
    """Write into ``target`` what this process has done when it leaves."""
    found = {"operations": 0, "calls": 0}

    def add(what: str) -> None:
        found[what] += 1

    _before_operations(lambda *_: add("operations"))
    if spot is not None:
        spot.replace(lambda: add("calls"))
    leave = os._exit

    def leave_counted(code: int) -> None:
        target.write_text(json.dumps(found))
        leave(code)

    os._exit = leave_counted


def counts(target: Path) -> Counts:
    """Return what ``count`` has written."""
    return Counts(**json.loads(target.read_bytes()))


def _die_in_call(spot: Spot, at: int) -> None:
    left = [at]

    def die() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    spot.replace(die)


def _die_in_operation(at: int, half: bool) -> None:
    left = [at]

    def die(write: Callable[[bytes], object] | None, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            if write is not None and half:
                write(data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    _before_operations(die)


def _before_operations(act: Callable[[Callable[[bytes], object] | None, bytes], None]) -> None:
    """Call ``act`` before each file operation of the program, with what writes and the data where it is a write."""
    from cnn_explorer.trainer.data import decoded_cache
    from cnn_explorer.trainer.weights import checkpoint

    def watched(operation: Callable, is_write: bool) -> Callable:
        def perform(*arguments, **options):
            if is_write:
                act(lambda part: operation(arguments[0], part), bytes(arguments[1]))
            else:
                act(None, b"")
            return operation(*arguments, **options)

        return perform

    for name in OPERATIONS:
        setattr(os, name, watched(getattr(os, name), is_write=name == "write"))
    write = checkpoint._Recorder.write
    add = decoded_cache.Writer._write

    def write_part(self: checkpoint._Recorder, data: bytes) -> int:
        def at_once(part: bytes) -> None:
            write(self, part)
            self.flush()

        act(at_once, bytes(data))
        return write(self, data)

    def write_images(self: decoded_cache.Writer, data: bytes | memoryview) -> None:
        act(lambda part: add(self, part), bytes(data))
        add(self, data)

    checkpoint._Recorder.write = write_part
    decoded_cache.Writer._write = write_images

"""What goes wrong in the trials of faults.py: errors of the system, files that change under a run, and hostile words."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from fault_process import Fault

RENAME = "?rename,?renameat,?renameat2"
LINK = "?link,?linkat"
UNLINK = "?unlink,?unlinkat"
MKDIR = "?mkdir,?mkdirat"
STAT = "?stat,?lstat,?newfstatat,?statx"
RECORDS, STATUS, CHECKPOINT = "{run}/metrics.jsonl", "{run}/status.json", "{run}/checkpoints/.last.pt.{pid}.tmp"

TRAINING = [
    Fault("no room for one record", "write:error=ENOSPC:when=5", RECORDS),
    Fault("no room for any record after the fifth", "write:error=ENOSPC:when=6+", RECORDS),
    Fault("no quota for three records", "write:error=EDQUOT:when=5..7", RECORDS),
    Fault("I/O error of one record", "write:error=EIO:when=9", RECORDS),
    Fault("records cannot be flushed", "fsync:error=EIO:when=2+", RECORDS),
    Fault("records cannot be opened", "openat:error=EACCES", RECORDS),
    Fault("records: lseek", "lseek:error=EIO", RECORDS),
    Fault("records: close", "close:error=EIO", RECORDS),
    Fault("one checkpoint without room", "write:error=ENOSPC:when=2", CHECKPOINT),
    Fault("no room for any checkpoint", "write:error=ENOSPC:when=1+", CHECKPOINT),
    Fault("I/O error of every second checkpoint", "fsync:error=EIO:when=1+2", CHECKPOINT),
    Fault("a checkpoint: too many open files", "openat:error=EMFILE:when=2", CHECKPOINT),
    Fault("a checkpoint: table of files full", "openat:error=ENFILE:when=3", CHECKPOINT),
    Fault("a checkpoint: close", "close:error=EIO:when=2", CHECKPOINT),
    Fault("the third rename", f"{RENAME}:error=EIO:when=3"),
    Fault("every rename after the third", f"{RENAME}:error=EIO:when=4+"),
    Fault("every second rename", f"{RENAME}:error=EACCES:when=3+2"),
    Fault("no hard links", f"{LINK}:error=EPERM:when=1+"),
    Fault("too many links", f"{LINK}:error=EMLINK:when=2"),
    Fault("no flush at all", "fsync:error=EIO:when=1+"),
    Fault("flush is interrupted", "fsync:error=EINTR:when=2"),
    Fault("nothing can be removed", f"{UNLINK}:error=EROFS:when=1+"),
    Fault("no locks", "flock:error=ENOLCK:when=1+"),
    Fault("no lock, once", "flock:error=EINTR:when=1"),
    Fault("a record cannot be taken back", "ftruncate:error=EIO:when=1+", RECORDS),
    Fault("status.json cannot be read", "openat:error=EIO", STATUS),
    Fault("run.json cannot be read", "openat:error=EIO", "{run}/run.json"),
    Fault("the run directory cannot be looked at", f"{STAT}:error=EIO:when=2+", "{run}"),
    Fault("checkpoints/ cannot be listed", "getdents64:error=EIO:when=1+", "{run}/checkpoints"),
    Fault("no folder can be made", f"{MKDIR}:error=ENOSPC:when=1+"),
    Fault("the log cannot be opened", "openat:error=EACCES", "{run}/train.log"),
    Fault("no room in the log", "write:error=ENOSPC", "{run}/train.log"),
    Fault("no clock of a file", "utimensat:error=EROFS"),
]
COMMAND_CALLS = ("openat", "read", "lseek", "close", "?fstat", STAT, "getdents64", "flock", "pread64", "write")
COMMAND_ERRORS = ("EIO", "EACCES", "ENFILE")
COMMAND_TURNS = (1, 2, 3, 5, 8)
"""Of each kind of call these fail, one in each trial."""


PATIENCE_S = 60.0


def _written(path: Path) -> Path:
    """Return a file once it is there: checkpoints are written by a thread of their own, late on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path


def _append(name: str, data: bytes) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        with open(_written(run / name), "ab") as file:
            file.write(data)

    return act


def _cut(name: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        path = _written(run / name)
        os.truncate(path, path.stat().st_size // 2)

    return act


def _remove(name: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        target = run / name
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)

    return act


def _link(name: str) -> Callable[[Path], None]:
    """Move the file away and leave a link to it."""

    def act(run: Path) -> None:
        elsewhere = run.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        os.replace(_written(run / name), elsewhere / "moved")
        (run / name).symlink_to(elsewhere / "moved")

    return act


def _be_folder(name: str) -> Callable[[Path], None]:
    def act(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir(parents=True)

    return act


CHANGES: dict[str, Callable[[Path], None]] = {
    "metrics.jsonl is removed": _remove("metrics.jsonl"),
    "metrics.jsonl is cut in half": _cut("metrics.jsonl"),
    "garbage is appended to metrics.jsonl": _append(
        "metrics.jsonl", b'\0\xff{"kind": "train", "step": 1e999}\n[[[\n{"a'
    ),
    "status.json is removed": _remove("status.json"),
    "status.json is garbage": _append("status.json", b"\0}"),
    "status.json is a folder": _be_folder("status.json"),
    "the lock is removed": _remove("lock"),
    "checkpoints/ is removed": _remove("checkpoints"),
    "control/ is removed": _remove("control"),
    "last.pt is removed": _remove("checkpoints/last.pt"),
    "garbage is appended to last.pt": _append("checkpoints/last.pt", b"\0" * 100),
    "last.pt is cut in half": _cut("checkpoints/last.pt"),
    "last.pt is a link": _link("checkpoints/last.pt"),
    "last.pt is a folder": _be_folder("checkpoints/last.pt"),
    "best.pt is removed": _remove("checkpoints/best.pt"),
    "train.log is removed": _remove("train.log"),
    "run.json is removed": _remove("run.json"),
    "control/stop is a folder": lambda run: (run / "control" / "stop").mkdir(),
}

LONG = "x" * 5000
NO_HOME = "~nosuchuser/x"
TRAIN = ("train", "killed", "--dataset", "digits", "--threads", "1", "--no-calibrate", "--epochs", "1")
INPUTS: list[tuple[str, ...]] = [
    *(("runs", "--runs", path) for path in (NO_HOME, LONG, "a\0b", "/dev/null", "/proc/1/mem")),
    *((*TRAIN, flag, NO_HOME) for flag in ("--data", "--config", "--init-from", "--grow-from", "--runs")),
    *((*TRAIN, flag, LONG) for flag in ("--data", "--config", "--init-from", "--dataset", "--device", "--seed")),
    *((*TRAIN, "--image-size", size) for size in ("999999999999", "0", "-1", "nan", "1e3", "70000")),
    *((*TRAIN, "--batch-size", size) for size in ("1" + "0" * 20, "0", "-5", "inf", "½")),
    *((*TRAIN, "--lr", rate) for rate in ("nan", "inf", "-1", "0", "1e400", "0x10")),
    *((*TRAIN, "--epochs", count) for count in ("1e9", "99999999999", "-3", "1.5")),
    *((*TRAIN, "--devices", devices) for devices in ("0", "-1", "cuda:99", "cpu,gpuu", "999999", LONG)),
    *((*TRAIN, "--set", value) for value in ("=", "lr", "lr=", "nothing=3", "lr=[[", "augment=crop,crop,x", LONG)),
    *((*TRAIN, "--init-from", "{folder}/" + name) for name in ("text.pth", "empty.pth", "folder.pth", "pickle.pth")),
    *((*TRAIN, "--config", "{folder}/" + name) for name in ("deep.json", "list.json", "bytes.toml", "folder.pth")),
    *((*TRAIN, "--dataset", f"folder:{name}") for name in ("", "{folder}/none", "{folder}/text.pth", "/proc", NO_HOME)),
    ("train", "os:system"),
    ("train", LONG),
    ("train", "\u202egpj.exe"),
    ("show", "os:system"),
    ("show", "json:loads"),
    ("show", "lenet5", "--image-size", "99999999999"),
    ("show", "lenet5", "-o", NO_HOME),
    ("show", "lenet5", "-o", "/no/such/folder/x"),
    ("show", "{folder}/text.pth"),
    ("show", "{folder}/pickle.pth"),
    ("show", "{folder}/folder.pth"),
    ("show", LONG),
    ("compare", "lenet5", "\x1b[31mred"),
    ("runs", "show", LONG),
    ("runs", "show", "../../etc/passwd"),
    ("runs", "show", "\x1b]0;title\x07"),
    ("runs", "tag", "{run}", "a\u200bb"),
    ("runs", "tag", "{run}", LONG),
    ("runs", "resume", "{run}"),
    ("runs", "stop", "{run}"),
    ("runs", "export", "{run}", "-o", "/proc/x.csv"),
    ("runs", "export", "{run}", "-o", "{folder}"),
    ("runs", "export", "{run}", "--format", "xml"),
    ("runs", "export", "{stranger}", "--format", "safetensors", "-o", "{folder}/x.safetensors"),
    ("runs", "plot", "{run}", "--size", "99999999x9"),
    ("runs", "plot", "{run}", "--metric", "\x1b[2J"),
]
"""Each is refused: exit code 1 or 2, one line, no traceback, no new run. {run} is a finished run, {stranger} one whose
run.json is garbage, {folder} holds files that are not what their names say."""

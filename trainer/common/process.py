"""Which process is it? A pid alone says little: pids are used again, other machines have the same ones, clocks jump.

A process is named by its pid, the moment it started and the boot of the machine it runs on. On Linux the moment is kept in
clock ticks since the boot as well, because the wall-clock time derived from them moves whenever the clock is set.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

START_TOLERANCE_S = 2.0


def host() -> str:
    """Name of this machine."""
    return platform.node()


@cache
def boot_id() -> str:
    """Return the identifier of the present boot; the same for all containers on one kernel; empty where the system
    tells none.
    """
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            return ""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def identity() -> dict[str, object]:
    """Return the keys of status.json that name the calling process."""
    pid = os.getpid()
    return {
        "pid": pid,
        "process_started": start_time(pid),
        "process_ticks": start_ticks(pid),
        "host": host(),
        "boot_id": boot_id(),
    }


def start_ticks(pid: int) -> int | None:
    """Return the clock ticks from the boot to the start of a process (Linux, proc(5) field 22); None for a dead one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the command in parentheses, which may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return None
    return int(fields[19])


def start_time(pid: int) -> float | None:
    """Return the seconds since the epoch at which a process started; None when there is no such process, or only its
    zombie.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


def is_alive(pid: object, started: object, ticks: object) -> bool:
    """Return whether the very process that had ``pid`` still runs: the same pid with another start is another process.

    ``started`` is its start in seconds since the epoch, ``ticks`` in clock ticks since the boot; either may be missing or
    of a wrong type, as the values come from a file.
    """
    if not isinstance(pid, int) or isinstance(pid, bool) or not 0 < pid < 2**31:
        return False
    now = start_ticks(pid)
    if now is not None and isinstance(ticks, int):
        return now == ticks
    seconds = start_time(pid)
    if seconds is None or not isinstance(started, int | float):
        return False
    return abs(seconds - started) <= START_TOLERANCE_S

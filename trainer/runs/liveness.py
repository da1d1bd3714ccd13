"""Is a run alive? The lock says so; where it tells nothing, the process does, and failing that the last sign of life.

The lock tells nothing on a file system without flock and may tell nothing of a run on another machine.
"""

from __future__ import annotations

import math

from ..common import process
from .run import parse_time, whole
from .states import ENDED, STATES

SILENCE_S = 120.0
"""A run that only its heartbeat speaks for counts as crashed after this long without one."""


def infer_state(status: dict, locked: bool | None, touched: float | None, now: float) -> tuple[str, str]:
    """Return the state that ``status`` means, and for *crashed* how that was found out.

    ``locked`` is what the probe of the lock said (None: nothing), ``touched`` the time of status.json and ``now`` the
    present, both in seconds since the epoch.
    """
    said = status.get("state")
    if isinstance(said, str) and said in ENDED:
        return said, ""
    dead = _why_dead(status, locked, touched, now)
    if dead:
        return "crashed", dead
    return (said, "") if isinstance(said, str) and said in STATES and said != "crashed" else ("starting", "")


def _why_dead(status: dict, locked: bool | None, touched: float | None, now: float) -> str:
    if locked:
        return ""
    boot, here = status.get("boot_id"), process.boot_id()
    same_host = status.get("host") == process.host()
    same_boot = boot == here if boot and here else same_host
    if locked is False and (same_boot or not status.get("host")):
        return "its process is gone: it may have been killed, or have run out of memory"
    if same_host and not same_boot:
        return "the machine was restarted"
    if same_host:
        alive = process.is_alive(status.get("pid"), status.get("process_started"), status.get("process_ticks"))
        return "" if alive else f"its process {_pid(status)}is gone"
    return _why_silent(status, touched, now)


def _pid(status: dict) -> str:
    pid = whole(status.get("pid"))
    return f"{pid} " if pid is not None else ""


def _why_silent(status: dict, touched: float | None, now: float) -> str:
    """Decide by the age of the last sign of life: the heartbeat or the time of status.json, whichever is nearer to now.

    Clocks differ between machines and jump, so a sign from the future is as old as it is far away.
    """
    beat = parse_time(status.get("heartbeat"))
    signs = ([] if beat is None else [beat.timestamp()]) + ([] if touched is None else [touched])
    age = min((abs(now - sign) for sign in signs), default=math.inf)
    if age <= SILENCE_S:
        return ""
    where = f" from {status['host']}" if isinstance(status.get("host"), str) else ""
    return f"no sign of life{where}" + (f" for {age:.0f} s" if math.isfinite(age) else "")

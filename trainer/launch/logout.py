"""Whether systemd will end a detached run when its user logs out, which a session of its own does not prevent.

logind can be set to end all processes of a session with it (KillUserProcesses, logind.conf(5)); processes under the user's
own service manager end with the last session unless the user lingers (loginctl(1), enable-linger).
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
PATIENCE_S = 2.0


def warning() -> str | None:
    """Return what keeps a logout from ending this process and its children, in one line; None where it does not or nobody
    knows.
    """
    try:
        place = CGROUP.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if "/session-" in place and ".scope" in place:
        if _ask(None, "KillUserProcesses") != "yes" or _user() in _ask(None, "KillExcludeUsers").split():
            return None
        return (
            "this machine ends all processes of a session at logout (KillUserProcesses): 'loginctl enable-linger' once, and "
            "'systemd-run --user --scope' before the command, keep the run alive"
        )
    if "/user@" in place and _ask(_user(), "Linger") == "no":
        return "this machine ends the run at your last logout: 'loginctl enable-linger' once keeps it alive"
    return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _ask(user: str | None, name: str) -> str:
    """Return a property of a user, or of logind itself; empty where it cannot be had."""
    program = shutil.which("loginctl")
    if program is None or user == "":
        return ""
    command = [program, "show-user", *([user] if user else []), f"--property={name}", "--value"]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()

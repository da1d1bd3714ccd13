"""The app in a real terminal (a pty), for the tests."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from cnn_explorer.models.catalogue import registry

from support.patience import PATIENCE_S

FIRST_NETWORK = next(iter(registry.variants())).encode()


class InTerminal:
    """The app as a child on a pty of its own. ``more`` are further variables of its environment."""

    def __init__(
        self,
        folder: Path,
        term: str = "xterm-256color",
        command: tuple[str, ...] = (),
        more: Mapping[str, str] | None = None,
    ) -> None:
        names = {f"CNN_EXPLORER_{name}": str(folder / name.lower()) for name in ("RUNS", "DATA", "STATE", "CONFIG")}
        environment = os.environ | names | {"TERM": term} | dict(more or {})
        environment.pop("COLORTERM", None)
        arguments = [sys.executable, *(command or ("-m", "cnn_explorer"))]
        self.seen = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup, if the tests run under it, has had ignored
            os.execve(sys.executable, arguments, environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read_until(self, wanted: bytes, patience_s: float = PATIENCE_S) -> None:
        """Read what the app paints until ``wanted`` was among it."""
        deadline = time.monotonic() + patience_s
        while wanted not in self.seen:
            assert time.monotonic() < deadline, self.seen[-2000:]
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.seen += os.read(self.terminal, 1 << 16)

    def press(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def hang_up(self) -> None:
        """Close the terminal, as a dropped SSH line does."""
        os.close(self.terminal)
        self.terminal = -1

    def wait(self, patience_s: float = PATIENCE_S) -> int | None:
        """Exit status, or None when it is still there after ``patience_s``."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            if self.terminal >= 0 and select.select([self.terminal], [], [], 0.02)[0]:
                try:
                    self.seen += os.read(self.terminal, 1 << 16)
                except OSError:
                    time.sleep(0.02)
            else:
                time.sleep(0.02)
        return None

    def __enter__(self) -> InTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.terminal >= 0:
            os.close(self.terminal)

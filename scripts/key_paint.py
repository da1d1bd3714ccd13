"""How quickly the app answers the keyboard, over a pty: from the key to the first byte painted, and bytes per key.

    python scripts/key_paint.py [--keys 100] [--size 120x40] [--network inception_v3] [--json]

Keys go down the catalogue and, in the layer table of a network, down and up again. What follows a rest of the cursor (the
note) is painted later and counted in the bytes. Medians and 95th percentiles, in milliseconds.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time

PATIENCE_S = 60.0
QUIET_S = 0.15


class Terminal:
    """The app on a pty."""

    def __init__(self, size: tuple[int, int], home: str) -> None:
        folders = {f"CNN_EXPLORER_{name}": os.path.join(home, name.lower()) for name in ("RUNS", "STATE")}
        self.child, self.file = pty.fork()
        if self.child == 0:
            environment = os.environ | folders | {"TERM": "xterm-256color"}
            os.execve(sys.executable, [sys.executable, "-m", "cnn_explorer"], environment)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read(self, wait_s: float) -> bytes:
        """Return what was painted, at most ``wait_s`` seconds from now; nothing if nothing was."""
        return os.read(self.file, 1 << 16) if select.select([self.file], [], [], wait_s)[0] else b""

    def until(self, wanted: bytes) -> None:
        """Read until ``wanted`` was painted."""
        seen, deadline = b"", time.monotonic() + PATIENCE_S
        while wanted not in seen:
            if time.monotonic() > deadline:
                raise SystemExit(f"{wanted!r} was not painted; the end of what was: {seen[-2000:]!r}")
            seen = (seen + self.read(0.1))[-(1 << 18) :]

    def wait_until_quiet(self) -> int:
        """Read until nothing is painted any more; the number of bytes."""
        count = 0
        while data := self.read(QUIET_S):
            count += len(data)
        return count

    def press(self, key: bytes) -> tuple[float, int]:
        """Return the seconds until something was painted after a key, and all bytes painted until it is quiet again."""
        begun = time.perf_counter()
        os.write(self.file, key)
        first = self.read(PATIENCE_S)
        took = time.perf_counter() - begun
        return took, len(first) + self.wait_until_quiet()

    def close(self) -> None:
        """End the app."""
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.file)


def measure(size: tuple[int, int], keys: int, network: str) -> dict[str, list[tuple[float, int]]]:
    """Return the samples of both places."""
    from cnn_explorer.models.catalogue import registry

    first = next(iter(registry.variants())).encode()
    with tempfile.TemporaryDirectory() as home:
        terminal = Terminal(size, home)
        try:
            terminal.until(first)
            terminal.wait_until_quiet()
            samples = {"catalogue": [terminal.press(b"j") for _ in range(keys)]}
            for key in (b"/", *(letter.encode() for letter in network), b"\r", b"2"):
                terminal.press(key)
            # The line of memory is the last thing to come.
            terminal.until(b"training")
            for key in (b"\r", *[b"+"] * 6):
                terminal.press(key)
            samples["layer table"] = [terminal.press(b"j") for _ in range(keys)]
            samples["layer table, up"] = [terminal.press(b"k") for _ in range(keys)]
        finally:
            terminal.close()
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--network", default="inception_v3")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    samples = measure((width, height), chosen.keys, chosen.network)
    if chosen.json:
        print(json.dumps({"schema": 1, "size": chosen.size, "network": chosen.network, "samples": samples}))
        return
    for place, rows in samples.items():
        times = sorted(1000 * seconds for seconds, _ in rows)
        late = times[min(int(0.95 * len(times)), len(times) - 1)]
        sizes = [count for _, count in rows]
        print(
            f"{place:<16} median {statistics.median(times):5.1f} ms, 95 % under {late:5.1f} ms; "
            f"bytes a key: median {statistics.median(sizes):.0f}, most {max(sizes)}"
        )


if __name__ == "__main__":
    main()

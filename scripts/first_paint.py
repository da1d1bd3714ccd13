"""How long a person waits for the first screen: from the start of the process to the painted catalogue, over a pty.

    python scripts/first_paint.py [--runs 11] [--size 120x40] [--json]

Measured from before fork to the moment at which the catalogue's first network stands in what the app wrote. Printed
beside it: `cnn-explorer list` and `--help` to their last byte, and a bare interpreter (`python -c pass`), with the ratios
of the medians to it, which other machines can be compared by. Medians, after one run that compiles the sources and
warms the disk cache. The time on the processor stands beside the time on the wall: on a machine that does other things
too, the latter is longer.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import os
import pty
import resource
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

from cnn_explorer.models.catalogue import registry

MODULE = [sys.executable, "-m", "cnn_explorer"]
BARE = "interpreter"
PATIENCE_S = 30.0


def environment(home: str) -> dict[str, str]:
    """Return an environment with empty runs and state, so that each start is a first one.

    Byte code is kept between the starts, as it is for a person, whatever this shell says: compiling the sources each time
    costs a tenth.
    """
    folders = {f"CNN_EXPLORER_{name}": os.path.join(home, name.lower()) for name in ("RUNS", "STATE")}
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | folders | {"TERM": "xterm-256color", "PYTHONPYCACHEPREFIX": os.path.join(home, "bytecode")}


def first_paint(size: tuple[int, int], home: str) -> tuple[float, float]:
    """Return the seconds until the first network of the catalogue is on the screen: on the wall and on the processor."""
    wanted = next(iter(registry.variants())).encode()
    begun = time.perf_counter()
    child, terminal = pty.fork()
    if child == 0:
        os.execve(sys.executable, MODULE, environment(home))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    seen = b""
    try:
        while wanted not in seen:
            ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
            if not ready:
                raise SystemExit("the first screen did not come; this was written:\n" + repr(seen[-2000:]))
            seen += os.read(terminal, 1 << 16)
        return time.perf_counter() - begun, processor_seconds(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def processor_seconds(pid: int) -> float:
    """Return user and system time of a process so far (Linux; proc(5) fields 14 and 15); NaN elsewhere."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(words: list[str], home: str) -> tuple[float, float]:
    """Return the seconds that a process takes from start to end: on the wall and on the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, env=environment(home), check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    times: dict[str, list[tuple[float, float]]] = {"first paint": [], "list": [], "--help": [], BARE: []}
    with tempfile.TemporaryDirectory() as home:
        for number in range(chosen.runs + 1):
            # Interleaved, so that whatever else the machine does falls on all alike.
            measured = {
                "first paint": first_paint((width, height), home),
                "list": command([*MODULE, "list"], home),
                "--help": command([*MODULE, "--help"], home),
                BARE: command([sys.executable, "-c", "pass"], home),
            }
            if number:
                for name, seconds in measured.items():
                    times[name].append(seconds)
    report(times, chosen)


def report(times: dict[str, list[tuple[float, float]]], chosen: argparse.Namespace) -> None:
    """Print medians."""
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in times.items()}
    if chosen.json:
        print(json.dumps({"schema": 1, "size": chosen.size, "runs": chosen.runs, "seconds": times, "medians": medians}))
        return
    for name, (wall, processor) in medians.items():
        low, high = min(row[0] for row in times[name]), max(row[0] for row in times[name])
        spread = f"fastest {1000 * low:.0f}, slowest {1000 * high:.0f}; on the processor {1000 * processor:.0f}"
        ratio = f"{wall / medians[BARE][0]:.1f} bare starts, "
        print(f"{name:<12} median {1000 * wall:6.0f} ms   ({ratio if name != BARE else ''}{spread})")


if __name__ == "__main__":
    main()

"""The runs screen measured over a pty: a long run opened, keys and processor while runs are being written, bytes sent.

    python scripts/cockpit_bench.py [--records 1000000] [--seconds 20] [--keys 60] [--size 120x40] [--overview] [--json]

Seconds from the key that goes to a run of ``--records`` records to its first curve; then, while four runs write 50 records a
second each: the bytes a second to the terminal and the share of one processor core that the app takes, without a key, with
the curves of one run and of all four over one another; and the time from a key to the cursor painted on another row, median
and 95th percentile. Before that, the time from the key of the help to the help painted over the overview of the long run,
while that is read and drawn, and after that. A loaded machine spoils the times; processor seconds stand beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from cnn_explorer.trainer.common import process
from cnn_explorer.trainer.runs.lock import RunLock
from key_paint import Terminal

LIVE_RUNS, RECORDS_PER_S = 4, 50
LIVE_EPOCHS, STEPS_PER_EPOCH = 100, 1000
BRAILLE = re.compile(rb"\xe2[\xa0-\xa3][\x80-\xbf]")
CURSOR = "▶".encode()
PATIENCE_S = 120.0
TRAIN_SIGN = "⠤ train".encode()
OVERVIEW_KEYS = 15
READ_S = 30.0
"""So long a million records take to be read, on a busy machine too."""


def record(step: int, seed: int, steps: int) -> dict:
    """Return a training record as the trainer writes it, of a loss that falls with noise."""
    chance = random.Random(step * 31 + seed)
    loss = 2.3 * math.exp(-3 * step / steps) + 0.2 * chance.random()
    return {
        "kind": "train",
        "step": step,
        "epoch": round(step / STEPS_PER_EPOCH, 4),
        "images": step * 128,
        "time": round(step * 0.02, 3),
        "loss": round(loss, 5),
        "accuracy": round(max(0.0, 1 - loss / 2.4), 4),
        "lr": 0.05 * (1 + math.cos(math.pi * step / steps)),
        "grad_norm": round(1 + chance.random(), 4),
        "images_per_s": round(6000 + 500 * chance.random(), 1),
    }


def make_run(runs: Path, name: str, state: str) -> Path:
    """Return a run directory without records."""
    path = runs / name
    path.mkdir(parents=True)
    config = {"schema": 1, "id": name, "network": {"name": name.split("-")[2]}, "data": {"name": "digits"}}
    (path / "run.json").write_text(json.dumps(config | {"recipe": {"epochs": LIVE_EPOCHS}}))
    (path / "status.json").write_text(json.dumps({"schema": 1, "state": state, **process.identity()}))
    (path / "metrics.jsonl").touch()
    return path


def write_live(runs: Path, first: int) -> None:
    """Write the records of the live runs until killed: what the child process of this script does."""
    paths = [
        make_run(runs, f"20261120-1{number}3022-live{number}-digits-000{number}", "training") for number in range(4)
    ]
    locks = [RunLock.acquire(path) for path in paths]
    steps = LIVE_EPOCHS * STEPS_PER_EPOCH // 20
    with ExitStack() as stack:
        files = [stack.enter_context(open(path / "metrics.jsonl", "a", buffering=1)) for path in paths]
        for number, file in enumerate(files):
            file.write("".join(json.dumps(record(step, number, steps)) + "\n" for step in range(first)))
        print("ready", flush=True)
        step, begun = first, time.monotonic()
        while locks:
            for number, file in enumerate(files):
                file.write(json.dumps(record(step, number, steps)) + "\n")
            step += 1
            time.sleep(max(begun + (step - first) / RECORDS_PER_S - time.monotonic(), 0.0))


def open_runs(size: tuple[int, int], home: str) -> Terminal:
    """Return the app on its runs screen."""
    from cnn_explorer.models.catalogue import registry

    terminal = Terminal(size, home)
    terminal.until(next(iter(registry.variants())).encode())
    terminal.wait_until_quiet()
    os.write(terminal.file, b"w")
    terminal.until(b"digits")
    terminal.wait_until_quiet()
    return terminal


def processor_s(terminal: Terminal) -> float:
    """Return the processor seconds that the app took so far, without its helper process."""
    times = psutil.Process(terminal.child).cpu_times()
    return times.user + times.system


def first_curve(size: tuple[int, int], records: int) -> dict[str, float]:
    """Return wall and processor seconds from the key to the first curve of a long run."""
    with tempfile.TemporaryDirectory() as home:
        runs = Path(home) / "runs"
        make_run(runs, "20261121-143022-empty-digits-0000", "finished")
        long = make_run(runs, "20261120-143022-long-digits-0001", "finished")
        with open(long / "metrics.jsonl", "w") as file:
            file.writelines(json.dumps(record(step, 0, records)) + "\n" for step in range(records))
        terminal = open_runs(size, home)
        try:
            # The first screen loads numpy in the background; without a key that is over by now.
            time.sleep(2.0)
            terminal.wait_until_quiet()
            begun, before = time.perf_counter(), processor_s(terminal)
            os.write(terminal.file, b"j")
            seen = b""
            while not BRAILLE.search(seen):
                if time.perf_counter() - begun > PATIENCE_S:
                    raise SystemExit("no curve was painted")
                seen += terminal.read(0.1)
            return {"seconds": time.perf_counter() - begun, "processor_s": processor_s(terminal) - before}
        finally:
            terminal.close()


def overview_keys(size: tuple[int, int], records: int, keys: int) -> dict[str, list[float]]:
    """Return the seconds from a key to what it paints in the overview of a long run: while that is read, and when it is."""
    with tempfile.TemporaryDirectory() as home:
        runs = Path(home) / "runs"
        long = make_run(runs, "20261120-143022-long-digits-0001", "finished")
        with open(long / "metrics.jsonl", "w") as file:
            file.writelines(json.dumps(record(step, 0, records)) + "\n" for step in range(records))
        terminal = open_runs(size, home)
        try:
            os.write(terminal.file, b"\r")
            terminal.until(b"loss over epochs")
            terminal.until(TRAIN_SIGN)
            reading = [help_to_paint(terminal) for _ in range(keys)]
            wait(terminal, READ_S)
            return {"reading": reading, "read": [help_to_paint(terminal) for _ in range(keys)]}
        finally:
            terminal.close()


def help_to_paint(terminal: Terminal) -> float:
    """Return the seconds from ``?`` on the overview to the help being painted over it; closes it again."""
    begun, seen = time.perf_counter(), b""
    os.write(terminal.file, b"?")
    while b"Keys: run" not in seen:
        if time.perf_counter() - begun > PATIENCE_S:
            raise SystemExit("the help was not painted")
        seen += terminal.read(1.0)
    took = time.perf_counter() - begun
    wait(terminal, 0.1)
    os.write(terminal.file, b"\x1b")
    wait(terminal, 0.7)  # in which the overview is drawn again
    return took


def key_to_paint(terminal: Terminal, key: bytes) -> float:
    """Return the seconds from a key in the list to the cursor on its new row, whatever else is painted."""
    begun, seen = time.perf_counter(), b""
    os.write(terminal.file, key)
    while CURSOR not in seen:
        if time.perf_counter() - begun > PATIENCE_S:
            raise SystemExit("the cursor did not move")
        seen += terminal.read(1.0)
    return time.perf_counter() - begun


def at_rest(terminal: Terminal, seconds: float) -> dict[str, float]:
    """Return the bytes a second and share of a core while no key is pressed."""
    wait(terminal, 5.0)
    begun, before = time.perf_counter(), processor_s(terminal)
    count = wait(terminal, seconds)
    took = time.perf_counter() - begun
    return {"bytes_per_s": count / took, "share": (processor_s(terminal) - before) / took}


def while_written(size: tuple[int, int], seconds: float, keys: int) -> dict[str, dict]:
    """Measure at rest with the curves of one run and of four, then with keys; four runs write meanwhile."""
    with tempfile.TemporaryDirectory() as home:
        runs = Path(home) / "runs"
        command = [sys.executable, __file__, "--live", str(runs)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            terminal = None
            try:
                assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
                terminal = open_runs(size, home)
                one = at_rest(terminal, seconds)
                times = []
                begun, before = time.perf_counter(), processor_s(terminal)
                for number in range(keys):
                    times.append(key_to_paint(terminal, b"jk"[number % 2 : number % 2 + 1]))
                    wait(terminal, 0.2)
                share = (processor_s(terminal) - before) / (time.perf_counter() - begun)
                for key in (b"g", *[b"m", b"j"] * LIVE_RUNS):
                    os.write(terminal.file, key)
                    wait(terminal, 0.2)
                four = at_rest(terminal, seconds)
            finally:
                if terminal is not None:
                    terminal.close()
                writer.send_signal(signal.SIGKILL)
    return {"one_run": one, "four_runs": four, "with_keys": {"key_s": times, "share": share}}


def wait(terminal: Terminal, seconds: float) -> int:
    """Read for some time; the number of bytes."""
    count, deadline = 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        count += len(terminal.read(left))
    return count


def print_overview(over: dict[str, list[float]], records: int) -> None:
    """Print the keys in the overview."""
    for when, times in over.items():
        shown = sorted(1000 * one for one in times)
        words = f"median {statistics.median(shown):.0f} ms, the slowest {shown[-1]:.0f} ms"
        print(f"overview of {records:,} records, {when}: from ? to the help {words}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--overview", action="store_true", help="Only the keys in the overview of the long run.")
    parser.add_argument("--live", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.live:
        write_live(chosen.live, first=2000)
        return
    width, height = map(int, chosen.size.split("x"))
    over = overview_keys((width, height), chosen.records, min(chosen.keys, OVERVIEW_KEYS))
    if chosen.overview:
        print_overview(over, chosen.records)
        return
    opened = first_curve((width, height), chosen.records)
    live = while_written((width, height), chosen.seconds, chosen.keys)
    if chosen.json:
        print(
            json.dumps(
                {
                    "schema": 1,
                    "size": chosen.size,
                    "records": chosen.records,
                    "first_curve": opened,
                    "overview": over,
                    **live,
                }
            )
        )
        return
    print(
        f"first curve of {chosen.records:,} records: {opened['seconds']:.2f} s "
        f"({opened['processor_s']:.2f} s of processor time)"
    )
    print_overview(over, chosen.records)
    times = sorted(1000 * one for one in live["with_keys"]["key_s"])
    late = times[min(int(0.95 * len(times)), len(times) - 1)]
    print(f"four runs writing {RECORDS_PER_S} records a second each, {chosen.size}:")
    for words, figures in (("one of them shown", live["one_run"]), ("all of them overlaid", live["four_runs"])):
        sent = f"{figures['bytes_per_s'] / 1000:.1f} kB/s to the terminal"
        print(f"  {words}: {sent}, {figures['share']:.1%} of one core")
    share = f"{live['with_keys']['share']:.1%} of one core"
    print(
        f"  key to paint: median {statistics.median(times):.1f} ms, 95 % under {late:.1f} ms; {share}, a key each 0.2 s"
    )


if __name__ == "__main__":
    main()

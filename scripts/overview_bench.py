"""The overview of a long run that is being written: how often it is painted, and how long the app's loop is held up.

    python scripts/overview_bench.py [--records 1000000] [--seconds 20] [--rate 100] [--size 120x40] [--json]

A run of ``--records`` records is opened while ``--rate`` more a second are written to it. In three phases, the opening, the
reading of the records and ``--seconds`` after that, it counts the paints, the most of them within any second, and the time
by which the event loop comes late: for so long a key waits at least. A loaded machine spoils that; the processor time that
the loop takes at a stretch stands beside it. The app has no terminal here; cockpit_bench.py measures keys over one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.tui.app import AppPaths, ExplorerApp
from cnn_explorer.tui.screens.runs import RunsScreen
from cockpit_bench import make_run, record

TICK_S = 0.005
PATIENCE_S = 300.0


@dataclass
class Phase:
    """What was seen in one part of the measurement, in seconds.

    Moments of paints; by how much each tick came late; the processor time of the loop's thread between two ticks.
    """

    name: str
    paints: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    @property
    def most_in_a_second(self) -> int:
        """The most paints within any second."""
        return max((sum(at <= other < at + 1.0 for other in self.paints) for at in self.paints), default=0)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, times in milliseconds."""
        late = sorted(self.late)
        return {
            "phase": self.name,
            "paints": len(self.paints),
            "most_in_a_second": self.most_in_a_second,
            "late_median_ms": round(1000 * statistics.median(late), 1),
            "late_99_ms": round(1000 * late[int(0.99 * (len(late) - 1))], 1),
            "late_most_ms": round(1000 * late[-1], 1),
            "busy_most_ms": round(1000 * max(self.busy), 1),
        }


async def watch(phase: Phase, paints: Callable[[], int], over: Callable[[], bool]) -> Phase:
    """Tick until ``over()``, and write down paints and delays."""
    before, deadline = paints(), time.perf_counter() + PATIENCE_S
    while not over():
        begun = time.perf_counter()
        if begun > deadline:
            raise SystemExit(f"the phase {phase.name!r} did not end")
        worked = time.thread_time()
        await asyncio.sleep(TICK_S)
        now = time.perf_counter()
        phase.busy.append(time.thread_time() - worked)
        phase.late.append(max(now - begun - TICK_S, 0.0))
        phase.paints += [now] * (paints() - before)
        before = paints()
    return phase


async def measure(folder: Path, size: tuple[int, int], records: int, seconds: float) -> list[Phase]:
    """Return the phases of opening the one run in ``folder``."""
    app = ExplorerApp(AppPaths(folder / "runs", folder / "data", folder / "state", folder / "cache"))

    def pane() -> Any:
        return next(iter(app.screen.query("OverviewPane")), None)

    def paints() -> int:
        return pane().paints if pane() else 0

    def read() -> int:
        return pane().known.records if pane() and pane().known else 0

    async with app.run_test(size=size) as pilot:
        await watch(Phase("start"), paints, lambda: bool(app.runs))
        app.action_show_runs()
        await watch(
            Phase("list"), paints, lambda: isinstance(app.screen, RunsScreen) and app.screen.selected is not None
        )
        app.simulate_key("enter")
        opening = await watch(Phase("opening, to the first paint"), paints, lambda: paints() > 0)
        reading = await watch(Phase("while it is read"), paints, lambda: read() >= records)
        end = time.perf_counter() + seconds
        after = await watch(Phase("while it is followed"), paints, lambda: time.perf_counter() > end)
        await pilot.exit(None)
    return [opening, reading, after]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    over = threading.Event()
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        path = make_run(folder / "runs", "20261120-143022-long-digits-0001", "training")
        lock = RunLock.acquire(path)
        with open(path / "metrics.jsonl", "a", buffering=1 << 16) as file:
            file.writelines(json.dumps(record(step, 0, chosen.records)) + "\n" for step in range(chosen.records))
            file.flush()

            def write_on() -> None:
                step = chosen.records
                while not over.wait(1 / chosen.rate):
                    file.write(json.dumps(record(step, 0, chosen.records)) + "\n")
                    file.flush()
                    step += 1

            writer = threading.Thread(target=write_on)
            writer.start()
            try:
                phases = asyncio.run(measure(folder, (width, height), chosen.records, chosen.seconds))
            finally:
                over.set()
                writer.join()
        lock.release()
    found = [phase.as_dict() for phase in phases]
    if chosen.json:
        print(json.dumps({"schema": 1, "size": chosen.size, "records": chosen.records, "phases": found}))
        return
    for one in found:
        late = f"{one['late_median_ms']} ms (median), {one['late_99_ms']} ms (99 %), {one['late_most_ms']} ms (most)"
        paints = f"{one['paints']} paints, at most {one['most_in_a_second']} in a second"
        busy = f"busy for at most {one['busy_most_ms']} ms of processor time at a stretch"
        print(f"{one['phase']}: {paints}; the loop late by {late}; {busy}")


if __name__ == "__main__":
    main()

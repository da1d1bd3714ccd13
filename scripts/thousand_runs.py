"""How long `cnn-explorer runs` takes in front of a thousand runs, the start of the program included.

    python scripts/thousand_runs.py [--runs 1000] [--records 300] [--repetitions 7] [--folder FOLDER] [--json]

Makes run directories as trainings leave them, with records, logs and all kinds of ends, a seventh of them crashed,
and measures `runs`, `runs --json`, `runs show last` and, inside one process, the first and the second reading of the
whole folder, as the app does it. Medians in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

NETWORKS = ("lenet5", "resnet18", "vgg16", "mobilenet_v2", "convnext_tiny")
STATES = ("finished", "finished", "finished", "stopped", "failed", "diverged", "training")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--records", type=int, default=300, help="records in each run")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="leave the runs there (it must not exist)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="thousand-runs-")) / "runs"
    make(folder, arguments.runs, arguments.records)
    measured = measure(folder, arguments.repetitions)
    if arguments.json:
        print(json.dumps({"schema": 1, "runs": arguments.runs, "records": arguments.records, "milliseconds": measured}))
    else:
        print(f"{arguments.runs} runs of {arguments.records} records, median of {arguments.repetitions}")
        for what, milliseconds in measured.items():
            print(f"  {what:24} {milliseconds:6.0f} ms")
    if arguments.folder is None:
        shutil.rmtree(folder.parent)


def make(folder: Path, runs: int, records: int) -> None:
    """Fill ``folder`` with runs, a minute apart."""
    from cnn_explorer.trainer.runs.ids import new_id
    from cnn_explorer.trainer.runs.run_writer import RunWriter, timestamp

    now = datetime.now(UTC)
    lines = [_record(step, records) for step in range(1, records + 1)]
    for number in range(runs):
        began = now - timedelta(minutes=runs - number)
        network = NETWORKS[number % len(NETWORKS)]
        config = {
            "argv": ["train", network],
            "created": timestamp(began),
            "network": {"name": network, "stem": "small", "in_channels": 3, "image_size": 32, "num_classes": 10},
            "data": {"name": "cifar10", "train": 45000, "classes": [f"class {label}" for label in range(10)]},
            "recipe": {"optimizer": "sgd", "lr": 0.1, "epochs": 30, "batch_size": 128},
        }
        state = STATES[number % len(STATES)]
        with RunWriter.create(folder, new_id(network, "cifar10", began), config) as writer:
            (writer.path / "metrics.jsonl").write_text("".join(lines))
            (writer.path / "train.log").write_text("".join(f"epoch {epoch} of 30\n" for epoch in range(1, 31)))
            best = {"accuracy": 0.9, "epoch": 29}
            writer.status(state=state, phase="epoch 12 of 30", progress=0.4, best=best, test={"accuracy": 0.89}, exit=0)
            writer.lock.release()


def _record(step: int, records: int) -> str:
    values = {"kind": "train", "step": step, "epoch": 30 * step / records, "images": 128 * step, "time": step / 2}
    return json.dumps(values | {"loss": 2 / step, "accuracy": 1 - 1 / step, "lr": 0.1, "grad_norm": 1.0}) + "\n"


def measure(folder: Path, repetitions: int) -> dict[str, float]:
    """Return the medians in milliseconds, by what was done."""
    from cnn_explorer.trainer.runs.reader import RunCache

    def program(*words: str) -> Callable[[], object]:
        command = [sys.executable, "-m", "cnn_explorer", "runs", *words]
        environment = os.environ | {"CNN_EXPLORER_RUNS": str(folder)}
        return lambda: subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    known = RunCache(folder)
    return {
        "runs": _median(program(), repetitions),
        "runs --json": _median(program("--json"), repetitions),
        "runs show last": _median(program("show", "last"), repetitions),
        "first reading": _median(lambda: RunCache(folder).read(), repetitions),
        "second reading": _median(known.read, repetitions + 1),
    }


def _median(act: Callable[[], object], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        begun = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - begun))
    return round(statistics.median(times), 1)


if __name__ == "__main__":
    main()

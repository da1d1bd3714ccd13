"""Stands in for the trainer in tests: takes the same command line, holds the lock, writes records, and needs no torch.

The environment variable FAKE_TRAINER says what it does: ``finish`` after a few records, ``wait`` until it is asked to stop,
``die`` without a word, ``fork`` a helper that outlives it and then die, ``refuse`` to hear SIGTERM and wait for the file.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from pathlib import Path

from cnn_explorer.trainer.runs import requests
from cnn_explorer.trainer.runs.lock import RunLock
from cnn_explorer.trainer.runs.run_writer import RunWriter


def main(arguments: list[str]) -> int:
    runs = Path(arguments[arguments.index("--runs") + 1])
    ids = [value for option, value in itertools.pairwise(arguments) if option == "--run"]
    descriptors = [int(value) for option, value in itertools.pairwise(arguments) if option == "--lock-fd"]
    locks = [RunLock.from_fd(number, runs / name) for number, name in zip(descriptors, ids, strict=True)]
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    code = 0
    for name, lock in zip(ids, locks, strict=True):
        code = train(RunWriter.open(runs / name, lock), os.environ.get("FAKE_TRAINER", "finish"), asked)
        lock.release()
    return code


def train(writer: RunWriter, manner: str, asked: list[int]) -> int:
    print(f"training {writer.path.name}")
    writer.status(state="training", phase="epoch 1 of 3", progress=0.0)
    for step in range(1, 4):
        writer.record({"kind": "train", "step": step, "epoch": step / 2, "loss": 1 / step, "accuracy": 0.5})
    writer.record({"kind": "eval", "split": "validation", "step": 3, "epoch": 1, "loss": 0.5, "accuracy": 0.75})
    if manner == "fork" and os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    if manner in ("die", "fork"):
        os._exit(9)
    if manner == "refuse":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while manner in ("wait", "refuse"):
        if asked or requests.is_requested(writer.path, requests.STOP):
            writer.status(state="stopped", exit=130)
            time.sleep(0.3)  # the process goes on for a moment after its last word, as torch does
            return 130
        time.sleep(0.01)
    writer.status(state="finished", progress=1.0, best={"accuracy": 0.75, "epoch": 1}, test={"accuracy": 0.7}, exit=0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

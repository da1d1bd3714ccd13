"""What the engine adds to a step of a loop by hand that keeps the same metrics: on a near-empty network, then on real ones.

usage: python scripts/bench_overhead.py [--dataset NAME] [--threads N] [--rounds N] [--seconds S] [--cpu] [NAME ...]

The near-empty network is one linear layer on four pixels in batches of 64, so that the loop itself is what takes the time.
Both loops have the same images, batches, optimiser and threads and take turns of about S seconds; the median over the
rounds counts. Networks named (lenet5 and resnet20) follow with the batches of their recipes. --cpu counts seconds on the
processor, for a machine that does other work beside. Exits 1 where the overhead is above 20 µs or a network below 0.97.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from cnn_explorer.trainer.bench import ours, run
from cnn_explorer.trainer.bench.bare import BareLoop, Pixels
from cnn_explorer.trainer.bench.measure import Timing, interleaved
from cnn_explorer.trainer.bench.run import Settings
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.loop.train_step import Updater
from cnn_explorer.trainer.optim.build import build_optimizer
from torch import Tensor, nn

MOST_US = 20.0
LEAST_SHARE = 0.97
BATCH = 64
CPU = torch.device("cpu")


class NearEmpty(nn.Module):
    """One linear layer on the first four pixels: (B, C, H, W) → (B, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1)[:, :4])


def near_empty(settings: Settings, threads: int, rounds: dict) -> tuple[Timing, Timing]:
    """Return the engine and the loop by hand on the near-empty network."""
    made = run.plan("lenet5", dataclasses.replace(settings, batch_size=BATCH), threads, quiet)
    data, recipe = made.data, made.config.recipe
    session = ours.session_of(made.config, data)
    network = NearEmpty()
    session = dataclasses.replace(
        session, network=network, updater=Updater(network, build_optimizer(network, recipe), recipe)
    )
    twin = NearEmpty()
    pixels = Pixels(data.train.images, data.train.labels, data.mean, data.std, data.image_size)
    bare = BareLoop(twin, build_optimizer(twin, recipe), pixels, BATCH)
    with (
        tempfile.TemporaryDirectory() as runs,
        contextlib.closing(ours.EngineLoop(session, made.config, Path(runs))) as engine,
    ):
        timings = interleaved({"engine": engine, "bare": bare}, device=CPU, **rounds)
    return timings["engine"], timings["bare"]


def network(name: str, settings: Settings, threads: int, rounds: dict) -> tuple[Timing, Timing]:
    """Return the engine and the loop by hand on a network of the catalogue."""
    made = run.plan(name, settings, threads, quiet)
    with contextlib.ExitStack() as stack:
        runs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = stack.enter_context(contextlib.closing(run.Bench(made.config, made.data, settings, runs, quiet)))
        timings = interleaved({"engine": bench.engine(), "bare": bench.bare()}, device=CPU, **rounds)
    return timings["engine"], timings["bare"]


def quiet(line: str) -> None:
    """Drop what a plan prints."""


def row(name: str, engine: Timing, bare: Timing) -> tuple[float, float]:
    """Print one row; returns the overhead in µs and the share of the bare loop's speed."""
    mine, theirs = (1e6 * statistics.median(timing.step_s) for timing in (engine, bare))
    more, share = 1e6 * engine.longer_than(bare), engine.faster_than(bare)
    print(f"| {name} | {theirs:,.0f} | {mine:,.0f} | {more:+.1f} | {share:.3f} |", flush=True)
    return more, share


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=["lenet5", "resnet20"])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    threads = hardware.choose_threads(given.threads, alone=True)
    hardware.use_threads(threads)
    clock = time.process_time if given.cpu else time.perf_counter
    rounds = {"seconds": given.seconds, "repeats": given.rounds, "clock": clock}
    settings = Settings(given.dataset, device="cpu")
    print(f"{given.dataset}, {threads} threads, µs a step")
    print("| network | by hand | engine | more | share of the speed |\n|---|---:|---:|---:|---:|")
    more, _ = row("near-empty", *near_empty(settings, threads, rounds))
    shares = [row(name, *network(name, settings, threads, rounds))[1] for name in given.names]
    sys.exit(more > MOST_US or min(shares, default=1.0) < LEAST_SHARE)


if __name__ == "__main__":
    main()

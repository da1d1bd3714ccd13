"""Hold the memory estimate against independent counts of a real training step on the CPU.

usage: python scripts/memory_check.py [NAME:BATCH ...]

For each network, at two batch sizes and with two optimisers: the estimate, which comes from a step without memory; the
peak that torch's own MemTracker counts in a real step; that of our own count of storages that are alive
(models/anatomy/totals/live_bytes.py); and the allocator's, which also sees what kernels take for themselves while they run.
Exit code 1 where the estimate is more than 5 % off MemTracker's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.totals import memory
from cnn_explorer.models.anatomy.totals.live_bytes import LiveBytes
from cnn_explorer.models.catalogue import registry
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.profiler import ProfilerActivity, profile

LIMIT = 0.05
TEN = [
    ("resnet18", 16),
    ("vgg11_bn", 16),
    ("densenet_bc_100_12", 8),
    ("mobilenet_v2_100", 8),
    ("googlenet_bn", 8),
    ("squeezenet1_1", 8),
    ("shufflenet_v2_100", 8),
    ("efficientnet_b0", 4),
    ("vit_tiny_16", 4),
    ("convnext_tiny", 4),
]
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class TrainingStep:
    """A network with its optimiser after a first update, and a batch for the second."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    images: Tensor

    def __call__(self) -> None:
        """Make an update, as the trainer does: no gradient is left from the one before."""
        memory.loss_of(self.network, self.images).backward()
        self.optimizer.step()

    @property
    def standing(self) -> list[Tensor]:
        """All tensors that exist before the update."""
        states = [value for state in self.optimizer.state.values() for value in state.values()]
        tensors = [value for value in states if isinstance(value, Tensor)]
        return [*self.network.parameters(), *self.network.buffers(), self.images, *tensors]


def prepared(name: str, batch: int, optimizer: str) -> TrainingStep:
    """Build the network with the stem for small images, where it has one, and make the first update."""
    torch.manual_seed(0)
    network = registry.build(name, stem="small").train()
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "sgd": lambda weights: torch.optim.SGD(weights, lr=0.01, momentum=0.9, fused=True),
        "adam": lambda weights: torch.optim.Adam(weights, lr=1e-4, fused=True),
    }
    step = TrainingStep(
        network, kinds[optimizer](network.parameters()), torch.randn(batch, *registry.find(name).counts("small").input)
    )
    step()
    step.optimizer.zero_grad(set_to_none=True)
    return step


def of_mem_tracker(step: TrainingStep) -> int:
    """Return the peak in torch's own count of tensors."""
    tracker = MemTracker()
    tracker.track_external(step.network, step.optimizer, step.images)
    with tracker:
        step()
    peak = tracker.get_tracker_snapshot("peak")
    return peak[torch.device("cpu")]["Total"]


def of_live_bytes(step: TrainingStep) -> int:
    """Return the peak in our own count of tensors."""
    counter = LiveBytes()
    counter.hold(step.standing)
    with counter:
        step()
    return counter.peak


def of_allocator(step: TrainingStep) -> int:
    """Return the peak in the allocator's book-keeping, the workspaces of kernels included."""
    counter = LiveBytes()
    standing = counter.hold(step.standing)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    assert record.profiler is not None and record.profiler.kineto_results is not None
    events: list[Any] = record.profiler.kineto_results.events()  # torch declares less of an event than it has
    running, peak = 0, 0
    for event in events:
        if event.name() == "[memory]":
            running += event.nbytes()
            peak = max(peak, running)
    return peak + standing


COUNTS = {"MemTracker": of_mem_tracker, "live bytes": of_live_bytes, "allocator": of_allocator}


def estimated(name: str, batch: int, optimizer: str) -> int:
    """Return the peak that the program tells."""
    network = counting.on_meta(lambda: registry.build(name, stem="small"))
    return memory.training_memory(network, registry.find(name).counts("small").input, batch, optimizer=optimizer).peak


def measured(name: str, batch: int, optimizer: str) -> dict[str, int]:
    """Return the peak of a real step in each count."""
    found = {}
    for title, count in COUNTS.items():
        step = prepared(name, batch, optimizer)
        found[title] = count(step)
        del step
    return found


def rows(networks: list[tuple[str, int]]) -> Iterator[tuple[str, int, str, int, dict[str, int]]]:
    """Yield network, batch, optimiser, the estimate and the counts."""
    for name, largest in networks:
        for batch in (largest // 4, largest):
            for optimizer in OPTIMIZERS:
                yield name, batch, optimizer, estimated(name, batch, optimizer), measured(name, batch, optimizer)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NAME:BATCH", help="the larger of both batch sizes")
    chosen = [tuple(text.split(":")) for text in parser.parse_args().networks]
    networks = [(name, int(batch)) for name, batch in chosen] or TEN
    titles = ["network", "batch", "optimiser", "estimate", *COUNTS, "estimate off"]
    print(f"| {' | '.join(titles)} |\n|---|---:|---|{'---:|' * (len(titles) - 3)}", flush=True)
    worst = 0.0
    for name, batch, optimizer, estimate, counts in rows(networks):
        off = estimate / counts["MemTracker"] - 1
        worst = max(worst, abs(off))
        sizes = " | ".join(f"{size / 1e6:,.1f}" for size in (estimate, *counts.values()))
        print(f"| {name} | {batch} | {optimizer} | {sizes} | {100 * off:+.1f} % |", flush=True)
    print(f"\nMB of the whole step. The estimate is at most {100 * worst:.1f} % off MemTracker's count.")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""Hold the memory estimate against the allocator's own book-keeping of a real training step on the CPU.

usage: python scripts/measure_memory.py [NAME ...]

For each network: one step of SGD with momentum after a warm-up step, peak of the allocator's running total from the
profiler, the estimate from the meta device, and their ratio. Exit code 1 where a ratio leaves 0.85 to 1.15.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from cnn_explorer.models.anatomy import counting, memory
from cnn_explorer.models.catalogue import registry
from torch.profiler import ProfilerActivity, profile

TEN = [
    ("resnet18", 32),
    ("vgg11_bn", 32),
    ("densenet_bc_100_12", 16),
    ("mobilenet_v2_100", 32),
    ("googlenet_bn", 32),
    ("squeezenet1_1", 64),
    ("shufflenet_v2_100", 32),
    ("efficientnet_b0", 32),
    ("vit_tiny_16", 32),
    ("convnext_tiny", 16),
]


def loss_of(network: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    outputs = network(images)
    return torch.nn.functional.cross_entropy(outputs if isinstance(outputs, torch.Tensor) else outputs[0], targets)


def measured_peak(name: str, batch: int) -> int:
    """Return the bytes at the peak of one training step, weights and optimiser state included."""
    torch.manual_seed(0)
    network = registry.build(name, stem="small").train()
    shape = registry.find(name).counts("small").input
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images, targets = torch.randn(batch, *shape), torch.randint(10, (batch,))
    loss_of(network, images, targets).backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        loss_of(network, images, targets).backward()
        optimizer.step()
    assert record.profiler is not None and record.profiler.kineto_results is not None
    events: list[Any] = record.profiler.kineto_results.events()  # torch declares less of an event than it has
    running, peak = 0, 0
    for event in events:
        if event.name() == "[memory]":
            running += event.nbytes()
            peak = max(peak, running)
    standing = sum(p.numel() * 4 for p in network.parameters()) * 2
    return peak + standing


def main() -> None:
    wanted = [(name, batch) for name, batch in TEN if len(sys.argv) == 1 or name in sys.argv[1:]]
    print(f"torch {torch.__version__}, small stems, fp32, SGD with momentum; MB")
    print(f"{'network':22}{'batch':>6}{'estimate':>10}{'measured':>10}{'ratio':>8}")
    worst = 0.0
    for name, batch in wanted:
        network = counting.on_meta(lambda name=name: registry.build(name, stem="small"))
        estimate = memory.training_memory(network, registry.find(name).counts("small").input, batch).peak
        measured = measured_peak(name, batch)
        ratio = estimate / measured
        worst = max(worst, abs(ratio - 1))
        print(f"{name:22}{batch:6}{estimate / 1e6:10.1f}{measured / 1e6:10.1f}{ratio:8.2f}")
    sys.exit(worst > 0.15)


if __name__ == "__main__":
    main()

"""Hold single values of the layer table's rows, and its totals, against what torch itself computes.

usage: python scripts/check_values.py NAME ...

Each network of the catalogue runs in double precision with weights, biases and statistics that are neither 0 nor 1. Of
each kind of row that opens to one value the first, the middle and the last are opened at three places. The value must be
the one that torch gave there, and its numbers must make it up to 1e-6. Parameters are counted from the network's own
tensors, MACs by torch's FlopCounterMode, which leaves attention in one call out. The exit code is 1 where a
value is not right.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from typing import Any

import torch
from cnn_explorer.models.anatomy import server
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.values import one_value
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

CLOSE = 1e-6


class Outputs(TorchFunctionMode):
    """Keeps what each call gives, by its shape, and what each module gives, by its name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.found: dict[tuple[str, tuple[int, ...]], list[Tensor]] = defaultdict(list)
        self.hooks = [
            module.register_forward_hook(lambda module, args, output, name=name: self.keep(name, output))
            for name, module in network.named_modules()
        ]

    def let_go(self) -> None:
        """Take the hooks off: the copies that they make would count as calls of the network."""
        for hook in self.hooks:
            hook.remove()

    def keep(self, name: str, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) and output else output
        if isinstance(first, Tensor) and first.is_floating_point():
            self.found[name, tuple(first.shape)].append(first.detach().clone())

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self.keep("call", output)
        return output


def drawn(spec: external.NetworkSpec) -> nn.Module:
    """Return a network in double precision without weights or statistics of 0 and 1."""
    network = server.built_with_seed(spec).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight) * 0.02 if weight.ndim > 1 else torch.rand_like(weight) * 0.2)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(torch.randn_like(buffer) * 0.1)
            if name.endswith("running_var"):
                buffer.mul_(0.5 + torch.rand_like(buffer))
    return network


def chosen(tree: Layer) -> list[Layer]:
    """Return the first, the middle and the last row of each kind that opens."""
    kinds: dict[tuple[str, str], list[Layer]] = defaultdict(list)
    for _, row in tree.walk():
        if one_value.opens(row):
            kinds[row.kind, row.type].append(row)
    return [
        row for rows in kinds.values() for row in {r.id: r for r in (rows[0], rows[len(rows) // 2], rows[-1])}.values()
    ]


def check(name: str) -> bool:
    """Print what is right of one network and what is not; return whether all is."""
    torch.manual_seed(3)
    spec = external.network_spec(name)
    tree = external.anatomy_of(spec)
    network = drawn(spec)
    image = torch.randn(1, *spec.shape, dtype=torch.double)
    outputs = Outputs(network)
    with outputs, torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    outputs.let_go()
    outputs_of = outputs.found
    right: Counter[str] = Counter()
    wrong, largest, draw = 0, 0.0, random.Random(1)
    for row in chosen(tree):
        caught = one_value.row_as_it_ran(network, row.id, image)
        sizes = row.output[1:]
        middle, drawn_at = tuple(size // 2 for size in sizes), tuple(draw.randrange(size) for size in sizes)
        for place in dict.fromkeys((middle, (0,) * len(sizes), drawn_at)):
            value = one_value.value_of(caught, place, row.id)
            there = outputs_of[row.name if row.kind == "module" else "call", tuple(row.output)]
            same = value.computed == value.total  # -inf of a mask, too
            off = 0.0 if same else abs(value.computed - value.total) / max(abs(value.total), CLOSE)
            largest = max(largest, off)
            if off < CLOSE and any(float(output[(0, *place)]) == value.total for output in there):
                right[f"{row.type} ({value.kind})"] += 1
            else:
                wrong += 1
                print(f"    {row.id} {row.name} {row.type} at {place}: {value.total}, computed {value.computed}")
    parameters = sum(weight.numel() for weight in network.parameters())
    print(f"{name}: {dict(right)}, {wrong} wrong, computed at most {largest:.0e} off")
    print(f"    parameters {tree.parameters} and {parameters}, MACs {tree.macs} and", end=" ")
    print(f"{counter.get_total_flops() // 2}", flush=True)
    return not wrong and parameters == tree.parameters


if __name__ == "__main__":
    found = [check(name) for name in sys.argv[1:]]
    sys.exit(not all(found))

"""Two to four networks side by side, and the difference between a network and its predecessor as a computed table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .layer_table import Layer
from .memory import Memory


@dataclass(frozen=True)
class NetworkSummary:
    """The figures of one network: ``parts`` are its top-level parts as (name, parameters, multiply-adds)."""

    name: str
    input: tuple[int, ...]
    parameters: int
    macs: int
    depth: int
    receptive_field: int | None
    is_global: bool
    memory_bytes: int
    parts: tuple[tuple[str, int, int], ...]


def summary(name: str, layer: Layer, memory: Memory | None) -> NetworkSummary:
    """Return the summary of an analysed network; ``memory`` is that of training it, None where that is unknown."""
    parts = tuple(
        (child.name, child.parameters, child.macs) for child in layer.children if child.parameters or child.macs
    )
    return NetworkSummary(
        name=name,
        input=layer.inputs[0][1:],
        parameters=layer.parameters,
        macs=layer.macs,
        depth=layer.depth,
        receptive_field=layer.receptive_field,
        is_global=layer.is_global,
        memory_bytes=0 if memory is None else memory.peak,
        parts=parts,
    )


@dataclass(frozen=True)
class Change:
    """One kind of layer, how often it stands in the older and in the newer network, and its parameters in both."""

    kind: str
    before: int
    after: int
    parameters_before: int
    parameters_after: int

    @property
    def verdict(self) -> str:
        """added, removed, more, fewer, or resized where only the parameters changed."""
        if self.before == 0:
            return "added"
        if self.after == 0:
            return "removed"
        if self.before != self.after:
            return "more" if self.after > self.before else "fewer"
        return "resized"


OPERATION_WORDS = {
    "+": "+ (sum of branches)",
    "×": "× (gate or scale)",
    "concat": "concatenation",
    "matmul": "matrix product",
}


def kind_of(layer: Layer) -> str:
    """Return the name under which a leaf is counted: "Conv2d 3×3", "Conv2d 3×3 depthwise", "Linear", "+ (sum of
    branches)".
    """
    if layer.kind == "operation":
        return OPERATION_WORDS.get(layer.type, layer.type)
    kernel = layer.settings.get("kernel_size")
    if kernel is None:
        return layer.type
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    text = f"{layer.type} {'×'.join(map(str, sides))}"
    groups = layer.settings.get("groups", 1)
    if groups > 1:
        text += " depthwise" if layer.inputs and groups == layer.inputs[0][1] else " grouped"
    return text


def count_layers(layer: Layer) -> tuple[Counter[str], Counter[str]]:
    """Return how often each kind of leaf runs, and the parameters under each kind. ``layer`` must not be folded."""
    times: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for _, row in layer.walk():
        if row.executed and (not row.children or row.type == "MultiheadAttention"):
            times[kind_of(row)] += 1
            parameters[kind_of(row)] += row.parameters
    return times, parameters


IGNORED = ("Identity", "Dropout", "DropPath", "StochasticDepth", "Flatten", "Permute", "rearrange")


def difference(older: Layer, newer: Layer) -> list[Change]:
    """Return what was added, removed or resized from one network to another; kinds that are equal in both are left out."""
    times_before, parameters_before = count_layers(older)
    times_after, parameters_after = count_layers(newer)
    changes = [
        Change(kind, times_before[kind], times_after[kind], parameters_before[kind], parameters_after[kind])
        for kind in sorted(times_before.keys() | times_after.keys())
        if kind not in IGNORED
        and (times_before[kind], parameters_before[kind]) != (times_after[kind], parameters_after[kind])
    ]
    order = {"added": 0, "removed": 1, "more": 2, "fewer": 3, "resized": 4}
    return sorted(changes, key=lambda change: (order[change.verdict], change.kind))

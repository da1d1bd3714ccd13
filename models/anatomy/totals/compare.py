"""Two to four networks side by side, and the difference between a network and its predecessor as a computed table."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..rows.layer import Layer
from .memory import Memory


@dataclass(frozen=True)
class NetworkSummary:
    """The figures of one network: ``parts`` are its top-level parts as (name, parameters, MACs).

    ``input`` is the first of its ``inputs``. ``trainable`` of the ``parameters`` learn. Shared weights count once, in
    the part that has them first.
    """

    name: str
    input: tuple[int, ...]
    parameters: int
    macs: int
    depth: int
    receptive_field: int | None
    is_global: bool
    memory_bytes: int
    parts: tuple[tuple[str, int, int], ...]
    trainable: int
    inputs: tuple[tuple[int, ...], ...] = ()


def summary(name: str, layer: Layer, memory: Memory | None) -> NetworkSummary:
    """Return the summary of an analysed network; ``memory`` is that of training it, None where that is unknown."""
    parts = tuple(
        (child.name, child.own_parameters, child.macs) for child in layer.children if child.own_parameters or child.macs
    )
    return NetworkSummary(
        name=name,
        input=layer.inputs_of_one[0],
        parameters=layer.parameters,
        macs=layer.macs,
        depth=layer.depth,
        receptive_field=layer.receptive_field,
        is_global=layer.is_global,
        memory_bytes=0 if memory is None else memory.peak,
        parts=parts,
        trainable=layer.trainable,
        inputs=layer.inputs_of_one,
    )


@dataclass(frozen=True)
class Change:
    """One kind of layer, how often it runs in the older and in the newer network, and its parameters in both.

    Weights that a layer shares with an earlier one are not among its parameters; ``shared_before`` and ``shared_after``
    are their values.
    """

    kind: str
    before: int
    after: int
    parameters_before: int
    parameters_after: int
    shared_before: int = 0
    shared_after: int = 0

    @property
    def verdict(self) -> str:
        """added, removed, more, fewer, resized where only the size of the layers changed, shared where only the number
        of layers with weights of their own did.
        """
        if self.before == 0:
            return "added"
        if self.after == 0:
            return "removed"
        if self.before != self.after:
            return "more" if self.after > self.before else "fewer"
        sizes = self.parameters_before + self.shared_before, self.parameters_after + self.shared_after
        return "shared" if sizes[0] == sizes[1] else "resized"


IN_TRAINING = "(not run in eval)"
HELD = "weights outside layers"
OPERATION_WORDS = {
    "+": "+ (sum of branches)",
    "×": "× (gate or scale)",
    "concat": "concatenation",
    "matmul": "matrix product",
}


MODULES = {name.lower(): name for name, value in vars(nn).items() if isinstance(value, type)}
"""The layers of torch.nn by the name that the function has which does the same: maxpool2d, relu."""


def kind_of(layer: Layer) -> str:
    """Return the name under which a leaf is counted: "Conv2d 3×3", "Conv2d 3×3 depthwise", "Linear", "+ (sum of
    branches)".
    """
    kind = layer.type
    if layer.kind == "operation":
        if layer.type in OPERATION_WORDS:
            return OPERATION_WORDS[layer.type]
        kind = MODULES.get(layer.type.replace("_", ""), layer.type)  # F.max_pool2d does what nn.MaxPool2d does
    kernel = layer.settings.get("kernel_size")
    if kernel is None:
        return kind
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    text = f"{kind} {'×'.join(map(str, sides))}"
    groups = layer.settings.get("groups", 1)
    if groups > 1:
        text += " depthwise" if layer.inputs and groups == layer.inputs[0][1] else " grouped"
    return text


@dataclass
class LayerCount:
    """How often layers of one kind run, their parameters, and those of them that an earlier row has counted."""

    times: int = 0
    parameters: int = 0
    shared: int = 0


def count_layers(layer: Layer) -> dict[str, LayerCount]:
    """Return how often each kind of leaf runs, and the parameters under each kind. ``layer`` must not be folded.

    The parameters add up to those of the network: shared ones count where they stand first, what a block holds itself
    (a table of positions, a scale) is a kind of its own, and so is a head that runs in training only.
    """
    found: dict[str, LayerCount] = {}
    for _, row in layer.walk():
        own = row.own_parameters - sum(child.own_parameters for child in row.children)
        is_leaf = not row.children or row.type == "MultiheadAttention"
        if not own and not (is_leaf and row.executed):
            continue
        kind = kind_of(row) if is_leaf else HELD
        count = found.setdefault(kind if row.executed else f"{kind} {IN_TRAINING}", LayerCount())
        count.times += 1
        count.parameters += own
        count.shared += row.shared if is_leaf else 0
    return found


IGNORED = frozenset(
    [
        "Identity",
        "Dropout",
        "DropPath",
        "StochasticDepth",
        "Flatten",
        "Permute",
        "rearrange",
        "flatten",
        "reshape",
        "permute",
        "slice",
        "split",
    ]
)
"""What computes nothing in evaluation, or only moves values."""


def difference(older: Layer, newer: Layer) -> list[Change]:
    """Return what was added, removed or resized from one network to another; kinds that are equal in both are left out."""
    before, after, nothing = count_layers(older), count_layers(newer), LayerCount()
    changes = []
    for kind in sorted(before.keys() | after.keys()):
        old, new = before.get(kind, nothing), after.get(kind, nothing)
        if kind not in IGNORED and old != new:
            shared = old.shared, new.shared
            changes.append(Change(kind, old.times, new.times, old.parameters, new.parameters, *shared))
    order = {"added": 0, "removed": 1, "more": 2, "fewer": 3, "resized": 4, "shared": 5}
    return sorted(changes, key=lambda change: (order[change.verdict], change.kind))

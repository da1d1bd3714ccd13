"""The layer tree that the helper process computed, as plain data: which rows are visible, and what they contain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from typing import Any

from ...models.catalogue.notes import memory_text, quantity, shape_text
from ...models.catalogue.share_text import share_text

OPENED, CLOSED, LEAF = "▾ ", "▸ ", "  "
INDENT = "  "
OTHERS = "others"
"""What the parts are called that have no bar of their own."""


@dataclass(frozen=True)
class FilledFormula:
    """A formula in letters and with the numbers of a layer put in."""

    what: str
    general: str
    filled: str
    value: int


@dataclass(frozen=True)
class LayerNode:
    """A row of the tree; see models/anatomy/rows/layer.py for the meaning. Shapes are without the batch axis.

    ``key`` is unique in its tree: a bare operation has the name of the module it runs in. The network itself has
    ``remarks``, and a ``problem`` where its run broke off.
    """

    key: str
    name: str
    kind: str
    type: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    output_bytes: int
    receptive_field: int | None
    is_global: bool
    executed: bool
    times: int
    phrase: str
    settings: dict[str, Any] = field(default_factory=dict)
    formulas: tuple[FilledFormula, ...] = ()
    children: tuple[LayerNode, ...] = ()
    frozen: int = 0
    shared: int = 0
    weights_of: str = ""
    failed: bool = False
    problem: str = ""
    remarks: tuple[str, ...] = ()
    id: int = -1
    reads: tuple[int | None, ...] = ()
    axes: tuple[str, ...] = ()
    batch_axis: int | None = 0
    layout: dict[str, Any] | None = None
    layout_in: dict[str, Any] | None = None
    opens: bool = False
    minor: bool = False
    runs: str = ""
    field_unknown: str = ""
    global_along: str = ""

    @property
    def own_parameters(self) -> int:
        """The parameters without those that an earlier row has counted."""
        return self.parameters - self.shared

    @property
    def parameters_text(self) -> str:
        """The parameters in words: "2.36 M parameters, frozen, weights of layer1"; "" where it has none."""
        if not self.parameters:
            return ""
        words = f"{quantity(self.parameters)} parameters"
        if self.frozen:
            learning = self.parameters - self.frozen
            words += f", {quantity(learning)} learn" if learning else ", frozen"
        if self.shared:
            some = "" if self.shared == self.parameters else f"{quantity(self.shared)} "
            words += f", {some}weights of {self.weights_of}"
        return words

    @property
    def label(self) -> str:
        """The last part of its name, the sign of an operation, the class of the network itself."""
        if self.kind == "operation":
            return self.type
        last = self.name.rsplit(".", 1)[-1]
        return f"{last} {self.type}" if last.isdigit() else last or self.type

    @property
    def changes_size(self) -> bool:
        """Whether the output differs in shape from the first input."""
        return not self.inputs or self.inputs[0] != self.output

    def walk(self) -> Iterator[LayerNode]:
        """Yield this row and all below it, in order of execution."""
        yield self
        for child in self.children:
            yield from child.walk()


def from_answer(data: dict[str, Any], key: str = "0") -> LayerNode:
    """Return the tree in an answer of the helper process (its key "tree"). KeyError or TypeError where it is none."""
    one = data["of_one_image"]
    return LayerNode(
        key=key,
        name=data["name"],
        kind=data["kind"],
        type=data["type"],
        inputs=tuple(tuple(shape) for shape in one["inputs"]),
        output=tuple(one["output"]),
        axes=tuple(one["axes"]),
        batch_axis=one["batch_axis"],
        parameters=data["parameters"],
        macs=data["macs"],
        output_bytes=data["output_bytes"],
        receptive_field=data["receptive_field"],
        is_global=data["is_global"],
        executed=data["executed"],
        times=data["times"],
        phrase=data["phrase"],
        settings=data["settings"],
        formulas=tuple(FilledFormula(**formula) for formula in data["formulas"]),
        children=tuple(from_answer(child, f"{key}.{number}") for number, child in enumerate(data["children"])),
        frozen=data.get("frozen", 0),
        shared=data.get("shared", 0),
        weights_of=data.get("weights_of", ""),
        failed=data.get("failed", False),
        id=data.get("id", -1),
        reads=tuple(data.get("reads", ())),
        layout=data.get("layout"),
        layout_in=data.get("layout_in"),
        opens=data.get("opens", data["type"] == "Conv2d"),
        minor=data.get("minor", False),
        runs=data.get("runs", ""),
        field_unknown=data.get("field_unknown", ""),
        global_along=data.get("global_along", ""),
    )


def of_network(answer: dict[str, Any]) -> LayerNode:
    """Return the tree in an answer, with what is told of it as a whole."""
    tree = from_answer(answer["tree"])
    return replace(tree, problem=answer.get("problem", ""), remarks=tuple(answer.get("remarks", ())))


def opened_to(tree: LayerNode, depth: int) -> set[str]:
    """Return the keys of the rows that are open when ``depth`` levels below the network are shown."""
    return {node.key for node in tree.walk() if node.key.count(".") < depth and node.children}


def visible(
    tree: LayerNode, opened: Set[str], *, only_changes: bool = False, without_minor: bool = False
) -> list[LayerNode]:
    """Return the visible rows: the children of open ones; with ``only_changes`` those alone whose output has another
    size, with ``without_minor`` none of the operations that only change the layout or bend values.
    """
    rows: list[LayerNode] = []

    def add(node: LayerNode) -> None:
        if not ((only_changes and node is not tree and not node.changes_size) or (without_minor and node.minor)):
            rows.append(node)
        if node.key in opened:
            for child in node.children:
                add(child)

    add(tree)
    return rows


def cells(node: LayerNode, opened: Set[str]) -> tuple[str, ...]:
    """Return layer, class, output, parameters, MACs, receptive field, and memory of the output."""
    mark = (OPENED if node.key in opened else CLOSED) if node.children else LEAF
    times = f" ×{node.times}" if node.times > 1 else ""
    return (
        INDENT * node.key.count(".") + mark + node.label + times,
        (node.type if node.kind == "module" else node.phrase) + (" ← fails here" if node.failed else ""),
        output_text(node) if node.executed else "never runs" if node.runs == "never" else "training only",
        quantity(node.own_parameters * node.times) if node.own_parameters else "",
        quantity(node.macs * node.times) if node.macs else "",
        field_text(node),
        memory_text(node.output_bytes) if node.output_bytes else "",
    )


def field_text(node: LayerNode) -> str:
    """Return the receptive field of a row in six columns: "43", "483 g" where it is global too, "–" where unknown."""
    if node.receptive_field is None:
        return "global" if node.is_global else "–" if node.field_unknown else ""
    return f"{node.receptive_field} g" if node.is_global else str(node.receptive_field)


def output_text(node: LayerNode) -> str:
    """Return the shape of what comes out, batch axis left out, in words where that is one value, such as a class."""
    return shape_text(node.output) or ("one value" if node.output_bytes else "")


def receptive_field(summary: dict[str, Any]) -> str:
    """Return the receptive field of the last row that has one, and whether some path reaches every place."""
    side = summary["receptive_field"]
    return f"{side}{', and global' if summary['is_global'] else ''}" if side else "global"


def budget(tree: LayerNode, what: str) -> list[tuple[str, float]]:
    """Return the parts of the network and their share of "parameters" or "macs", in order; parts below half a percent
    in one. Shared weights count where they stand first.
    """
    field = "own_parameters" if what == "parameters" else what
    total = sum(getattr(child, field) * child.times for child in tree.children) or 1
    shares = [(child.label, getattr(child, field) * child.times / total) for child in tree.children]
    small = sum(share for _, share in shares if 0 < share < 0.005)
    return [pair for pair in shares if pair[1] >= 0.005] + ([(OTHERS, small)] if small else [])


def bar(shares: list[tuple[str, float]], cells: int) -> str:
    """Return a line of ``cells`` cells: each part as its name, a stretch of blocks and its share; the smallest parts, where
    there is no room for all, as "others" in one, or as "…" where not even two have room.
    """
    kept = sorted(range(len(shares)), key=lambda place: -shares[place][1])
    while len(kept) > 1 and _labels(_with_others(shares, kept)) + len(kept) > cells:
        kept.pop()
    shown = _with_others(shares, kept)
    fitting = shown if _labels(shown) + len(shown) <= cells else shown[:1]
    room = max(cells - _labels(fitting), len(fitting))
    parts = [f"{name} {'█' * int(share * room) or '▏'} {_share(share)}" for name, share in fitting]
    return " ".join(parts) + (" …" if len(fitting) < len(shown) else "")


def _with_others(shares: list[tuple[str, float]], kept: list[int]) -> list[tuple[str, float]]:
    """Return the parts that are kept, in order, and the sum of what is left as the last of them."""
    named = [shares[place] for place in sorted(kept) if shares[place][0] != OTHERS]
    left = 1 - sum(share for _, share in named)
    return [*named, (OTHERS, left)] if len(named) < len(shares) else named


def _labels(shares: list[tuple[str, float]]) -> int:
    """Return the cells of names and shares with the blanks around them, without the blocks."""
    return len(" ".join(f"{name}  {_share(share)}" for name, share in shares))


def _share(share: float) -> str:
    """Return a share of a bar; of what is there, none is 0 %."""
    return share_text(share) if share >= 0.005 else "<1 %"


def formula_lines(node: LayerNode) -> list[str]:
    """Return the formulas of a layer with its numbers put in; of two that say the same of height and width, one."""
    lines, said = [], set()
    for formula in node.formulas:
        if formula.filled not in said:
            said.add(formula.filled)
            lines.append(f"{formula.what}: {formula.general} = {formula.filled} = {formula.value:,}")
    return lines


def steps(node: LayerNode) -> list[LayerNode]:
    """Return the steps inside a row, in order of execution; wrappers with a single child are seen through."""
    inside = node
    while len(inside.children) == 1 and inside.children[0].children:
        inside = inside.children[0]
    return [child for child in inside.children if child.executed]


def extent(layout: dict[str, Any] | None) -> tuple[float, int] | None:
    """Return the places and channels of a tensor: the side of its map, or of the grid of its tokens, and the values at
    each place. None where the meaning of the axes is unknown: nothing is guessed from the sizes.
    """
    if layout is None or not layout["channels"]:
        return None
    if layout["rows"] is None:
        return (1.0, layout["channels"]) if not set(layout["axes"]) & {"tokens", "rows", "columns", "?"} else None
    return math.sqrt(layout["rows"] * (layout["columns"] or 1)), layout["channels"]


def size_bar(value: float, largest: float, cells: int) -> str:
    """Return a bar on a logarithmic scale: each halving takes the same step off it; at least one block."""
    if value <= 1 or largest <= 1:
        return "▏"
    return "█" * max(round(math.log2(value) / math.log2(largest) * cells), 1)

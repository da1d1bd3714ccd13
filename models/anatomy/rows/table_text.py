"""The layer table as a person reads it: as text, HTML, rows of plain data, or a pandas DataFrame."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING

from ....errors import UsageError, counted
from ...catalogue.frames import data_frame
from ...catalogue.notes import quantity, shape_text
from .folding import cut, fold, prune
from .layer import Layer

if TYPE_CHECKING:
    import pandas

COLUMNS = ("layer", "what it is", "output", "params", "MACs", "field", "memory")
NOT_RUN = {"ran": "", "never": " (never run)"}
LEARNING = "learning"
"""The column behind "params" in the table of a network with frozen weights."""
NUMBERS = ("params", LEARNING, "MACs", "memory")
"""Columns that are set right."""
FAILED = " ← fails here"


def columns(tree: Layer) -> tuple[str, ...]:
    """Return the columns of the table of a network: COLUMNS, and how many parameters learn where some do not."""
    return (*COLUMNS[:4], LEARNING, *COLUMNS[4:]) if tree.frozen else COLUMNS


def parameters_text(parameters: int, trainable: int) -> str:
    """Return "11,177,538", or "11,177,538, of which 1,026 learn" where some are frozen."""
    if trainable == parameters:
        return f"{parameters:,}"
    return f"{parameters:,}, of which {trainable:,} learn" if trainable else f"{parameters:,}, none of which learns"


def depth_text(depth: int) -> str:
    """Return "1 layer with weights" or "18 layers with weights"."""
    return f"{depth} {'layer' if depth == 1 else 'layers'} with weights"


def remarks(layer: Layer) -> str:
    """Return what is said behind the class of a row: that it does not run, and whose weights it has."""
    words = NOT_RUN.get("ran" if layer.executed else layer.runs, " (not run in eval)")
    if layer.shared:
        some = "" if layer.shared == layer.parameters else f"{quantity(layer.shared)} "
        words += f" ({some}weights of {layer.weights_of})"
    return words


def field_text(layer: Layer) -> str:
    """Return the receptive field as the table shows it: ``43``, ``43 global``, ``43 global along the width`` where one
    axis is reached as a whole, "–" where it cannot be told, or "".
    """
    if layer.receptive_field is None:
        return "–" if layer.field_unknown else ""
    along = f" global along the {layer.global_along}" if layer.global_along else ""
    return f"{layer.receptive_field}{' global' if layer.is_global else along}"


def describe(layer: Layer) -> str:
    """Return the class of a row with what sets it apart: "Conv2d 3×3/2", "Conv2d 3×3 groups 32", "BasicBlock"."""
    kernel = layer.settings.get("kernel_size")
    if kernel is None:
        return layer.type
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    stride = layer.settings.get("stride", 1)
    step = stride if isinstance(stride, int) else stride[-1]
    text = f"{layer.type} {'×'.join(map(str, sides))}" + (f"/{step}" if step > 1 else "")
    groups = layer.settings.get("groups", 1)
    return text + (f" groups {groups}" if groups > 1 else "")


def cells(tree: Layer, depth: int, size_changes: bool = False) -> list[tuple[str, ...]]:
    """Return the cells of the folded table, ``depth`` levels deep, a tuple for each row, as ``columns`` names them.

    The parameters of a row are those that no earlier row has, so that they add up. ``size_changes``: only rows where the
    size of the map changes.
    """
    shown = cut(fold(tree), depth)
    if size_changes:
        shown = prune(shown, lambda layer: layer.changes_size)
    rows = []
    for level, layer in shown.walk():
        label = layer.short_name if layer.kind == "module" else "·"
        times = f" ×{layer.times}" if layer.times > 1 else ""
        learning = (quantity(layer.trainable) if layer.parameters else "",) if tree.frozen else ()
        rows.append(
            (
                "  " * level + (label or "input") + times,
                describe(layer) + (FAILED if layer.failed else remarks(layer)),
                shape_text(layer.output_of_one),
                quantity(layer.own_parameters) if layer.own_parameters else "",
                *learning,
                quantity(layer.macs) if layer.macs else "",
                field_text(layer),
                f"{quantity(layer.output_bytes)}B" if layer.output_bytes else "",
            )
        )
    return rows


@dataclass(frozen=True)
class Row:
    """One row of an :class:`Anatomy`: a module as it ran, or a bare operation (a sum of branches, a product).

    ``name``: qualified name of the module, "" for the whole network; an operation carries that of the module it runs
    in. ``kind``: "module" or "operation". ``level``: depth in the tree, 0 for the whole network. ``input`` and
    ``output``: shapes without the batch axis, () where the part did not run. ``parameters``: number of values in its
    weights, frozen ones included, and ``macs``: MACs for one image; both include what is below.
    ``output_bytes``: size of the output in bytes. ``receptive_field``: pixels a side along paths without a global
    operation, None where there is none; ``is_global``: some path reaches every place. ``executed``: False for a part
    that does not run in evaluation, such as an auxiliary head. ``trainable``: how many of the parameters learn.
    ``shared``: how many of them an earlier row has as well, and ``weights_of``: its name; they count once in every sum.
    """

    name: str
    kind: str
    type: str
    level: int
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    output_bytes: int
    receptive_field: int | None
    is_global: bool
    executed: bool
    trainable: int
    shared: int
    weights_of: str


@dataclass(frozen=True, repr=False)
class Anatomy:
    """A network taken apart. A notebook shows it as a table, ``print`` as text; ``rows`` has all of it as plain data.

    ``name`` is that of the network, ``input`` the shape of one image (C, H, W). ``remarks`` are lines on how it was taken
    apart and on what it returns.
    """

    name: str
    input: tuple[int, ...]
    tree: Layer
    remarks: tuple[str, ...] = ()
    SHOWN_LEVELS = 3

    @property
    def rows(self) -> list[Row]:
        """All rows in order of execution, the whole network first; nothing is folded or cut."""
        return [_row(layer, level) for level, layer in self.tree.walk()]

    @property
    def parameters(self) -> int:
        """Number of values in all weights, frozen ones included; weights that are used twice count once."""
        return self.tree.parameters

    @property
    def trainable(self) -> int:
        """How many of the parameters learn."""
        return self.tree.trainable

    @property
    def macs(self) -> int:
        """MACs for one image in evaluation; twice that in floating-point operations."""
        return self.tree.macs

    @property
    def depth(self) -> int:
        """Number of layers with weights on the longest path through the network."""
        return self.tree.depth

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of what the network returns for one image, batch axis left out."""
        return self.tree.output_of_one

    def text(self, depth: int = SHOWN_LEVELS) -> str:
        """Return the table as text, ``depth`` levels deep; equal neighbours are folded into one row.

        UsageError where ``depth`` is not a number.
        """
        if not isinstance(depth, Real):
            raise UsageError("depth", depth, "must be a number of levels")
        names = columns(self.tree)
        table = [names, *cells(self.tree, depth)]
        widths = [max(len(row[column]) for row in table) for column in range(len(names))]
        lines = [self._totals(), ""]
        for row in table:
            aligned = (
                cell.rjust(width) if name in NUMBERS else cell.ljust(width)
                for name, cell, width in zip(names, row, widths, strict=True)
            )
            lines.append("  ".join(aligned).rstrip())
        return "\n".join([*lines, *(["", *self.remarks] if self.remarks else [])])

    def to_pandas(self) -> pandas.DataFrame:
        """Return :attr:`rows` as a DataFrame with a column for each field. WorkError where pandas is not installed."""
        return data_frame([asdict(row) for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _totals(self) -> str:
        learning = "" if self.trainable == self.parameters else f", of which {self.trainable:,} learn"
        return (
            f"{self.name} for {shape_text(self.input)}: {counted(self.parameters, 'parameter')}{learning}, "
            f"{self.macs:,} MACs, {depth_text(self.depth)}"
        )

    def _repr_html_(self) -> str:
        names = columns(self.tree)

        def row(values: tuple[str, ...], tag: str) -> str:
            made = (
                f'<{tag} style="text-align:{"right" if name in NUMBERS else "left"};white-space:pre">'
                f"{html.escape(value)}</{tag}>"
                for name, value in zip(names, values, strict=True)
            )
            return f"<tr>{''.join(made)}</tr>"

        body = "".join(row(values, "td") for values in cells(self.tree, self.SHOWN_LEVELS))
        head = f"<caption>{html.escape(self._totals())}</caption><thead>{row(names, 'th')}</thead>"
        return f"<table>{head}<tbody>{body}</tbody></table>"


def _row(layer: Layer, level: int) -> Row:
    return Row(
        layer.name,
        layer.kind,
        layer.type,
        level,
        layer.inputs_of_one[0] if layer.inputs else (),
        layer.output_of_one,
        layer.parameters,
        layer.macs,
        layer.output_bytes,
        layer.receptive_field,
        layer.is_global,
        layer.executed,
        layer.trainable,
        layer.shared,
        layer.weights_of,
    )

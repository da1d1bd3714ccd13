"""One row of the layer table with all rows below it: plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..axes.layout import AxisLayout, batch_axis, without_axis


@dataclass(frozen=True)
class Layer:
    """One row of the layer table.

    ``name``: qualified name of the module ("" is the network; an operation carries the name of the module it runs in).
    ``kind``: "module" or "operation" (a sum of branches, a concatenation, a product, a matrix product of attention).
    Shapes keep the batch axis. ``parameters`` and ``macs`` include what is below. ``output_bytes``: size of the output.
    ``receptive_field``: image pixels a side along paths without a global operation, None where there is none or where
    ``field_unknown`` says why it cannot be told; ``is_global``: some path reaches every place. ``global_along``:
    "height", "width" or "height and width" where a path reaches the whole of an axis and not every place. ``depth``:
    layers with weights on the longest path from the image, gates left out. ``executed`` is False for parts that do not
    run in eval mode (auxiliary heads).
    ``times``: how many equal neighbours this row stands for after folding. ``failed``: the run broke off here.

    ``parameters`` are all values of the row's weights, those that are used twice once; ``frozen`` of them do not learn,
    and ``shared`` of them belong to an earlier row too, ``weights_of``, and are counted there: the whole is the sum of
    what each row has of its own.

    ``id``: number of the row, unique in its tree, 0 for the network, -1 for what did not run. ``reads``: for each input
    the id of the row that made it: one of the same level, or the row around for what came in from outside; None for what
    is made of weights alone. ``outputs``: the shapes of all outputs, where there is more than one. ``returned``: the row
    around hands on what this one makes. ``layout`` and ``layout_in``: what the axes of the output and of the first input
    mean. ``runs``: of a part that did not run in eval mode, "training" where it runs in training, "never" where not.

    ``origin``: the Python module of the class. ``base``: the layer of torch.nn that it is or is derived from.

    A folded row has the id and the reads of the first of its neighbours. Each of the others reads the one before it where
    the first reads (``in_turn``), or they all read the same. Who reads any of them reads the folded row.
    """

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
    depth: int
    settings: dict[str, Any]
    executed: bool
    times: int
    children: tuple[Layer, ...]
    frozen: int = 0
    shared: int = 0
    weights_of: str = ""
    failed: bool = False
    id: int = -1
    reads: tuple[int | None, ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()
    returned: bool = False
    layout: AxisLayout | None = None
    layout_in: AxisLayout | None = None
    runs: str = ""
    in_turn: bool = False
    origin: str = ""
    base: str = ""
    field_unknown: str = ""
    global_along: str = ""

    @property
    def trainable(self) -> int:
        """How many of the parameters learn."""
        return self.parameters - self.frozen

    @property
    def own_parameters(self) -> int:
        """The parameters without those that an earlier row has counted."""
        return self.parameters - self.shared

    @property
    def short_name(self) -> str:
        """The last part of the qualified name."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def batch_axis(self) -> int | None:
        """Which axis of the output counts images, None where none does."""
        return batch_axis(self.output, self.layout)

    @property
    def output_of_one(self) -> tuple[int, ...]:
        """The shape of the output for one image: without the batch axis, where there is one."""
        return without_axis(self.output, self.batch_axis)

    @property
    def inputs_of_one(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the inputs for one image. What the axes of the others mean is read off the first.

        The inputs of the network all have the batch in front, or none has: a detector takes single images.
        """
        if self.id == 0:
            single = self.layout_in is not None and "batch" not in self.layout_in.axes
            return self.inputs if single else tuple(shape[1:] for shape in self.inputs)
        return tuple(
            without_axis(shape, batch_axis(shape, self.layout_in if self._is_like_first(shape) else None))
            for shape in self.inputs
        )

    @property
    def axes_of_one(self) -> tuple[str, ...]:
        """What the axes of ``output_of_one`` mean; () where that is unknown."""
        known = self.layout is not None and len(self.layout.axes) == len(self.output)
        return without_axis(self.layout.axes, self.batch_axis) if self.layout is not None and known else ()

    def _is_like_first(self, shape: tuple[int, ...]) -> bool:
        """Return whether an input has as many axes as the first, and as many images."""
        first = self.inputs[0]
        axis = batch_axis(first, self.layout_in)
        return len(shape) == len(first) and (axis is None or shape[axis] == first[axis])

    @property
    def changes_size(self) -> bool:
        """Whether the output differs in shape from the first input."""
        return not self.inputs or self.inputs[0] != self.output

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Layer]]:
        """Yield this row and all below it, with their depths, in order of execution."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

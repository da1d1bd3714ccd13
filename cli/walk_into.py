"""The steps of a walk as a table, and one row of it opened: its own steps, or one output value with its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError, nearest, with_article
from ..trainer.common.value_checks import is_index
from .tables import print_table

if TYPE_CHECKING:
    from ..models.anatomy.outside.external import NetworkSpec
    from ..models.anatomy.rows.layer import Layer
    from ..models.anatomy.values.one_value import Value

STEP_COLUMNS = ("row", "step", "what happens", "output", "reads")
NUMBERS_SHOWN = 8


def step_rows(layer: Layer, levels: int, indent: str = "") -> list[tuple[str, ...]]:
    """Return the steps inside a row, ``levels`` levels of them, as cells of the table."""
    from ..models.anatomy.words import walk

    inside = walk.within(layer)
    below = {child.id: child for child in inside.children}
    rows = []
    for step in walk.steps(layer):
        times = f" ×{step.times}" if step.times > 1 else ""
        label = step.name.rsplit(".", 1)[-1] if step.is_module else f"· {step.type}"
        one = "one value" if below[step.id].output_bytes else ""
        reads = ", ".join("input" if read == inside.id else str(read) for read in step.reads if read is not None)
        rows.append(
            (str(step.id), f"{indent}{label}{times}", step.phrase, "×".join(map(str, step.after)) or one, reads)
        )
        if step.can_enter and levels > 1:
            rows += step_rows(below[step.id], levels - 1, indent + "  ")
    return rows


def print_row(spec: NetworkSpec, tree: Layer, wanted: str, at: str | None) -> None:
    """Print the steps inside a row, or one output value of a row that has none."""
    from ..models.anatomy.words import walk

    row = found(tree, wanted)
    opens_to_steps = at is None and row.children and walk.steps(row)
    value = None if opens_to_steps else one_value(spec, row, at)
    print(f"{row.name or spec.name}  {row.type}: {walk.phrase(row)}\n")
    if value is not None:
        print_value(value, row)
        return
    print_table(STEP_COLUMNS, step_rows(row, levels=1), numbers=("row",), shrink="what happens")
    print()


def found(tree: Layer, wanted: str) -> Layer:
    """Return the row with this number or of the module with this name. UsageError with the nearest name on a miss."""
    rows = [layer for _, layer in tree.walk() if layer.executed]
    for row in rows:
        if str(row.id) == wanted or (row.kind == "module" and row.name == wanted):
            return row
    near = nearest(wanted, [row.name for row in rows if row.name])
    raise UsageError("ROW", wanted, f"is not a row; {near or 'the tables of --layers and --walk name and number them'}")


def one_value(spec: NetworkSpec, row: Layer, at: str | None) -> Value:
    """Return one output value of a row, of weights drawn from seed 0 and a scanned digit; by default in the middle."""
    from ..models.anatomy import server
    from ..models.anatomy.values import one_value as opened
    from ..tui.networks import digits

    if not opened.opens(row):
        raise UsageError(
            "ROW", row.name or str(row.id), f"is {with_article(row.type)}, which does not open to one output value"
        )
    sizes = row.output_of_one
    position = tuple(size // 2 for size in sizes) if at is None else parsed(at)
    if len(position) != len(sizes) or any(place >= size for place, size in zip(position, sizes, strict=True)):
        last = ",".join(str(size - 1) for size in sizes)
        raise UsageError("--at", at, f"lies outside the output of {row.name or row.id}, whose last place is {last}")
    try:
        network = server.built_with_seed(spec)
        return opened.output_value(
            network, row.id, server.as_input(digits.image(0), spec.shape, None), position, row.batch_axis
        )
    except ValueError as error:
        raise UsageError("ROW", row.name or str(row.id), str(error)) from None


def parsed(at: str) -> tuple[int, ...]:
    """Turn "3,28,28" into (3, 28, 28)."""
    parts = at.replace("x", ",").split(",")
    if not all(is_index(part.strip()) for part in parts):
        raise UsageError("--at", at, "is not a place; write whole numbers with commas between them: 3,28,28")
    return tuple(int(part) for part in parts)


def print_value(value: Value, row: Layer) -> None:
    """Print one output value: its place, the numbers, and how they make it."""
    axes = row.axes_of_one
    names = axes if len(axes) == len(value.position) else ("",) * len(value.position)
    place = ", ".join(f"{name} {at}".strip() for name, at in zip(names, value.position, strict=True))
    print(f"one output value, at {place}; weights drawn with seed 0, the image is a scanned digit")
    for part in value.parts:
        numbers = part.numbers.flatten().tolist()
        shape = "×".join(map(str, part.numbers.shape))
        shown = " ".join(f"{number:z.4f}" for number in numbers[:NUMBERS_SHOWN])
        more = f" … and {len(numbers) - NUMBERS_SHOWN} more" if len(numbers) > NUMBERS_SHOWN else ""
        print(f"  {part.name}{f' ({shape})' if len(numbers) > 1 else ''}: {shown}{more}")
    print(f"  {value.rule} = {value.computed:z.4f}")
    print(f"  the layer itself gives {value.total:z.4f}\n")

"""A network in words and tables for the terminal: its note, its layers, its walk, its totals, torchinfo's summary."""

from __future__ import annotations

import functools
import shutil
import sys
from typing import TYPE_CHECKING

from ..models.catalogue.share_text import share_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models.anatomy.outside.external import NetworkSpec
    from ..models.anatomy.rows.layer import Layer
    from ..models.anatomy.totals.memory import Memory
    from ..models.anatomy.totals.torchinfo_summary import TorchinfoSummary

MEMORY_BATCH = 64


def print_note(name: str) -> None:
    """Print the note as Markdown, formatted in a terminal. Networks from outside the catalogue have none."""
    if ":" in name:
        return
    from ..models.catalogue import notes, registry

    family = registry.family(registry.find(name).family)
    text = notes.render(family)
    if sys.stdout.isatty():
        from rich.markdown import Markdown

        from .tables import console

        console().print(Markdown(text))
    else:
        print(text)
    source = f"{family.authors}: {family.paper}" if family.authors else family.paper
    citation = ". ".join(filter(None, (source, family.venue, f"arXiv:{family.arxiv}" if family.arxiv else "")))
    if citation:
        print(citation)
    for deviation in family.deviations:
        print(f"- deviates: {deviation}")
    print()


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as ``3×224×224``."""
    return "×".join(map(str, shape))


def print_layers(tree: Layer, depth: int, size_changes: bool) -> None:
    """Print the folded layer table, ``depth`` levels deep."""
    from ..models.anatomy.rows.table_text import NUMBERS, cells, columns
    from .tables import print_table

    print_table(columns(tree), cells(tree, depth, size_changes), numbers=NUMBERS, shrink="type")
    print()


def print_failure(tree: Layer, depth: int) -> None:
    """Print the layer table up to the layer at which a run broke off, as deep as that lies."""
    deepest = max(level for level, layer in tree.walk() if layer.failed or level == 0)
    print_layers(tree, max(depth, deepest), size_changes=False)


def print_walk(tree: Layer) -> None:
    """Print every step of the first level, and each block below it once."""
    from ..models.anatomy.rows import folding
    from .tables import print_table
    from .walk_into import STEP_COLUMNS, step_rows

    print_table(STEP_COLUMNS, step_rows(folding.fold(tree), levels=2), numbers=("row",), shrink="what happens")
    print()


def print_totals(spec: NetworkSpec, tree: Layer, batch: int) -> None:
    """Print sums, budget bars and the memory of training."""
    from ..machine import room_for_training
    from ..models.anatomy.rows.table_text import depth_text, field_text, parameters_text
    from ..models.anatomy.totals.memory import known_largest_batch
    from ..models.catalogue.notes import memory_text
    from ..models.catalogue.user_code import silent

    print(f"{spec.name} for {' and '.join(shape_text(one.shape) for one in spec.all_inputs)}, batch {batch}")
    print(f"  parameters     {parameters_text(tree.parameters, tree.trainable)}")
    print(f"  MACs           {tree.macs:,}  (operations: {2 * tree.macs:,})")
    print(f"  depth          {depth_text(tree.depth)} on the longest path")
    print(f"  field          {field_text(tree).replace(' global', ' pixels a side, then the whole image')}")
    place, free = room_for_training()
    memories = training_memories(spec)
    for precision, memory in memories.items():
        at = functools.partial(training_memory, spec, precision)
        with silent():
            batch_that_fits, unknown = known_largest_batch(memory, at, free)
        fits = f"how many fit is not known: {unknown}"
        if batch_that_fits is not None:
            fits = f"batch {batch_that_fits:,} fits into {place} ({memory_text(free)} free)"
        print(
            f"  training       {memory_text(memory.peak)} at batch {memory.batch} in {precision}, SGD with momentum; {fits}"
        )
    if not memories:
        why = "it depends on the boxes that are kept" if spec.takes_list else "no training step runs without values"
        print(f"  training       memory unknown: {why}")
    print()
    for title, values in budget(tree).items():
        print(f"{title:>14}  {bar(values)}")
    print()


def training_memories(spec: NetworkSpec) -> dict[str, Memory]:
    """Return the memory of a training step at batch 64 in both precisions; empty where training needs more than images."""
    if spec.takes_list:
        return {}
    from ..models.anatomy.totals.memory import BYTES
    from ..models.catalogue.user_code import silent

    found = {}
    for precision in BYTES:
        try:
            with silent():
                found[precision] = training_memory(spec, precision, MEMORY_BATCH)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a person's own network may take images in evaluation alone
            return found
    return found


def training_memory(spec: NetworkSpec, precision: str, batch: int) -> Memory:
    """Return the memory of a training step at ``batch`` images."""
    from ..models.anatomy import counting
    from ..models.anatomy.totals import memory

    return memory.training_memory(counting.on_meta(spec.make), spec.shape, batch, precision, inputs=spec.inputs)


def budget(tree: Layer) -> dict[str, list[tuple[str, int]]]:
    """Return where the parameters sit and where the MACs are: the parts of the network with their share."""
    inside = tree
    while len(inside.children) == 1 and inside.children[0].children:
        inside = inside.children[0]
    parts = [child for child in inside.children if child.kind == "module"]
    return {
        "parameters": [(part.short_name, part.own_parameters) for part in parts],
        "MACs": [(part.short_name, part.macs) for part in parts],
    }


def bar(values: list[tuple[str, int]]) -> str:
    """Return the largest parts of a sum as a line of bars with names and per cent, as wide as the terminal."""
    whole = sum(value for _, value in values)
    if not whole:
        return "none"
    room = max(20, shutil.get_terminal_size((80, 24)).columns - 16 - 12 * 4)
    parts = sorted(values, key=lambda item: -item[1])[:4]
    texts = [
        f"{name} {'█' * max(1, round(room * value / whole))} {share_text(value / whole)}"
        for name, value in parts
        if value
    ]
    return "  ".join(texts)


def print_torchinfo(summary: TorchinfoSummary, depth: int, columns: Sequence[str]) -> None:
    """Print torchinfo's own table, and how its totals compare with ours."""
    from ..models.anatomy.totals import torchinfo_summary

    print(torchinfo_summary.table_text(summary, depth, columns))
    print("\n".join(torchinfo_summary.explanation(summary)))

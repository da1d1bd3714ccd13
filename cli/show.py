"""`cnn-explorer show`, `compare` and `lineage`: any network taken apart, in text or JSON."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, nearest
from ..models.catalogue.share_text import share_text
from .narrate import log
from .output import AsJson, Force, Output, Traceback, written_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..models.anatomy.outside.external import NetworkSpec, Traced
    from ..models.anatomy.rows.layer import Layer
    from ..models.anatomy.totals.memory import Memory
    from ..models.anatomy.totals.torchinfo_summary import TorchinfoSummary

SHOW_SCHEMA = 1
MEMORY_BATCH = 64
LARGEST_IMAGE = 65_536
MOST_CLASSES = 10_000_000
LARGEST_BATCH = 1_000_000
"""Beyond these the numbers of values would no longer fit into 64 bits, and there are no such images."""

Stem = Annotated[
    str | None,
    typer.Option(
        "--stem", metavar="NAME", help="imagenet (the paper's, the default) or small (for images up to 64 pixels)."
    ),
]
Small = Annotated[bool, typer.Option("--small", hidden=True)]


def _count(flag: str, widest: int, words: str) -> Any:
    """Return an option for a number from 1 to ``most``."""
    return typer.Option(flag, min=1, max=widest, metavar="N", help=words)


ImageSize = Annotated[int | None, _count("--image-size", LARGEST_IMAGE, "Side of the image in pixels.")]
Channels = Annotated[int | None, _count("--channels", LARGEST_IMAGE, "Channels of the image.")]
Classes = Annotated[int | None, _count("--classes", MOST_CLASSES, "Number of classes.")]
Batch = Annotated[int, _count("--batch", LARGEST_BATCH, "Images in a batch, for shapes and memory.")]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="SHAPE",
        help="Shape of one input, 3x16x112x112; again for a network with several, each of one to four axes; "
        "16:int64 is one of whole numbers.",
    ),
]


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A network, torchvision:NAME, timm:NAME, package.module:callable, file.py:callable, a file of weights, "
            "or a run.",
        ),
    ],
    rows: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROW…]", help="With --walk: go into this step, by its name or number, down to one output value."
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Only the layer table.")] = False,
    walk: Annotated[bool, typer.Option("--walk", help="Only the steps of an image through the network.")] = False,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="PLACE", help="With --walk ROW: which output value, for example 3,28,28."),
    ] = None,
    torchinfo: Annotated[
        bool, typer.Option("--torchinfo", help="Only torchinfo's own table, and how its totals compare.")
    ] = False,
    torchinfo_columns: Annotated[
        str | None,
        typer.Option(
            "--torchinfo-columns",
            metavar="LIST",
            help="Its columns, for example input_size,output_size,num_params,mult_adds.",
        ),
    ] = None,
    note: Annotated[bool, typer.Option("--note", help="Only the note.")] = False,
    stem: Stem = None,
    small: Small = False,
    image_size: ImageSize = None,
    channels: Channels = None,
    classes: Classes = None,
    batch: Batch = 1,
    input_shape: Input = None,
    depth: Annotated[
        int, typer.Option("--depth", min=1, metavar="N", help="Levels of the layer tree and of torchinfo's.")
    ] = 3,
    size_changes: Annotated[bool, typer.Option("--size-changes", help="Only rows where the size changes.")] = False,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    show_traceback: Traceback = False,
) -> None:
    """Explain a network and take it apart, or say what a file holds.

    Of a network: its note, its layers, its exact parameters and multiply-adds.
    """
    from .show_file import means_weights, show_weights

    if means_weights(name):
        with written_to(output, force=force):
            show_weights(name, layers=layers, depth=depth, as_json=as_json)
        return
    from ..models.anatomy.outside import external

    with their_code(name):
        spec = external.network_spec(
            name,
            stem=chosen_stem(stem, small),
            num_classes=classes,
            in_channels=channels,
            image_size=image_size,
            inputs=external.parse_inputs(input_shape or []),
        )
    if rows and not walk:
        raise UsageError("ROW", " ".join(rows), "is understood with --walk only")
    if at is not None and not rows:
        raise UsageError("--at", at, "needs --walk and a row that opens to one value")
    chosen = {"layers": layers, "walk": walk, "torchinfo": torchinfo or torchinfo_columns is not None, "note": note}
    wanted = {key for key, on in chosen.items() if on} or {"note", "layers", "totals", "hint"}
    traced = summary = None
    columns: Sequence[str] = ()
    if "torchinfo" in wanted and not as_json:
        from ..models.anatomy.totals import torchinfo_summary

        columns = torchinfo_summary.parse_columns(torchinfo_columns)
        with their_code(name):
            summary = torchinfo_summary.summarise(spec, batch)
    if as_json or wanted - {"note", "torchinfo", "hint"}:
        try:
            with their_code(name):
                traced = external.traced_network(spec, batch)
        except external.CannotRun as error:
            if error.tree is not None and not as_json and output is None:
                print_failure(error.tree, depth)
            raise
    with written_to(output, force=force):
        if as_json:
            assert traced is not None
            print(json.dumps(show_as_dict(spec, traced, depth, batch), indent=1))
            return
        tree = traced.tree if traced is not None else None
        if "note" in wanted:
            print_note(name)
        if tree is not None and "layers" in wanted:
            print_layers(tree, depth, size_changes)
        if tree is not None and "walk" in wanted and not rows:
            print_walk(tree)
        for row in rows or ():
            from . import walk_into

            assert tree is not None
            walk_into.print_row(spec, tree, row, at)
        if tree is not None and "totals" in wanted:
            print_totals(spec, tree, batch)
        for remark in traced.remarks if traced is not None else ():
            print(remark)
        if summary is not None:
            print_torchinfo(summary, depth, columns)
        if "hint" in wanted:
            print(f"torchinfo's own summary, and what it counts otherwise: show {name} --torchinfo")


@contextlib.contextmanager
def their_code(name: str) -> Iterator[None]:
    """Run the code of a network from elsewhere: its prints go to stderr, and one line is told where it runs for long."""
    from ..models.catalogue.user_code import away_from_stdout
    from .long_runs import noted_when_long

    with away_from_stdout(), noted_when_long(name):
        yield


def chosen_stem(stem: str | None, small: bool) -> str:
    """Return the stem that was asked for, and log where ``small``, the earlier name of the option, was given."""
    if small:
        log("--small is now called --stem small")
    from ..models.catalogue.registry import STEMS

    chosen = stem or ("small" if small else "imagenet")
    if chosen not in STEMS:
        raise UsageError("stem", chosen, f"is unknown; {nearest(chosen, STEMS)}")
    return chosen


def stem_of(spec: NetworkSpec) -> str | None:
    """Return the stem of a network in the words of run.json: None where it has one stem only."""
    if ":" in spec.name:
        return None
    from ..models.catalogue import registry

    return (spec.stem or "imagenet") if registry.find(spec.name).small_stem is not None else None


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


def _shape(shape: tuple[int, ...]) -> str:
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
    from ..models.anatomy.rows.table_text import field_text, parameters_text
    from ..models.anatomy.totals.memory import largest_batch
    from ..models.catalogue.notes import memory_text

    print(f"{spec.name} for {' and '.join(_shape(one.shape) for one in spec.all_inputs)}, batch {batch}")
    print(f"  parameters     {parameters_text(tree.parameters, tree.trainable)}")
    print(f"  multiply-adds  {tree.macs:,}  (operations: {2 * tree.macs:,})")
    print(f"  depth          {tree.depth} layers with weights on the longest path")
    print(f"  sees           {field_text(tree).replace(' global', ' pixels a side, then the whole image')}")
    place, free = room_for_training()
    memories = training_memories(spec)
    for precision, memory in memories.items():
        fitting = largest_batch(memory, functools.partial(training_memory, spec, precision), free)
        print(
            f"  training       {memory_text(memory.peak)} at batch {memory.batch} in {precision}, SGD with momentum; "
            f"batch {fitting:,} fits into {place} ({memory_text(free)} free)"
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
    """Return where the parameters sit and where the work is: the parts of the network with their share."""
    inside = tree
    while len(inside.children) == 1 and inside.children[0].children:
        inside = inside.children[0]
    parts = [child for child in inside.children if child.kind == "module"]
    return {
        "parameters": [(part.short_name, part.own_parameters) for part in parts],
        "work": [(part.short_name, part.macs) for part in parts],
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


def show_as_dict(spec: NetworkSpec, traced: Traced, depth: int, batch: int) -> dict[str, Any]:
    """Return what `show --json` prints; documented in docs/json.md, stable under its schema number."""
    from ..models.anatomy.rows import folding, layer_json
    from ..models.anatomy.words import walk

    tree = traced.tree
    folded = folding.fold(tree)
    earlier = layer_json.as_in_schema_1(folded)
    return {
        "schema": SHOW_SCHEMA,
        "name": spec.name,
        "form": "small" if spec.stem == "small" else "paper",
        "stem": stem_of(spec),
        "input": list(spec.shape),
        "inputs": [{"shape": list(one.shape), "dtype": one.dtype} for one in spec.all_inputs],
        "batch": batch,
        "remarks": list(traced.remarks),
        "parameters": tree.parameters,
        "trainable": tree.trainable,
        "multiply_adds": tree.macs,
        "depth": tree.depth,
        "receptive_field": tree.receptive_field,
        "global": tree.is_global,
        "memory": {key: asdict(memory) for key, memory in training_memories(spec).items()},
        "layers": layer_json.as_dict(folding.cut(earlier, depth)),
        "walk": [asdict(step) for step in walk.steps(earlier)],
        "rows": layer_json.as_dict(folding.cut(folded, depth)),
        "steps": [asdict(step) for step in walk.steps(folded)],
    }


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Two to four networks.")],
    stem: Stem = None,
    small: Small = False,
    image_size: ImageSize = None,
    channels: Channels = None,
    classes: Classes = None,
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
    show_traceback: Traceback = False,
) -> None:
    """Compare two to four networks side by side.

    Of two, also show the difference by kind of layer.
    """
    if not 2 <= len(names) <= 4:
        count = "is one network" if len(names) == 1 else f"are {len(names)} networks"
        raise UsageError("NAME", " ".join(names), f"{count}; name two to four networks")
    from ..models.anatomy.outside import external
    from ..models.anatomy.totals import compare as comparing

    stem = chosen_stem(stem, small)
    with their_code(" and ".join(names)):
        specs = [
            external.network_spec(name, stem=stem, num_classes=classes, in_channels=channels, image_size=image_size)
            for name in names
        ]
        trees = [external.anatomy_of(spec) for spec in specs]
    summaries = []
    for spec, tree in zip(specs, trees, strict=True):
        memory = training_memories(spec).get("fp32")
        summaries.append(comparing.summary(spec.name, tree, memory))
    changes = comparing.difference(trees[0], trees[1]) if len(trees) == 2 else []
    with written_to(output, force=force):
        if as_json:
            rows = [{**asdict(change), "verdict": change.verdict} for change in changes]
            print(json.dumps({"schema": 1, "networks": [asdict(p) for p in summaries], "difference": rows}, indent=1))
            return
        print_summaries(summaries)
        if changes:
            print_changes(names, changes)


def print_summaries(summaries: list[Any]) -> None:
    from ..models.catalogue.notes import memory_text
    from .tables import print_table

    def largest(parts: tuple, index: int) -> str:
        whole = sum(part[index] for part in parts) or 1
        name, *values = max(parts, key=lambda part: part[index])
        return f"{name} {share_text(values[index - 1] / whole)}"

    learning = []
    if any(p.trainable != p.parameters for p in summaries):
        learning = [("of which learn", *(f"{p.trainable:,}" for p in summaries))]
    rows = [
        ("image", *(" and ".join(map(_shape, p.inputs)) for p in summaries)),
        ("parameters", *(f"{p.parameters:,}" for p in summaries)),
        *learning,
        ("multiply-adds", *(f"{p.macs:,}" for p in summaries)),
        ("depth (layers)", *(p.depth for p in summaries)),
        ("receptive field", *(f"{p.receptive_field or '–'}{' global' if p.is_global else ''}" for p in summaries)),
        (
            f"training, batch {MEMORY_BATCH}",
            *(memory_text(p.memory_bytes) if p.memory_bytes else "?" for p in summaries),
        ),
        ("most parameters", *(largest(p.parts, 1) for p in summaries)),
        ("most work", *(largest(p.parts, 2) for p in summaries)),
    ]
    print_table(("", *(p.name for p in summaries)), rows)


def print_changes(names: list[str], changes: list[Any]) -> None:
    from ..models.catalogue.notes import quantity
    from .tables import print_table

    print(f"\nFrom {names[0]} to {names[1]}:")
    rows = [
        (c.verdict, c.kind, c.before, c.after, quantity(c.parameters_before), quantity(c.parameters_after))
        for c in changes
    ]
    columns = ("", "layer", names[0], names[1], "params before", "params after")
    print_table(columns, rows, numbers=columns[2:])


def lineage(
    as_json: AsJson = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="By year instead of by descent.")] = False,
    output: Output = None,
    force: Force = False,
) -> None:
    """Show the family tree of the architectures, or their timeline."""
    from ..models.catalogue import lineage as tree

    with written_to(output, force=force):
        if as_json:
            print(json.dumps({"schema": 1, "families": [asdict(relative) for relative in tree.lineage()]}, indent=1))
        elif timeline:
            for year, families in tree.timeline().items():
                print(f"{year}  {', '.join(families)}")
        else:
            print("\n".join(tree.tree_lines()))

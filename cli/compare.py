"""`cnn-explorer compare`: two to four networks side by side, in text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..models.catalogue.share_text import share_text
from .output import AsJson, Force, Output, Traceback, written_to
from .show_options import Channels, Classes, ImageSize, Small, Stem, chosen_stem, their_code
from .show_text import MEMORY_BATCH, shape_text, training_memories


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
        ("image", *(" and ".join(map(shape_text, p.inputs)) for p in summaries)),
        ("parameters", *(f"{p.parameters:,}" for p in summaries)),
        *learning,
        ("MACs", *(f"{p.macs:,}" for p in summaries)),
        ("depth (layers)", *(p.depth for p in summaries)),
        ("field", *(f"{p.receptive_field or '–'}{' global' if p.is_global else ''}" for p in summaries)),
        (
            f"training, batch {MEMORY_BATCH}",
            *(memory_text(p.memory_bytes) if p.memory_bytes else "?" for p in summaries),
        ),
        ("most parameters", *(largest(p.parts, 1) for p in summaries)),
        ("most MACs", *(largest(p.parts, 2) for p in summaries)),
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

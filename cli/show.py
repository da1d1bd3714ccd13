"""`cnn-explorer show`: any network taken apart, in text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .output import AsJson, Force, Output, Traceback, written_to
from .show_options import Batch, Channels, Classes, ImageSize, Input, Small, Stem, chosen_stem, their_code
from .show_text import (
    print_failure,
    print_layers,
    print_note,
    print_torchinfo,
    print_totals,
    print_walk,
    training_memories,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models.anatomy.outside.external import NetworkSpec, Traced
    from ..models.anatomy.totals.memory import Memory

SHOW_SCHEMA = 1


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

    Of a network: its note, its layers, its exact parameters and MACs.
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


def stem_of(spec: NetworkSpec) -> str | None:
    """Return the stem of a network in the words of run.json: None where it has one stem only."""
    if ":" in spec.name:
        return None
    from ..models.catalogue import registry

    return (spec.stem or "imagenet") if registry.find(spec.name).small_stem is not None else None


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
        "memory": {key: _memory_data(memory) for key, memory in training_memories(spec).items()},
        "layers": layer_json.as_dict(folding.cut(earlier, depth)),
        "walk": [asdict(step) for step in walk.steps(earlier)],
        "rows": layer_json.as_dict(folding.cut(folded, depth)),
        "steps": [asdict(step) for step in walk.steps(folded)],
    }


def _memory_data(memory: Memory) -> dict[str, Any]:
    """Return the bytes of a training step."""
    return {key: value for key, value in asdict(memory).items() if key != "tensors"}

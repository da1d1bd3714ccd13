"""Rows of the comparison of networks: figures, what was published, what one's own runs came to, what changed. No Textual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...models.catalogue.notes import count_text, memory_text, quantity, shape_text
from ...models.catalogue.registry import Variant
from ...trainer.common.number_text import percent
from ...trainer.runs.run import RunSnapshot
from ..networks import layer_tree
from . import identity

SIZES = ("parameters", "FLOPs", "GFLOPs", "MACs", "multiply-adds", "mult-adds", "operations")
"""What papers print beside accuracies; the program counts these itself."""
SIGNS = {"added": "+", "removed": "-", "more": "↑", "fewer": "↓", "resized": "~"}


@dataclass(frozen=True)
class ComparedRow:
    """``tab`` tells more of the row: the tab of a network that Enter opens; "" for a heading."""

    key: str
    cells: tuple[str, ...]
    tab: str


def of_catalogue(variants: Sequence[Variant], stem: str) -> list[ComparedRow]:
    """Return what is known without building a network."""
    counts = [variant.counts(stem) for variant in variants]
    named = dict.fromkeys(name for variant in variants for name in variant.published if name not in SIZES)
    return [
        ComparedRow("title", ("", *(variant.title for variant in variants)), "note"),
        ComparedRow("year", ("year", *(str(variant.year) for variant in variants)), "note"),
        ComparedRow("image", ("image", *(shape_text(one.input) for one in counts)), "layers"),
        ComparedRow("classes", ("classes", *(str(one.classes) for one in counts)), "layers"),
        ComparedRow("parameters", ("parameters", *(count_text(one.parameters) for one in counts)), "layers"),
        ComparedRow("macs", ("MACs", *(count_text(one.macs) for one in counts)), "layers"),
        *(
            ComparedRow(f"published {name}", (f"published {name}", *(_published(v, name) for v in variants)), "note")
            for name in named
        ),
    ]


def _published(variant: Variant, name: str) -> str:
    return str(variant.published.get(name, ""))


def of_helper(summaries: Sequence[dict[str, Any]], batch: int) -> list[ComparedRow]:
    """Return what the helper process counted."""
    memory = [memory_text(summary["memory_bytes"]) for summary in summaries]
    found = []
    if any(one.get("trainable", one["parameters"]) != one["parameters"] for one in summaries):
        learning = (quantity(one["trainable"]) for one in summaries)
        found.append(ComparedRow("learning", ("of which learn", *learning), "layers"))
    return [
        *found,
        ComparedRow("depth", ("layers with weights", *(str(one["depth"]) for one in summaries)), "layers"),
        ComparedRow("field", ("field, pixels a side", *map(layer_tree.receptive_field, summaries)), "layers"),
        ComparedRow("memory", (f"training, batch {batch}", *memory), "layers"),
    ]


def of_runs(names: Sequence[str], runs: Sequence[RunSnapshot]) -> list[ComparedRow]:
    """Return the best that one's own runs of these networks came to, a row a data set: in the test, else in validation."""
    datasets = dict.fromkeys(run.dataset for run in runs if run.network in names and run.dataset)
    rows = []
    for dataset in datasets:
        values = [_best([run for run in runs if (run.network, run.dataset) == (name, dataset)]) for name in names]
        if any(values):
            label = f"my runs on {identity.data_text(dataset)}"
            rows.append(ComparedRow(f"runs {dataset}", (label, *values), "runs"))
    return rows


def _best(runs: Sequence[RunSnapshot]) -> str:
    tested = [run.test_accuracy for run in runs if run.test_accuracy is not None]
    validated = [run.best_accuracy for run in runs if run.best_accuracy is not None]
    if tested:
        return f"{percent(max(tested))} test"
    return f"{percent(max(validated))} valid." if validated else ""


def of_diff(place: int, names: Sequence[str], changes: Sequence[dict[str, Any]]) -> list[ComparedRow]:
    """Return the layers that network ``place`` has otherwise than the one before it, with how often both have them."""

    def between(name: str, before: str, after: str) -> tuple[str, ...]:
        return (name, *[""] * (place - 1), before, after, *[""] * (len(names) - place - 1))

    rows = [ComparedRow(f"diff {place}", between("what changed", "before", "after"), "")]
    for change in changes:
        name = f"{SIGNS.get(change['verdict'], ' ')} {change['kind']}"
        counts = between(name, str(change["before"] or "–"), str(change["after"] or "–"))
        rows.append(ComparedRow(f"diff {place} {change['kind']}", counts, "diff"))
    return rows if changes else [*rows, ComparedRow(f"diff {place} same", ("the same layers",), "diff")]

"""`cnn-explorer list`: the catalogue without the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, nearest
from .narrate import log
from .output import AsJson, Force, Output, written_to

if TYPE_CHECKING:
    from ..models.catalogue.registry import StemCounts, Variant

SORTS = {
    "year": lambda variant: (variant.year, variant.family),
    "params": lambda variant: variant.paper_stem.parameters,
    "macs": lambda variant: variant.paper_stem.macs,
}
EARLIER = {"flops": "macs"}
"""What 0.1.0 called an order; it counts MACs, of which papers make one floating-point operation or two."""
LIST_SCHEMA = 1


def list_networks(
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only networks with this tag.")] = None,
    sort: Annotated[
        str, typer.Option(metavar="NAME", help="Order: year, params or macs (of the paper's stem).")
    ] = "year",
    as_json: AsJson = False,
    output: Output = None,
    force: Force = False,
) -> None:
    """List every network with its year, parameters and MACs."""
    from ..models.catalogue import registry

    if sort in EARLIER:
        log(f"--sort {sort} is now called --sort {EARLIER[sort]}")
        sort = EARLIER[sort]
    if sort not in SORTS:
        raise UsageError("--sort", sort, f"is unknown; {nearest(sort, SORTS)}")
    chosen = registry.tagged(tag, "--tag")
    chosen.sort(key=SORTS[sort])
    with written_to(output, force=force):
        if as_json:
            import json

            print(json.dumps({"schema": LIST_SCHEMA, "networks": [as_dict(variant) for variant in chosen]}, indent=1))
        else:
            print_list(chosen)


def as_dict(variant: Variant) -> dict[str, Any]:
    """Return a variant as plain data, stable under ``schema`` 1; ``forms`` are the stems under their earlier names."""
    from ..models.catalogue.registry import FORMS

    stems = {"imagenet": variant.paper_stem, "small": variant.small_stem}
    counted = {name: _stem_as_dict(stem) for name, stem in stems.items() if stem is not None}
    return {
        "name": variant.name,
        "title": variant.title,
        "family": variant.family,
        "year": variant.year,
        "tags": list(variant.tags),
        "stems": counted,
        "forms": {earlier: counted[stem] for earlier, stem in FORMS.items() if stem in counted},
        "published": variant.published,
        "recipe": variant.recipe,
        "torchvision": variant.torchvision or None,
    }


def _stem_as_dict(stem: StemCounts) -> dict[str, Any]:
    return {
        "input": list(stem.input),
        "classes": stem.classes,
        "parameters": stem.parameters or None,
        "multiply_adds": stem.macs or None,
    }


def print_list(chosen) -> None:
    from ..models.catalogue.notes import count_text, shape_text
    from .tables import print_table

    rows = []
    for variant in chosen:
        paper, small = variant.paper_stem, variant.small_stem
        small_text = f"{count_text(small.parameters)} / {count_text(small.macs)}" if small else ""
        figures = (count_text(paper.parameters), count_text(paper.macs))
        rows.append((variant.year, variant.name, shape_text(paper.input), *figures, small_text, " ".join(variant.tags)))
    columns = ("year", "network", "image", "params", "MACs", "small stem", "tags")
    print_table(columns, rows, numbers=("params", "MACs", "small stem"), shrink="tags", optional=("small stem",))

"""`cnn-explorer lineage`: the family tree of the architectures, in text or JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from .output import AsJson, Force, Output, written_to


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

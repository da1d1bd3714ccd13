"""Write docs/zoo.md: every variant with its counts, what they were compared with, and the smallest image it takes.

usage: python scripts/make_zoo_table.py [--check]

The counts are those stamped into the notes (a test holds them against the code), the oracle is tests/models/oracle.json, the
reference implementation is read off each family's test. The smallest image is found by building and running on the
meta device.
With --check nothing is written; exit code 1 where docs/zoo.md is not what would be written (smallest images excepted).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.catalogue.notes import quantity

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "zoo.md"
LARGEST = 600
HEAD = """# The zoo in figures

Written by `python scripts/make_zoo_table.py`.

- *Counts*: "oracle" where parameters and MACs equal those counted from other implementations
  (tests/models/oracle.json) exactly; "counted" where there is no such entry (the family's test may derive a closed form).
- *Same function*: the reference whose outputs equal ours to 1e-9 and gradients to 1e-7 (relative, float64, all weights
  random; the family's test says for which variants); "own re-computation" where there is no installed reference and the
  test computes the same by other means.
- *Smallest*: the smallest square image that the network takes, with the paper's / the small stem.

| network | year | parameters | MACs | published | counts | same function | smallest | small stem |
|---|---|---:|---:|---|---|---|---|---|
"""


def oracle() -> dict[str, dict]:
    entries = json.loads((ROOT / "tests" / "models" / "oracle.json").read_text(encoding="utf-8"))["entries"]
    return {entry["variant"]: entry for entry in reversed(entries) if entry["canonical"]}


def reference(family: str) -> str:
    """Return which library the family's test compares with, by what it imports and calls."""
    path = ROOT / "tests" / "models" / f"test_{family}.py"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if "assert_same_function" not in text and "differences(" not in text and "transplant" not in text:
        return "own re-computation"
    found = [name for name in ("torchvision", "timm") if f"import {name}" in text or f"from {name}" in text]
    return ", ".join(found) or "own re-computation"


def runs(name: str, stem: str, size: int) -> bool:
    """Return whether a network can be built with a stem for ``size`` pixels and run on them."""
    channels = registry.find(name).counts(stem).input[0]
    try:
        network = counting.on_meta(lambda: registry.build(name, stem=stem, image_size=size)).eval()
        with torch.no_grad():
            network(torch.empty((2, channels, size, size), device="meta"))
    except (ValueError, RuntimeError, IndexError, AssertionError, ZeroDivisionError):
        return False
    return True


def smallest(name: str, stem: str) -> int | None:
    """Return the smallest side that runs: doubled until it does, then the gap halved."""
    high = 1
    while not runs(name, stem, high):
        high *= 2
        if high > LARGEST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(name, stem, middle) else (middle, high)
    return high


def row(variant: registry.Variant, counts: dict[str, dict], sizes: bool) -> list[str]:
    paper, small = variant.paper_stem, variant.small_stem
    entry = counts.get(variant.name)
    held = "counted" if entry is None else "oracle"
    if entry is not None and entry["input"] == list(paper.input):
        assert entry["params"] == paper.parameters and entry["macs"] in (None, paper.macs), variant.name
    stems = ["imagenet"] + (["small"] if small else [])
    least = " / ".join(str(smallest(variant.name, stem) or "its own") for stem in stems) if sizes else ""
    published = ", ".join(f"{key} {value}" for key, value in variant.published.items())
    small_text = f"{small.parameters:,} / {quantity(small.macs)}" if small else "the same"
    figures = [f"{paper.parameters:,}", quantity(paper.macs)]
    return [variant.name, str(variant.year), *figures, published, held, reference(variant.family), least, small_text]


def table(sizes: bool) -> list[list[str]]:
    counts = oracle()
    return [row(variant, counts, sizes) for family in registry.families() for variant in family.variants]


def main() -> None:
    if "--check" in sys.argv:
        written = [line.strip("| ").split(" | ") for line in TARGET.read_text(encoding="utf-8").splitlines()]
        kept = {tuple(cells[:7] + cells[8:]) for cells in written if len(cells) == 9}
        missing = [
            cells[0] for cells in table(sizes=False) if tuple(c or "" for c in cells[:7] + cells[8:]) not in kept
        ]
        print("\n".join(f"docs/zoo.md is not up to date for {name}" for name in missing) or "docs/zoo.md is up to date")
        sys.exit(bool(missing))
    TARGET.write_text(HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in table(sizes=True)), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""Count every variant of the catalogue and write the figures into the notes' front matter.

usage: python scripts/stamp_notes.py [FAMILY ...]

Everything from the marker line to the closing fence is replaced; what a person wrote above it stays as it is. A note says
`small = [3, 32, 32]` where its builders take stem="small"; a variant opts out with `small = false`. Notes of the folder
that the setting `models` names are stamped like the program's own.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry

MARKER = "# Counted from the code by scripts/stamp_notes.py; what stands above this line is written by hand."


def count_stem(variant: str, stem: str, shape: list[int], classes: int) -> counting.Count:
    """Return the counts of one variant, built on the meta device."""
    family = registry.find(variant).family
    builder = getattr(registry.module(family), variant)
    options = {"stem": "small"} if stem == "small" else {}
    network = counting.on_meta(
        lambda: builder(num_classes=classes, in_channels=shape[0], image_size=shape[1], **options)
    )
    return counting.count(network, (shape[0], shape[1], shape[2]))


def as_toml(count: counting.Count) -> str:
    """Return a count as one TOML string without escapes: parameters, MACs, then the stages."""
    stages = "; ".join(f"{s.name} {'x'.join(map(str, s.shape))} {s.parameters} {s.macs}" for s in count.stages)
    return f"'{count.parameters} {count.macs} {stages}'"


def stamp(path: Path) -> None:
    """Rewrite the counted part of one note."""
    front, body = registry.split_note(path.read_text(encoding="utf-8"), path)
    written = front.split(MARKER)[0].rstrip() + "\n"
    head = tomllib.loads(written)
    counted: dict[str, list[str]] = {"paper": [], "small": []}
    for name, row in head["variants"].items():
        shape = row.get("input", head.get("input", [3, 224, 224]))
        classes = row.get("classes", head.get("classes", 1000))
        counted["paper"].append(f"{name} = {as_toml(count_stem(name, 'imagenet', shape, classes))}")
        small = row.get("small", head.get("small"))
        if small:
            counted["small"].append(f"{name} = {as_toml(count_stem(name, 'small', small, 10))}")
    lines = [MARKER]
    for stem, rows in counted.items():
        lines += ["", f"[counted.{stem}]", *rows] if rows else []
    text = f"{registry.FENCE}\n{written}\n" + "\n".join(lines) + f"\n{registry.FENCE}\n\n{body}"
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8")
        print(f"stamped {path.name}")


def main() -> None:
    wanted = set(sys.argv[1:])
    for family in registry.families():
        if not wanted or family.name in wanted:
            stamp(family.note_path)


if __name__ == "__main__":
    main()

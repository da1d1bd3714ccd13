"""The size table of "Scaling Vision Transformers" (Zhai et al., CVPR 2022, arXiv:2106.04560, table 2), computed.

usage: python scripts/vit_table.py

The paper prints parameters without the head and GFLOPs as twice the MACs, at 224 and 384 pixels. Patches of 28 and
14 do not divide 384: the paper rounds down, and we count the image that these patches cover. Exit code 1 where
a parameter figure differs in a printed digit or a GFLOP figure by more than 1.5 %. (One-digit figures may also differ by
their rounding.)
"""

from __future__ import annotations

import sys

from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry

# Row, network, the paper's parameters in millions as printed, GFLOPs at 224 and 384 as printed.
PAPER = [
    ("s/28", "vit_mini_28", "5.4", 0.7, 2.0),
    ("s/16", "vit_mini_16", "5.0", 2.2, 7.8),
    ("S/32", "vit_small_32", "22", 2.3, 6.9),
    ("Ti/16", "vit_tiny_16", "5.5", 2.5, 9.5),
    ("B/32", "vit_base_32", "87", 8.7, 26.0),
    ("S/16", "vit_small_16", "22", 9.2, 31.2),
    ("B/28", "vit_base_28", "87", 11.3, 30.5),
    ("B/16", "vit_base_16", "86", 35.1, 111.3),
    ("L/16", "vit_large_16", "303", 122.9, 382.8),
    ("g/14", "vit_giant_14", "1011", 533.1, 1596.4),
    ("G/14", "vit_gigantic_14", "1843", 965.3, 2859.9),
]
TOLERANCE = 0.015
HALF_DIGIT = 0.05


def count(name: str, size: int) -> counting.Count:
    patch = int(name.rsplit("_", 1)[1])
    size = size // patch * patch
    network = counting.on_meta(lambda: registry.build(name, image_size=size))
    return counting.count(network, (3, size, size))


def without_head(counted: counting.Count) -> int:
    return counted.parameters - next(stage.parameters for stage in counted.stages if stage.name == "head")


def fits(ours: float, printed: float) -> bool:
    return abs(ours - printed) <= max(TOLERANCE * printed, HALF_DIGIT)


def rows() -> list[tuple[str, str, str, bool, list[tuple[float, float, bool]]]]:
    """Return the row, our parameters as printed, the paper's, whether equal; per size our GFLOPs, the paper's, whether
    they fit.
    """
    table = []
    for row, name, printed, *flops in PAPER:
        counts = [count(name, size) for size in (224, 384)]
        digits = len(printed.partition(".")[2])
        ours = f"{without_head(counts[0]) / 1e6:.{digits}f}"
        work = [
            (2 * c.macs / 1e9, theirs, fits(2 * c.macs / 1e9, theirs)) for c, theirs in zip(counts, flops, strict=True)
        ]
        table.append((row, ours, printed, ours == printed, work))
    return table


def main() -> None:
    print(f"{'':6} {'params/M':>9} {'paper':>6}   {'GFLOPs 224':>10} {'paper':>7}   {'GFLOPs 384':>10} {'paper':>7}")
    good = True
    for row, ours, printed, equal, work in rows():
        cells = "   ".join(f"{mine:10.1f} {theirs:7.1f}{' ' if ok else '!'}" for mine, theirs, ok in work)
        print(f"{row:6} {ours:>9} {printed:>6}{' ' if equal else '!'}  {cells}")
        good = good and equal and all(ok for *_, ok in work)
    sys.exit(not good)


if __name__ == "__main__":
    main()

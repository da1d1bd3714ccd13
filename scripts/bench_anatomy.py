"""How long the full anatomy of each variant takes once torch is loaded, and the most memory that the process held.

usage: python scripts/bench_anatomy.py [NAME ...]
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows import folding
from cnn_explorer.models.catalogue import registry


def seconds(name: str) -> float:
    begun = time.perf_counter()
    folding.fold(external.anatomy_of(external.network_spec(name)))
    return time.perf_counter() - begun


def main() -> None:
    names = sys.argv[1:] or list(registry.variants())
    seconds(names[0])  # the first call imports the counter's formulas
    times = {name: seconds(name) for name in names}
    for name in sorted(times, key=times.__getitem__, reverse=True)[:15]:
        print(f"{name:28}{times[name]:8.3f} s")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, units of 1,024 bytes here
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    print(
        f"{len(times)} variants: median {statistics.median(times.values()):.3f} s, slowest {max(times.values()):.3f} s"
    )
    print(f"peak memory of the process {peak:.0f} MB")


if __name__ == "__main__":
    main()

"""Compare the time that two versions of the program take for the anatomy of every network.

usage: python scripts/anatomy_time.py OLD NEW [--rounds N] [NAME ...]

OLD and NEW are folders that contain the package `cnn_explorer`. Each version runs in a process of its own, which takes all
networks in turn; the versions take turns, N rounds each. Printed are the medians over the networks of the user's processor
time, and of the ratio new / old, each network by its quickest round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

MEASURE = """
import json, resource, sys
try:
    from cnn_explorer.models.anatomy.outside import external
    from cnn_explorer.models.anatomy.rows.folding import fold
except ImportError:  # an older version, in which they lay flat
    from cnn_explorer.models.anatomy import external
    from cnn_explorer.models.anatomy.layer_table import fold
from cnn_explorer.models.catalogue import registry
names = sys.argv[1:] or list(registry.variants())
def seconds(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    fold(external.anatomy_of(external.network_spec(name)))
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
for name in names[:3]:
    seconds(name)
print(json.dumps({name: seconds(name) for name in names}))
"""


def measured(folder: str, names: list[str]) -> dict[str, float]:
    """Return the user's processor time for each network with the version in a folder."""
    environment = {**os.environ, "PYTHONPATH": folder}
    made = subprocess.run(
        [sys.executable, "-c", MEASURE, *names], env=environment, capture_output=True, text=True, check=True, cwd=folder
    )
    return json.loads(made.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    best: list[dict[str, float]] = [{}, {}]
    for _ in range(options.rounds):
        for times, folder in zip(best, (options.old, options.new), strict=True):
            for name, time in measured(folder, options.names).items():
                times[name] = min(time, times.get(name, time))
    old, new = best
    ratios = {name: new[name] / old[name] for name in old}
    print(f"{len(old)} networks, {options.rounds} rounds in turns, user's processor time")
    print(f"median {statistics.median(old.values()):.3f} s before, {statistics.median(new.values()):.3f} s now")
    print(
        f"median of the ratios {statistics.median(ratios.values()):.3f}; sum {sum(new.values()) / sum(old.values()):.3f}"
    )
    slowest = max(ratios, key=ratios.__getitem__)
    print(f"most: {slowest} {ratios[slowest]:.2f}; least: {min(ratios.values()):.2f}")


if __name__ == "__main__":
    main()

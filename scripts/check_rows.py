"""Check the layer tables of many networks: rows chain, sides grow by up-sampling alone, sums equal the recorded ones.

usage: python scripts/check_rows.py [--catalogue] [--torchvision] [--timm COUNT] [--seed N] [--largest MILLIONS] [NAME ...]

All 228 networks of the catalogue, every name of torchvision, and COUNT of timm's, drawn with the seed among those with at
most MILLIONS of parameters. Prints what is wrong, what cannot be traced and why, and a line of sums for each source. The
exit code is 1 where anything is wrong or cannot be traced.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import warnings
from collections import Counter
from pathlib import Path

from cnn_explorer.models.anatomy.counting import count_parameters, on_meta
from cnn_explorer.models.anatomy.outside import external, traced
from cnn_explorer.models.anatomy.rows import check, folding
from cnn_explorer.models.catalogue import registry

ORACLE = Path(__file__).resolve().parents[1] / "tests" / "models" / "oracle.json"


def wrong_with(name: str, expected: dict[str, tuple[int, int | None]]) -> list[str]:
    """Return what is wrong with one network's table, folded and not."""
    spec = external.network_spec(name)
    tree = external.anatomy_of(spec)
    found = [f"{problem.rule}: {problem.row}: {problem.words}" for problem in check.problems(tree)]
    found += [f"folded {p.rule}: {p.row}: {p.words}" for p in check.problems(folding.fold(tree))] if not found else []
    if name in expected:
        parameters, macs = expected[name]
        if tree.parameters != parameters or macs not in (None, tree.macs):
            found.append(f"sum: {tree.parameters} parameters, {tree.macs} MACs; recorded {parameters}, {macs}")
    elif tree.parameters != count_parameters(traced.built(name, spec.make)):
        found.append("sum: parameters")
    return found


def recorded() -> dict[str, tuple[int, int | None]]:
    """Return parameters and MACs of the catalogue's networks as others counted them, at the size shown."""
    found = {}
    for entry in json.loads(ORACLE.read_text(encoding="utf-8"))["entries"]:
        name = entry["variant"]
        if entry["canonical"] and name in registry.variants():
            counts = registry.find(name).paper_stem
            if (list(counts.input), counts.classes) == (entry["input"], entry["num_classes"]):
                found[name] = (entry["params"], entry["macs"])
    return found


def timm_names(count: int, seed: int, largest: float) -> list[str]:
    """Return names of timm's networks, drawn by a seed, without giants."""
    import timm

    names = timm.list_models()
    random.Random(seed).shuffle(names)
    chosen: list[str] = []
    for name in names:
        if len(chosen) == count:
            break
        try:
            parameters = count_parameters(on_meta(lambda name=name: timm.create_model(name, pretrained=False)))
        except Exception:  # it cannot be built on meta: it counts as drawn, and the check says why
            parameters = 0
        if parameters <= largest * 1e6:
            chosen.append(f"timm:{name}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--catalogue", action="store_true")
    parser.add_argument("--torchvision", action="store_true")
    parser.add_argument("--timm", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--largest", type=float, default=200)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    sources: dict[str, list[str]] = {"named": options.names}
    if options.catalogue:
        sources["catalogue"] = list(registry.variants())
    if options.torchvision:
        import torchvision.models as zoo

        sources["torchvision"] = [f"torchvision:{name}" for name in zoo.list_models()]
    if options.timm:
        sources["timm"] = timm_names(options.timm, options.seed, options.largest)
    expected = recorded()
    faults = 0
    for source, names in sources.items():
        count: Counter[str] = Counter()
        for name in names:
            try:
                wrong = wrong_with(name, expected)
            except Exception as error:
                count["cannot be traced"] += 1
                lines = str(error).strip().splitlines() or [type(error).__name__]
                print(f"{name}: cannot be traced: {lines[0][:200]}", flush=True)
                continue
            count["wrong" if wrong else "right"] += 1
            for words in wrong[:4]:
                print(f"{name}: {words}", flush=True)
        faults += len(names) - count["right"]
        if names:
            print(
                f"{source}: {len(names)} networks, " + ", ".join(f"{n} {word}" for word, n in count.items()), flush=True
            )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Which network another is compared with by default. No torch."""

from __future__ import annotations

import math

from ...models.catalogue import registry
from ...models.catalogue.registry import Variant


def predecessors(variant: Variant) -> list[Variant]:
    """Return the networks it builds on: of each family that its note names, the one nearest in work."""
    known = {family.name: family for family in registry.families()}
    family = known[variant.family]
    return [nearest_in_work(variant, known[name].variants) for name in family.builds_on if name in known]


def nearest_in_work(variant: Variant, others: tuple[Variant, ...]) -> Variant:
    """Return the one of ``others`` whose MACs are closest in proportion."""

    def distance(other: Variant) -> float:
        return abs(math.log((other.paper_stem.macs or 1) / (variant.paper_stem.macs or 1)))

    return min(others, key=distance)


def counterpart(variant: Variant) -> Variant | None:
    """Return what it is compared with at first: its predecessor, else a sibling, else nothing."""
    found = predecessors(variant)
    if found:
        return found[0]
    siblings = tuple(other for other in registry.family(variant.family).variants if other.name != variant.name)
    return nearest_in_work(variant, siblings) if siblings else None

"""What a benchmark means, in one or two sentences a network."""

from __future__ import annotations

from ...models.catalogue.share_text import share_text
from .results import BARE, CANONICAL, CANONICAL_WORKERS, DataResult, NetworkResult, Speedup

NOTICED = 0.02
"""A speed-up that changes the speed by less than this part is not told apart from noise."""


def about_data(found: DataResult) -> str:
    """Return the data path alone."""
    best = max((key for key in (CANONICAL, CANONICAL_WORKERS)), key=lambda key: found.paths[key].rate)
    what = " with random crops and flips" if found.augment else ""
    return f"Batches of {found.batch_size}{what} come {times(found.times(best))} as fast as from the DataLoader at its best."


def about_network(found: NetworkResult) -> list[str]:
    """Return how the engine compares, and what its speed-ups gain."""
    name, lines, parts = found.config.network.name, [], []
    if found.canonical is not None:
        parts.append(f"trains {times(found.times(found.canonical) or 0)} as fast as with the DataLoader loop")
    if BARE in found.loops:
        parts.append(f"reaches {share_text(found.times(BARE) or 0)} of the speed of the loop by hand")
    if parts:
        lines.append(f"{name} {' and '.join(parts)}.")
    if found.speedups:
        lines.append(_about_speedups(found.speedups))
    return lines


def _about_speedups(speedups: tuple[Speedup, ...]) -> str:
    """Return the speed-ups that are felt, the largest first, then those in use that are not, then what would help or
    harm.
    """
    used = sorted((speedup for speedup in speedups if speedup.used), key=lambda speedup: -speedup.gain)
    felt = [f"{speedup.title} {times(speedup.gain)}" for speedup in used if abs(speedup.gain - 1) >= NOTICED]
    unfelt = [speedup.title for speedup in used if abs(speedup.gain - 1) < NOTICED]
    spare = [f"{speedup.title} (would be {times(speedup.gain)})" for speedup in speedups if not speedup.used]
    sentences = [f"Gain of each speed-up: {_listed(felt)}." if felt else ""]
    sentences.append(f"Not felt: {_listed(unfelt)}." if unfelt else "")
    sentences.append(f"Not in use: {_listed(spare)}." if spare else "")
    return " ".join(filter(None, sentences))


def _listed(parts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def times(factor: float) -> str:
    """Return a factor as text: 2.53 as ``2.5×``, 0.974 as ``0.97×``."""
    return f"{factor:.0f}×" if factor >= 20 else f"{factor:.1f}×" if factor >= 2 else f"{factor:.2f}×"

"""Runs as the list and the lines above the charts show them. No Textual."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from ...models.catalogue.share_text import share_text
from ...trainer.common.number_text import clock, percent, percentage
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..charts.sparkline import sparkline
from ..charts.view import Curves
from . import identity
from .run_previews import RunPreview

BAR_CELLS = 20
CURVE_CELLS = 10


def matching(runs: Sequence[RunSnapshot], text: str) -> list[RunSnapshot]:
    """Return the runs that have every word of ``text`` in their id, network, data set, state, tags or remark."""
    words = text.lower().split()
    if not words:
        return list(runs)
    return [run for run in runs if all(word in _haystack(run) for word in words)]


def _haystack(run: RunSnapshot) -> str:
    return " ".join((run.id, run.network, run.dataset, run.state, *run.notes.tags, run.notes.remark)).lower()


ORDERS: dict[str, Callable[[RunSnapshot], Any]] = {
    "newest": lambda run: 0,
    "best accuracy": lambda run: math.inf if run.best_accuracy is None else -run.best_accuracy,
    "network": lambda run: run.network.lower(),
    "data set": lambda run: run.dataset.lower(),
    "state": lambda run: list(STATES).index(run.state),
    "time left": lambda run: run.eta_s if run.live and run.eta_s is not None else math.inf,
    "tags": lambda run: (not run.notes.tags, run.notes.tags),
}
"""Names of the orders of the list and what each sorts by; within, the newest comes first."""


def ordered(runs: Sequence[RunSnapshot], order: str) -> list[RunSnapshot]:
    """Return the runs, which come newest first, in an order; an unknown one is that in which they came."""
    return sorted(runs, key=ORDERS.get(order, ORDERS["newest"]))


def cells(run: RunSnapshot, sign: str = "", preview: RunPreview | None = None) -> tuple[str, ...]:
    """Return a run as the list shows it, in the order of its columns. ``sign`` tells whether it is marked or pinned."""
    preview = preview or RunPreview()
    return (
        sign,
        STATES[run.state].symbol,
        run.network or run.id,
        identity.data_text(run.dataset),
        identity.state_text(run),
        percentage(run.best_accuracy),
        sparkline(preview.accuracies, CURVE_CELLS),
        percentage(run.test_accuracy),
        "" if preview.pace is None else pace(preview.pace),
        clock(run.eta_s) if run.live else "",
        *identity.cells(run),
    )


def pace(images_per_s: float) -> str:
    """Return the images a second in five cells: 950, 21.3k, 1.2M."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if images_per_s >= limit:
            return f"{images_per_s / (1e3 if unit == 'k' else 1e6):.1f}{unit}"
    return f"{images_per_s:.0f}" if images_per_s >= 10 else f"{images_per_s:.1f}"


def tone(run: RunSnapshot) -> str:
    """Return how a run is coloured; the sign and the word say the same."""
    if run.live:
        return "good"
    return "plain" if STATES[run.state].good else "bad"


def bar(part: float | None, cells: int = BAR_CELLS) -> str:
    """Return a progress bar with its percentage."""
    if part is None:
        return ""
    full = int(part * cells)
    return "█" * full + "░" * (cells - full) + f" {share_text(part)}"


def headline(run: RunSnapshot) -> str:
    """Return the state, phase, progress and time left in one line."""
    parts = [f"{STATES[run.state].symbol} {run.state}", "ended early, as asked" if run.ended_early else ""]
    if run.live:
        eta = clock(run.eta_s)
        parts += [run.phase, bar(run.progress), f"{eta} left" if eta else ""]
    if run.error:
        parts.append(run.error)
    elif run.reason:
        parts.append(run.reason)
    return "  ".join(part for part in parts if part)


def in_two_lines(headline: str, figures: str, cells: int) -> tuple[str, str]:
    """Return both, the headline going on in the second line where it is too long for ``cells`` and there are no figures."""
    if figures or len(headline) <= cells:
        return headline, figures
    first, *rest = textwrap.wrap(headline, cells)
    return first, " ".join(rest)


def figures(run: RunSnapshot, curves: Curves | None) -> str:
    """Return the newest figures of a run in one line; what it came to stands first, because a narrow line ends early."""
    parts = []
    if run.best_accuracy is not None:
        epoch = f" (epoch {run.best_epoch})" if run.best_epoch is not None else ""
        parts.append(f"best {percent(run.best_accuracy)}{epoch}")
    if run.test_accuracy is not None:
        parts.append(f"test {percent(run.test_accuracy)}")
    if curves and curves.diverged_step is not None:
        parts.append(f"diverged at step {curves.diverged_step:,}")
    last = curves.last if curves else {}
    if "step" in last:
        parts.append(f"step {last['step']:,.0f}")
    if "loss" in last:
        parts.append(f"loss {last['loss']:.4g}")
    if "images_per_s" in last:
        parts.append(f"{last['images_per_s']:,.0f} img/s")
    return " · ".join(parts)

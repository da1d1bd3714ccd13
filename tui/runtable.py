"""Runs as the list and the lines above the charts show them. No Textual."""

from __future__ import annotations

from collections.abc import Sequence

from ..trainer.run import Run
from ..trainer.states import STATES
from .curves import Curves

BAR_CELLS = 20


def matching(runs: Sequence[Run], text: str) -> list[Run]:
    """The runs that have every word of ``text`` in their id, network, data set, state, tags or remark."""
    words = text.lower().split()
    return [run for run in runs if all(word in _haystack(run) for word in words)]


def _haystack(run: Run) -> str:
    return " ".join((run.id, run.network, run.dataset, run.state, *run.notes.tags, run.notes.remark)).lower()


def percent(value: float | None) -> str:
    """An accuracy between 0 and 1 as 91.4 %, or nothing."""
    return "" if value is None else f"{100 * value:.1f}"


def duration(seconds: float | None) -> str:
    """95 as 1:35, 7300 as 2 h 01; nothing where it is not known."""
    if seconds is None or seconds < 0:
        return ""
    whole = round(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def progress_text(run: Run) -> str:
    """Where a run stands: its epoch, or the word for its state."""
    if run.state == "training" and run.epoch is not None and run.epochs is not None:
        return f"epoch {run.epoch}/{run.epochs}"
    return run.state


def cells(run: Run) -> tuple[str, ...]:
    """Sign of the state, network, data set, where it stands, best accuracy, time left, id."""
    eta = duration(run.eta_s) if run.live else ""
    best = run.test_accuracy if run.test_accuracy is not None else run.best_accuracy
    sign = STATES[run.state].symbol
    return (sign, run.network or run.id, run.dataset, progress_text(run), percent(best), eta, run.id)


def tone(run: Run) -> str:
    """How a run is coloured; the sign and the word say the same."""
    if run.live:
        return "good"
    return "plain" if STATES[run.state].good else "bad"


def bar(part: float | None, cells: int = BAR_CELLS) -> str:
    """A progress bar with its percentage."""
    if part is None:
        return ""
    full = int(part * cells)
    return "█" * full + "░" * (cells - full) + f" {part:.0%}"


def headline(run: Run) -> str:
    """State, phase, progress and time left in one line."""
    parts = [f"{STATES[run.state].symbol} {run.state}"]
    if run.live:
        eta = duration(run.eta_s)
        parts += [run.phase, bar(run.progress), f"{eta} left" if eta else ""]
    if run.error:
        parts.append(run.error)
    elif run.reason:
        parts.append(run.reason)
    return "  ".join(part for part in parts if part)


def figures(run: Run, curves: Curves | None) -> str:
    """The newest figures of a run in one line."""
    parts = []
    last = curves.last if curves else {}
    if "step" in last:
        parts.append(f"step {last['step']:,.0f}")
    if "loss" in last:
        parts.append(f"loss {last['loss']:.4g}")
    if "images_per_s" in last:
        parts.append(f"{last['images_per_s']:,.0f} img/s")
    if run.best_accuracy is not None:
        epoch = f" (epoch {run.best_epoch})" if run.best_epoch is not None else ""
        parts.append(f"best {percent(run.best_accuracy)} %{epoch}")
    if run.test_accuracy is not None:
        parts.append(f"test {percent(run.test_accuracy)} %")
    if curves and curves.diverged_step is not None:
        parts.append(f"diverged at step {curves.diverged_step}")
    return " · ".join(parts)

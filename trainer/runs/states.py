"""The states of a run, with the symbol and the word that every list shows for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """``symbol`` is one cell wide; ``plain`` stands in for it where only ASCII can be shown.

    ``live`` says that a process runs, or will run, the run; ``good`` that an end in this state is what was wanted.
    """

    name: str
    symbol: str
    plain: str
    live: bool
    good: bool


STATES: dict[str, State] = {
    state.name: state
    for state in (
        State("queued", "○", "o", live=True, good=True),
        State("starting", "◐", "~", live=True, good=True),
        State("training", "►", ">", live=True, good=True),
        State("testing", "◇", "?", live=True, good=True),
        State("finished", "✓", "+", live=False, good=True),
        State("stopped", "■", "=", live=False, good=True),
        State("failed", "✗", "x", live=False, good=False),
        State("diverged", "↗", "^", live=False, good=False),
        State("crashed", "†", "!", live=False, good=False),
    )
}

ENDED = frozenset({"finished", "stopped", "failed", "diverged"})
"""States that the trainer itself writes when it ends; *crashed* is never written, only inferred by a reader."""

"""Tells when a run ends while the app is open: in a message of the app and, if wanted, to the terminal. No Textual."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...trainer.common.number_text import percent
from ...trainer.common.text_safe import clean, shorten
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES

LONGEST = 120


def ended(before: Iterable[RunSnapshot], after: Iterable[RunSnapshot]) -> list[RunSnapshot]:
    """Return the runs that were alive and are over now."""
    alive = {run.id for run in before if run.live}
    return [run for run in after if run.id in alive and not run.live]


def sentence(run: RunSnapshot) -> str:
    """Return the end of a run in a sentence: ``✓ lenet5 on digits finished: test accuracy 97.8 %``"""
    text = f"{STATES[run.state].symbol} {run.network or run.id} on {run.dataset or 'unknown data'} {run.state}"
    if run.error or run.reason:
        return f"{text}: {run.error or run.reason}"
    for name, value in (("test", run.test_accuracy), ("best validation", run.best_accuracy)):
        if value is not None:
            return f"{text}: {name} accuracy {percent(value)}"
    return text


def osc9(text: str) -> str:
    """Return the sequence by which iTerm2, kitty, WezTerm, Windows Terminal and others show a notification of the
    desktop.

    Nothing in ``text`` can end the sequence early. tmux passes it on where ``allow-passthrough`` is on.
    """
    harmless = shorten(clean(text), LONGEST).replace("\x1b", "").replace("\x07", "")
    sequence = f"\x1b]9;{harmless}\x07"
    if os.environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence

"""The command that trains a finished run longer: a new run with its configuration that begins with its weights."""

from __future__ import annotations

import shlex

from ... import settings
from .run import RunSnapshot, part


def command(run: RunSnapshot) -> str:
    """Return the words to type, "" for a run that is not finished: what ended before its recipe is resumed.

    The recipe is the same once more, its learning rate included. Loaded weights that were frozen learn from here on,
    because nothing else would be left to learn.
    """
    if run.state != "finished" or run.epochs is None:
        return ""
    words = ["cnn-explorer", "runs", "clone", run.id, "--init-from", run.id, "--epochs", str(run.epochs)]
    if part(run.config, "recipe").get("freeze", "none") != "none":
        words += ["--freeze", "none"]
    if run.path.parent != settings.runs_folder():
        words += ["--runs", str(run.path.parent)]
    return shlex.join(words)

"""A new run with the configuration of an earlier one: the command that does it. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ..runs.run_writer import read_config


def words(path: Path, runs: Path, changes: Sequence[str] = ()) -> list[str]:
    """Return the words after `cnn-explorer` that train a clone of the run ``path`` in the folder ``runs``.

    ``changes`` are options of `train`, which override what run.json says; `--detach` lets it train in the background. Raises
    WorkError where run.json is missing or damaged, UsageError where ``changes`` bring a configuration of their own.
    """
    read_config(path)
    for word in changes:
        if word.partition("=")[0] == "--config":
            raise UsageError("config", None, "cannot be given: a clone has the configuration of the run")
    return ["train", "--config", str(path / "run.json"), "--runs", str(runs), *changes]

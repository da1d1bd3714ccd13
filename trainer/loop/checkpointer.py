"""Write the checkpoints of a run when they are due; a checkpoint that cannot be written does not end the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from ..config.checkpoint_policy import CheckpointPolicy
from ..runs.run_writer import CheckpointPaths
from ..weights import checkpoint
from .reporter import Report

COST_SHARE = 0.05


class Checkpointer:
    """Writes best.pt and last.pt of one run.

    last.pt is due at the end of an epoch and after ``policy.minutes`` within one. Where epochs are over in a moment,
    writing at each of them would take longer than the training: then one is written whenever writing has taken at most a
    twentieth of the time, unless some are to be kept. The best weights wait in main memory until then, and are written
    before last.pt, which names them.
    """

    def __init__(self, paths: CheckpointPaths, report: Report, policy: CheckpointPolicy) -> None:
        self.paths = paths
        self.trouble = ""
        """Why the last attempt to write failed; "" where it did not."""
        self._report = report
        self._policy = policy
        self._best: dict | None = None
        self._written = time.monotonic()
        self._cost = 0.0

    def offer_best(self, state: dict) -> None:
        """Remember ``state`` as the best so far; its tensors are copied to main memory."""
        self._best = _to_memory(state)

    def due(self, *, at_epoch_end: bool) -> bool:
        """Return whether a checkpoint should be written now."""
        passed = time.monotonic() - self._written
        if passed >= 60 * self._policy.minutes:
            return True
        return at_epoch_end and (self._policy.keep > 0 or passed * COST_SHARE >= self._cost)

    def save(self, state: Callable[[], dict], step: int, epoch: int | None = None) -> bool:
        """Write what is waiting, then ``state()`` as last.pt. False, and said, where the disk does not take it.

        ``epoch`` is the one that has just ended, None within one: only then is the checkpoint one of those to be kept.
        """
        begun = time.monotonic()
        try:
            self._report.sync()
            what = "last"
            if self._best is not None:
                checkpoint.write(self._best, self.paths.best)
                self._best = None
                what = "best"
            count = self._policy.keep
            checkpoint.write_last(state(), self.paths, epoch if count else None, count)
        except OSError as error:
            self._written = time.monotonic()
            self._log_failure(error, step)
            return False
        self._written = time.monotonic()
        self._cost = self._written - begun
        self.trouble = ""
        self._report.event("checkpoint", what, step)
        return True

    def log_missing(self, epochs: int) -> None:
        """Say which of the checkpoints that were to be kept are not there, after ``epochs`` of training."""
        wanted = range(max(1, epochs - self._policy.keep + 1), epochs + 1) if self._policy.keep else ()
        there = {number for number, _ in self.paths.kept()}
        if missing := [str(number) for number in wanted if number not in there]:
            which = (
                f"that of epoch {missing[0]} is" if len(missing) == 1 else f"those of epochs {', '.join(missing)} are"
            )
            self._report.log(f"of the {len(wanted)} checkpoints to be kept, {which} missing")

    def _log_failure(self, error: OSError, step: int) -> None:
        reason = error.strerror or str(error)
        if not self.trouble:
            self._report.event("checkpoint_failed", reason, step)
            self._report.log(f"checkpoint not written: {reason}; training goes on, and it is tried again")
        self.trouble = reason

    def best(self, device: torch.device) -> dict | None:
        """Return the best weights, from memory where the disk did not take them; None where there are none.

        Raises CheckpointError where best.pt is damaged.
        """
        if self._best is not None:
            return self._best
        try:
            return checkpoint.read(self.paths.best, device)
        except FileNotFoundError:
            return None


class NullCheckpointer(Checkpointer):
    """The checkpointer of a rank that writes nothing: rank 0 has the same weights."""

    def offer_best(self, state: dict) -> None:
        """Leave it to rank 0."""

    def due(self, *, at_epoch_end: bool) -> bool:
        """Never."""
        return False

    def save(self, state: Callable[[], dict], step: int, epoch: int | None = None) -> bool:
        """Leave it to rank 0."""
        return True

    def log_missing(self, epochs: int) -> None:
        """Leave it to rank 0."""

    def best(self, device: torch.device) -> dict | None:
        """Return None: the weights come from rank 0."""
        return None


def _to_memory(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _to_memory(item) for key, item in value.items()}
    return value

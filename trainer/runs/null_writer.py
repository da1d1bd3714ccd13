"""What a rank that writes nothing has in the place of a RunWriter."""

from __future__ import annotations

from pathlib import Path

from .run_writer import RunWriter, checkpoint_paths


class NullRunWriter(RunWriter):
    """Takes all that a RunWriter takes, and drops it: rank 0 writes the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = {}
        self.checkpoints = checkpoint_paths(path)

    def record(self, record: dict) -> None:
        """Drop a record."""

    def check_place(self) -> None:
        """Do nothing: rank 0 notices."""

    def status(self, **changes: object) -> None:
        """Drop a state."""

    def keep_alive(self) -> None:
        """Give no sign of life: that of rank 0 stands for all."""

    def drop_records_after(self, step: int) -> int:
        """Leave the records alone."""
        return 0

    def sync(self) -> None:
        """Do nothing: nothing has been written."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

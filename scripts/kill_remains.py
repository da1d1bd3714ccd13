"""What a run has left on the disk, and how that differs from what another one has left."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

MEASURED = {"time", "images_per_s"}
"""What may differ between two runs: it is measured, not computed."""
OF_ONE_RUN = {"id", "path", "created", "host", "pid"}
"""What differs between any two runs in the table of runs."""


class Remains:
    """What the run in the directory ``path`` has left.

    ``by_time``: a record of the training is due after some time, so another run has other ones. Then only their order
    counts.
    """

    def __init__(self, path: Path, *, by_time: bool = False) -> None:
        from cnn_explorer.trainer.runs.reader import read_run, summary
        from cnn_explorer.trainer.runs.run_writer import checkpoint_paths
        from cnn_explorer.trainer.weights import checkpoint

        paths, run = checkpoint_paths(path), read_run(path)
        self.state = run.state
        self.row = {key: value for key, value in summary(run).items() if key not in OF_ONE_RUN}
        self.leftovers = [str(found) for found in path.rglob("*.tmp")]
        metrics = path / "metrics.jsonl"
        lines = (metrics.read_bytes() if metrics.exists() else b"").split(b"\n")
        self.torn = [line for line in lines[:-1] if not _is_record(line)] + [line for line in lines[-1:] if line]
        found = [json.loads(line) for line in lines if _is_record(line)]
        steps = [record["step"] for record in found if record["kind"] == "train"]
        self.repeated = [step for step, after in itertools.pairwise(steps) if after <= step]
        self.records = [_computed(record) for record in found if not _is_left_out(record, by_time)]
        self.kept = [number for number, _ in paths.kept()]
        # Without last.pt a run that has ended is held in the newest of its kept checkpoints.
        last = checkpoint.read(paths.last) if paths.last.exists() else checkpoint.read_newest(paths) or {}
        best = checkpoint.read(paths.best)
        self.state_at_end = {key: _flat(last[key]) for key in last if key != "elapsed"}
        self.best = _flat(best)

    def difference(self, other: Remains) -> str:
        """Return what differs in ``other``, in words; nothing where all is equal."""
        if other.state != self.state:
            return f"it is {other.state}: {other.row['error']}"
        if other.torn or other.leftovers or other.repeated:
            return f"torn records {other.torn[:3]}, leftovers {other.leftovers}, repeated steps {other.repeated[:3]}"
        return self.difference_of_records(other) or self.difference_of_weights(other) or self._difference_of_rows(other)

    def difference_of_records(self, other: Remains) -> str:
        """Return how many records are missing and how many too many, with the first of each."""
        if other.records == self.records:
            return ""
        missing = [record for record in self.records if record not in other.records]
        more = [record for record in other.records if other.records.count(record) > self.records.count(record)]
        return f"{len(missing)} records are missing, {len(more)} too many: {missing[:1]} {more[:1]}"

    def difference_of_weights(self, other: Remains) -> str:
        """Return what differs in the checkpoints."""
        for key, value in self.state_at_end.items():
            if other.state_at_end.get(key) != value:
                return f"last.pt: {key} differs"
        if other.best != self.best:
            return "best.pt differs"
        return "" if other.kept == self.kept else f"the kept epochs are {other.kept} instead of {self.kept}"

    def _difference_of_rows(self, other: Remains) -> str:
        for key, value in self.row.items():
            if other.row[key] != value:
                return f"the table of runs: {key} is {other.row[key]!r} instead of {value!r}"
        return ""


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _is_left_out(record: dict, by_time: bool) -> bool:
    """Return whether another run has another one: a resumed run has more events."""
    return record["kind"] == "event" or (by_time and record["kind"] == "train")


def _computed(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in MEASURED}


def _flat(value: Any) -> object:
    """Return the tensors as their type, shape and bytes, in whatever they are."""
    if isinstance(value, dict):
        return {key: _flat(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(item) for item in value]
    if hasattr(value, "numpy"):
        return str(value.dtype), tuple(value.shape), _bytes(value)
    return value


def _bytes(tensor: Any) -> bytes:
    """Return the bytes of a tensor; numpy has no bf16."""
    import torch

    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""

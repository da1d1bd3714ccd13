"""Commands that are killed: `train` while it calibrates, and `runs export` while it writes."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from kill_process import ALIVE, Death, Spot
from kill_remains import Remains
from kill_work import KillableWork, _state, age


def command(words: Sequence[str]) -> int:
    """Run a command of the program in this process, as its `main` does."""
    from cnn_explorer.cli import main

    sys.argv = ["cnn-explorer", *words]
    main.main()
    return 0


class Calibration(KillableWork):
    """`train --calibrate` of a network, whose run must equal that of an earlier one that nothing was timed for.

    What is timed decides nothing here, because the same choice has to come out every time.
    """

    spot = Spot("cnn_explorer.trainer.planning.trial", "Trial", "seconds", "while calibrating")

    def __init__(self, folder: Path, words: Sequence[str], reference: Path) -> None:
        super().__init__(folder)
        self._runs = folder / "runs"
        self._words = [*words, "--calibrate", "--runs", str(self._runs)]
        self._wanted = Remains(reference)
        self.measure()

    def begin(self) -> None:
        """Forget the runs and what was calibrated."""
        shutil.rmtree(self._runs, ignore_errors=True)
        _calibrations().unlink(missing_ok=True)

    def prepare(self) -> None:
        """Let no choice be fast enough to be taken."""
        from cnn_explorer.trainer.planning import calibrate

        calibrate.MARGIN = 0.999

    def _made(self) -> list[Path]:
        return sorted(path.parent for path in self._runs.glob("*/run.json"))

    def work(self) -> int:
        """Train, or resume what an earlier process has begun."""
        from cnn_explorer.trainer.launch import spawn

        made = self._made()
        return spawn.resume(made[0], log=lambda line: print(line, flush=True)) if made else command(self._words)

    def go_on(self, death: Death = ALIVE) -> bool:
        """Work as ever; what an earlier process left has become old by now."""
        age(_calibrations().parent)
        return super().go_on(death)

    def place(self) -> str:
        """Return "planning" and "calibrating" before there is a run."""
        if made := self._made():
            return _state(made[0])
        said = self.said.read_text()
        return "calibrating" if "calibrating: " in said and "calibration: " not in said else "planning"

    def problem(self) -> str:
        """Compare the run; what was calibrated is whole, and nothing is left beside it."""
        made = self._made()
        if len(made) != 1:
            return f"{self._runs}: {len(made)} runs instead of one"
        if left := [str(found) for found in _calibrations().parent.glob(".*.tmp")]:
            return f"left beside the calibrations: {left}"
        if _calibrations().exists() and not json.loads(_calibrations().read_bytes())["entries"]:
            return f"{_calibrations()} is empty"
        problem = self._wanted.difference(Remains(made[0]))
        return f"{made[0]}: {problem}" if problem else ""


def _calibrations() -> Path:
    from cnn_explorer import settings

    return settings.state_folder() / "calibrations.json"


class Export(KillableWork):
    """`runs export` of a finished run as CSV and safetensors, over files that are there already."""

    BEFORE = b"what was there before\n"
    FORMATS = ("csv", "safetensors")

    def __init__(self, folder: Path, run: Path) -> None:
        super().__init__(folder)
        self._run = run
        self._before = contents(run)
        self._targets = {kind: folder / "to" / f"run.{kind}" for kind in self.FORMATS}
        self._partial = ""
        self.measure()
        self._wanted = {kind: target.read_bytes() for kind, target in self._targets.items()}

    def begin(self) -> None:
        """Put older files into the place of the new ones."""
        shutil.rmtree(self.folder / "to", ignore_errors=True)
        (self.folder / "to").mkdir()
        self._partial = ""
        for target in self._targets.values():
            target.write_bytes(self.BEFORE)

    def work(self) -> int:
        """Export in all formats."""
        for kind, target in self._targets.items():
            words = ("--runs", str(self._run.parent), "export", self._run.name, "--format", kind, "-o", str(target))
            command(("runs", *words, "--force"))
        return 0

    def go_on(self, death: Death = ALIVE) -> bool:
        """Work as ever, and look at the files: each is the older one or the new one."""
        age(self.folder / "to")
        killed = super().go_on(death)
        for kind, target in self._targets.items():
            if killed and not self._partial and target.read_bytes() not in (self.BEFORE, self._wanted[kind]):
                self._partial = f"{target} is neither the older file nor the new one"
        return killed

    def place(self) -> str:
        """Return "exporting"."""
        return "exporting"

    def problem(self) -> str:
        """Compare the files; the run is as it was, and nothing is left beside them."""
        if self._partial:
            return self._partial
        for kind, target in self._targets.items():
            if target.read_bytes() != self._wanted[kind]:
                return f"{target} differs"
        if left := [path.name for path in (self.folder / "to").iterdir() if path not in self._targets.values()]:
            return f"left beside the exports: {left}"
        return "" if contents(self._run) == self._before else f"{self._run} has changed"


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, with what is in them."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

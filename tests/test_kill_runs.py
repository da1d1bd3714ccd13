"""The script that kills trainings, at small size; its two hundred kills are for a quiet machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "kill_runs.py"


def test_killed_and_resumed_runs_end_as_an_undisturbed_one() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "4", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"4 kills \(.*\) and 4 resumes of \d+ runs, .* no record lost, double or torn", done.stdout)

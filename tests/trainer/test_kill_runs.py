"""Trainings that are killed at named points, and the script that kills them at random ones, at small size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]


def run(*command: object) -> subprocess.CompletedProcess:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)


def test_killed_at_every_kind_of_point_a_run_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    done = run(TESTS / "support" / "kill_points.py", tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 11, done.stderr
    assert [line for line in lines if not line.endswith(": equal")] == []


@pytest.mark.slow
def test_killed_at_random_points_likewise(tmp_path: Path) -> None:
    script = TESTS.parent / "scripts" / "kill_runs.py"
    cases = "--cases=full,folder,queue,calibration,export"
    assert run(script, tmp_path, cases, "--kills", 5, "--limit", 2).returncode == 0
    done = run(script, tmp_path, cases, "--kills", 5)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^5 kills \(.*\) of \d+ runs: all equal the undisturbed one; ", done.stdout, re.MULTILINE)

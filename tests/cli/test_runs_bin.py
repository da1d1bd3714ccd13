"""`runs rm`, `runs bin` and `runs restore`: what they print, what they ask, and what is left on the disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.cli.runs import runs_app
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.runs import deleted_runs
from cnn_explorer.trainer.runs.reader import list_runs
from support.tui import FakeRun
from typer.testing import CliRunner, Result

FIRST, SECOND = "20261120-143022-lenet5-digits-7f3a", "20261120-153022-lenet5-digits-8c1d"


def call(runs: Path, *words: str, **options: Any) -> Result:
    return CliRunner().invoke(runs_app, [words[0], "--runs", str(runs), *words[1:]], **options)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in (FIRST, SECOND):
        FakeRun(tmp_path, name, "finished")
    return tmp_path


def test_a_removed_run_is_listed_in_the_bin_and_comes_back(runs: Path) -> None:
    removed = json.loads(call(runs, "rm", FIRST, "-y", "--json").stdout)
    assert removed["removed"] is True and removed["id"] == FIRST and removed["path"] == str(runs / FIRST)
    assert Path(removed["bin"]).is_dir() and not (runs / FIRST).exists()
    listed = json.loads(call(runs, "bin", "--json").stdout)
    [row] = listed["runs"]
    assert listed["days"] == 7 and Path(listed["folder"]) == runs / deleted_runs.BIN
    assert (row["id"], row["path"], row["state"]) == (FIRST, removed["bin"], "finished")
    assert row["until"] == removed["until"]
    assert datetime.fromisoformat(row["until"]) - datetime.fromisoformat(row["deleted"]) == timedelta(days=7)
    restored = json.loads(call(runs, "restore", FIRST, "--json").stdout)
    assert (restored["id"], restored["path"]) == (FIRST, str(runs / FIRST))
    assert {run.id for run in list_runs(runs)} == {FIRST, SECOND}
    assert json.loads(call(runs, "bin", "--json").stdout)["runs"] == []


def test_the_table_of_the_bin_has_the_day_on_which_a_run_goes(runs: Path) -> None:
    said = call(runs, "rm", FIRST, "-y").stderr
    day = f"{(datetime.now(UTC) + timedelta(days=7)).astimezone():%Y-%m-%d}"
    assert f"until {day} 'cnn-explorer runs restore {FIRST}'" in said
    head, *rows = call(runs, "bin").stdout.splitlines()
    assert head.split() == ["id", "result", "size", "removed", "kept", "until"]
    assert FIRST in rows[-1] and "lenet5 on digits, finished" in rows[-1] and f"{day} " in rows[-1]


def test_for_good_leaves_nothing(runs: Path) -> None:
    removed = json.loads(call(runs, "rm", FIRST, "-y", "--for-good", "--json").stdout)
    assert (removed["bin"], removed["until"]) == (None, None)
    assert [found.name for found in runs.iterdir()] == [SECOND]


def test_emptying_asks_and_needs_somebody_to_ask(runs: Path) -> None:
    call(runs, "rm", FIRST, "-y")
    assert isinstance(call(runs, "bin", "--empty").exception, UsageError)
    assert len(deleted_runs.in_bin(runs)) == 1
    emptied = call(runs, "bin", "--empty", "-y", "--json")
    assert json.loads(emptied.stdout)["runs"] == [] and "deleted 1 run for good" in emptied.stderr
    assert deleted_runs.in_bin(runs) == [] and [run.id for run in list_runs(runs)] == [SECOND]


def test_a_question_that_is_not_asked_cannot_be_answered(runs: Path) -> None:
    call(runs, "rm", FIRST, "-y")
    assert "--empty" in str(call(runs, "bin", "-y").exception)
    assert len(deleted_runs.in_bin(runs)) == 1


def test_a_file_that_exists_keeps_the_bin_from_being_emptied(runs: Path) -> None:
    call(runs, "rm", FIRST, "-y")
    (runs / "list.txt").write_text("x")
    refused = call(runs, "bin", "--empty", "-y", "-o", str(runs / "list.txt"))
    assert isinstance(refused.exception, UsageError) and len(deleted_runs.in_bin(runs)) == 1

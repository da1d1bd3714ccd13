"""Faulty networks of one's own, each told in one line with its file and line; odd ones that work; both show and train."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.faulty_networks import FAULTY, ODD, Faulty
from support.training import call

QUICK = ("--threads", "1", "--device", "cpu", "--no-calibrate", "--plan")
IMAGE = ("--input", "1x28x28")


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory for files of one's own, whose modules are forgotten afterwards."""
    work = home / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    path, known = list(sys.path), set(sys.modules)
    yield work
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(home)):
            del sys.modules[name]


def said_by(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, and the last line of stderr of a command; no traceback is in it."""
    capsys.readouterr()
    code = call(monkeypatch, *words)
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err and "Traceback" not in printed.out
    return code, printed.out, (printed.err.splitlines() or [""])[-1]


def check_line(line: str, faulty: Faulty, name: str, words: str) -> None:
    assert line.startswith("cnn-explorer: ") and words in line, line
    assert f"({name}.py, line {faulty.line})" in line, line
    assert not re.search(r"[;:.]$|\.;|;;", line), line


@pytest.mark.parametrize("name", [name for name, faulty in FAULTY.items() if not faulty.shows])
def test_show_tells_a_faulty_network_in_one_line(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = FAULTY[name]
    (folder / f"{name}.py").write_text(faulty.text)
    code, _, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", *IMAGE)
    assert code == 2
    check_line(line, faulty, name, faulty.show)


@pytest.mark.parametrize("name", FAULTY)
def test_train_tells_a_faulty_network_in_one_line_and_writes_nothing(
    name: str, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faulty = FAULTY[name]
    (folder / f"{name}.py").write_text(faulty.text)
    code, printed, line = said_by(monkeypatch, capsys, "train", f"{name}.py:Net", *QUICK)
    assert code == 2 and printed == ""
    check_line(line, faulty, name, faulty.train or faulty.show.replace("1x1x28x28", "2x1x28x28"))
    assert not (home / "runs").exists()


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_is_shown_and_planned(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{name}.py").write_text(ODD[name])
    code, printed, line = said_by(monkeypatch, capsys, "show", f"{name}.py:Net", "--layers", *IMAGE)
    assert (code == 0 and "conv" in printed) or name == "function", line
    code, printed, line = said_by(monkeypatch, capsys, "train", f"{name}.py:Net", *QUICK)
    assert code == 0 and "parameters) on digits" in printed, line

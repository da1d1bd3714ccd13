"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from support.training import Here

# On a busy machine an example may take seconds, which says nothing of the program.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Workers share the cores of a small machine, where more threads than cores wait for each other in busy loops. Set before
# torch is loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG_FILES = (
    "tests/trainer/test_ranks.py",
    "tests/trainer/test_kill_runs.py",
    "tests/tui/test_every_network.py",
    "tests/test_notebooks.py",
    "tests/test_package.py",
    "tests/test_api.py",
    "tests/cli/test_train.py",
)
"""Files with single tests of many seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, so that at the end no process works on one while the others have nothing left."""
    items.sort(key=lambda item: item.nodeid.partition("::")[0] not in LONG_FILES)


def pytest_collection_finish() -> None:
    """Look for no garbage among the modules that were loaded: each search takes a second, and pytest ends with five."""
    gc.freeze()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run a command in this process, where torch is loaded already; it returns exit code, stdout and stderr."""
    from support.training import call

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = call(monkeypatch, *words)
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, shown.out, shown.err)

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for everything that the program writes, with the networks of training_support in the catalogue.

    Subprocesses inherit it. Data sets are found where they were before; `digits` needs none.
    """
    from cnn_explorer.models.catalogue import registry
    from support.training import write_models

    write_models(tmp_path / "models")
    for key in ("runs", "cache", "state", "models"):
        monkeypatch.setenv(f"CNN_EXPLORER_{key.upper()}", str(tmp_path / key))
    monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(tmp_path / "config.toml"))
    registry.forget()
    yield tmp_path
    monkeypatch.undo()
    registry.forget()

"""The wheel: it installs and works outside the checkout, notes included, and brings nothing but cnn_explorer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cnn_explorer
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that no build folder appears in the checkout."""
    source = tmp_path_factory.mktemp("source") / "checkout"
    skip = shutil.ignore_patterns(".git", ".venv", "venv", "build", "*.egg-info", "__pycache__", "tests", ".*_cache")
    shutil.copytree(ROOT, source, ignore=skip)
    target = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(target),
        str(source),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_only_one_package_arrives(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"cnn_explorer", f"cnn_explorer-{cnn_explorer.__version__}.dist-info"}
    assert not any("/tests/" in name or "/scripts/" in name for name in names)


def test_every_source_file_and_note_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = [
        *ROOT.glob("*.py"),
        *(path for floor in ("models", "trainer", "tui") for path in (ROOT / floor).rglob("*")),
    ]
    sources += [*(ROOT / "docs" / "architectures").glob("*.md"), *(ROOT / "docs" / "concepts").glob("*.md")]
    wanted = {
        f"cnn_explorer/{path.relative_to(ROOT).as_posix()}"
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names, sorted(wanted - names)


def test_the_installed_wheel_works_elsewhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site), "CNN_EXPLORER_RUNS": str(tmp_path / "runs")}

    def command(*words: str) -> str:
        # -P keeps the current folder off sys.path; the path printed proves which copy ran.
        code = "import cnn_explorer, sys; print(cnn_explorer.__file__); from cnn_explorer.cli.main import main; main()"
        arguments = [sys.executable, "-P", "-c", code, *words]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        first, rest = done.stdout.split("\n", 1)
        assert Path(first).is_relative_to(site)
        return rest

    assert "resnet18" in command("list")
    trained = command("train", "lenet5", "--dataset", "digits", "--epochs", "1", "--threads", "1")
    assert "accuracy" in trained
    assert "lenet5" in command("runs")

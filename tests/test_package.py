"""The wheel: it installs and works outside the checkout, notes included, and brings nothing but cnn_explorer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import cnn_explorer
import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("cli", "models", "trainer", "tui")


def copy_of_the_sources(folder: Path) -> Path:
    """The checkout without what builds and tests leave in it, so that no build folder appears there."""
    skip = shutil.ignore_patterns(
        ".git", ".venv", "venv", "build", "dist", "site", "*.egg-info", "__pycache__", ".*_cache"
    )
    return shutil.copytree(ROOT, folder / "checkout", ignore=skip)


def built(source: Path, target: Path) -> Path:
    """A wheel of these sources, in the folder ``target``."""
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(target)]
    build = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_sources(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(sources, tmp_path_factory.mktemp("wheel"))


SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def test_the_sdist_builds_the_same_wheel(sources: Path, wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", SDIST, str(tmp_path)], cwd=sources, check=True, capture_output=True)
    sdist = next(tmp_path.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        assert not [name for name in archive.getnames() if "/tests/" in name]
        archive.extractall(tmp_path, filter="data")
    again = zipfile.ZipFile(built(tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "again"))
    first = zipfile.ZipFile(wheel)
    assert sorted(again.namelist()) == sorted(first.namelist())
    assert [name for name in first.namelist() if first.read(name) != again.read(name)] == []


def test_only_one_package_arrives(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"cnn_explorer", f"cnn_explorer-{cnn_explorer.__version__}.dist-info"}
    assert not any("/tests/" in name or "/scripts/" in name for name in names)


def test_every_source_file_and_note_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = [
        *ROOT.glob("*.py"),
        *(path for floor in FLOORS for path in (ROOT / floor).rglob("*")),
    ]
    sources += [*(ROOT / "docs" / "architectures").glob("*.md"), *(ROOT / "docs" / "concepts").glob("*.md")]
    sources.append(ROOT / "docs" / "glossary.md")
    wanted = {
        f"cnn_explorer/{path.relative_to(ROOT).as_posix()}"
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names, sorted(wanted - names)


IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)
"""


def test_every_module_can_be_imported_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """From a folder of its own, so that no module, and no file that one reads at its import, comes from the checkout."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    sources = [*ROOT.glob("*.py"), *(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))]
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in sources if path != ROOT / "__main__.py"]
    names = sorted(".".join(("cnn_explorer", *(part for part in path if part != "__init__"))) for path in parts)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT, *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = done.stdout.splitlines()
    assert len(files) == len(names) > 200
    assert [file for file in files if not Path(file).is_relative_to(site)] == []


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


USER_PROGRAM = """
import cnn_explorer as cx
from cnn_explorer import Anatomy, Network, Run, RunState, UsageError, anatomy, train
from torch import nn


class Net(nn.Module):
    pass


found: list[Network] = cx.networks(tag="residual")
table: Anatomy = anatomy(Net(), (3, 32, 32))
total: int = table.parameters + sum(row.macs for row in table.rows)
run: Run = train(Net(), dataset="digits", epochs=5, augment=["flip"], set={"gamma": 0.2}, channels_last=True)
state: RunState = run.wait(timeout=60).state
values: list[float] = run.curve("accuracy", split="validation").values
model: nn.Module = cx.load(run, "last")
best = run.best()
if best is not None:
    print(best.accuracy, cx.run("last").id, [other.state for other in cx.runs()], cx.create("resnet18", stem="small"))
try:
    cx.train(Net, name="mine")
except UsageError as error:
    print(error.hint)
"""
WRONG_PROGRAM = """
import cnn_explorer as cx
cx.train("lenet5", epoch=5)
cx.create("resnet18", stem="tiny")
cx.platformdirs
"""


@pytest.mark.slow
def test_a_strict_type_checker_knows_the_names_of_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyright", reason="pyright is not installed (extra dev)")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    assert (site / "cnn_explorer" / "py.typed").exists()
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "include": ["right.py", "wrong.py"]}')
    (tmp_path / "right.py").write_text(USER_PROGRAM)
    (tmp_path / "wrong.py").write_text(WRONG_PROGRAM)
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        str(tmp_path / "venv" / "bin" / "python"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    complaints = [(Path(one["file"]).name, one["range"]["start"]["line"], one["message"]) for one in found]
    assert not [one for one in complaints if one[0] == "right.py"]
    assert {line for name, line, _ in complaints if name == "wrong.py"} == {2, 3, 4}

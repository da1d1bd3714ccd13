"""What is loaded when: the floors of the house, and no torch where a person waits for text."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("models", "trainer", "tui")
HEAVY = ("torch", "torchvision", "torchinfo", "einops")

RUN_COMMAND = """
import json, sys
sys.argv = ["cnn-explorer", *{words!r}]
from cnn_explorer.cli.main import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(code: str, environment: dict[str, str] | None = None) -> set[str]:
    """Names in sys.modules of a fresh interpreter at its end (the last line that the code writes to stderr)."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["runs"], ["train", "--help"], ["bench", "--help"], ["runs", "--help"], ["--version"]],
)
def test_no_torch_and_no_textual_for_text(words: list[str]) -> None:
    loaded = modules_after(RUN_COMMAND.format(words=words))
    assert not loaded & {*HEAVY, "textual"}


@pytest.mark.parametrize("floor", ["models", "trainer"])
def test_lower_floors_never_load_textual(floor: str) -> None:
    names = [
        f"cnn_explorer.{floor}.{path.stem}" for path in sorted((ROOT / floor).glob("*.py")) if path.stem != "__init__"
    ]
    code = f"import importlib, json, sys\nfor name in {names!r}: importlib.import_module(name)\n"
    loaded = modules_after(code + "print(json.dumps(sorted(sys.modules)), file=sys.stderr)")
    assert "textual" not in loaded
    assert not {name for name in loaded if name.startswith("cnn_explorer.tui")}


def imported_floors(path: Path) -> set[str]:
    """Floors that a file imports from, by its relative imports anywhere in it."""
    found = set()
    depth = len(path.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
    return found & {*FLOORS, "cli", "cli_train", "cli_runs", "cli_models"}


def test_imports_between_floors_point_downwards() -> None:
    for index, floor in enumerate(FLOORS):
        for path in sorted((ROOT / floor).rglob("*.py")):
            above = imported_floors(path) - set(FLOORS[: index + 1])
            assert not above, f"{path.relative_to(ROOT)} reaches up into {above}"


def test_the_check_of_floors_sees_an_import(tmp_path: Path) -> None:
    assert "models" in imported_floors(ROOT / "cli/list.py")


def imported_folders(path: Path) -> set[str]:
    """Folders of tui/ that a file in one of them imports from, anywhere in it."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "").split(".")[0] for node in nodes if node.level == 2}


def test_no_widget_imports_a_screen_not_even_late() -> None:
    """A widget that needs a dialog asks the app for it by a message."""
    for path in sorted((ROOT / "tui/widgets").rglob("*.py")):
        assert "screens" not in imported_folders(path), path
    assert "widgets" in imported_folders(ROOT / "tui/screens/runs.py")

"""What the documentation of 0.1.0 told people to import is still there, in whatever order things are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("cnn_explorer.models.declare", "cnn_explorer.models.catalogue.declaration", "Declaration"),
        ("cnn_explorer.trainer.weightfiles", "cnn_explorer.trainer.weights.weight_files", "load_network"),
    ],
)
@pytest.mark.parametrize("new_first", [True, False])
def test_the_old_name_gives_the_same_thing(old: str, new: str, name: str, new_first: bool, tmp_path: Path) -> None:
    lines = [f"from {old} import {name} as old", f"from {new} import {name} as new"]
    code = "\n".join(reversed(lines) if new_first else lines)
    assert run(f"{code}\nprint(old is new)", tmp_path).strip() == "True"


def test_a_name_that_was_never_there_is_an_import_error(tmp_path: Path) -> None:
    code = "try:\n    from cnn_explorer.models.declare import Nothing\nexcept ImportError as error: print(error)"
    assert "Nothing" in run(code, tmp_path)


def test_the_old_name_costs_no_torch(tmp_path: Path) -> None:
    code = "from cnn_explorer.models.declare import Stage; import sys; print('torch' in sys.modules)"
    assert run(code, tmp_path).strip() == "False"

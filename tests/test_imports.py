"""What is loaded when: the contracts of the house hold and can fail, and no torch where a person waits for text."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "torchvision", "torchinfo", "einops"}
PACKAGES = (
    "api.py",
    "cli",
    "errors.py",
    "machine.py",
    "models",
    "settings.py",
    "trainer",
    "tui",
    "__init__.py",
    "__main__.py",
)

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
IMPORT_ALL = """
import importlib, json, sys
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules_after(code: str) -> set[str]:
    """Names in sys.modules of a fresh interpreter at its end (the last line that the code writes to stderr)."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def modules_of(folder: str) -> list[str]:
    """The full names of all modules below a folder."""
    names = [path.relative_to(ROOT).with_suffix("").parts for path in sorted((ROOT / folder).rglob("*.py"))]
    return [".".join(("cnn_explorer", *(part for part in parts if part != "__init__"))) for parts in names]


@pytest.mark.parametrize(
    "words",
    [["--help"], ["list"], ["runs"], ["train", "--help"], ["bench", "--help"], ["runs", "--help"], ["--version"]],
)
def test_no_torch_and_no_textual_for_text(words: list[str]) -> None:
    loaded = modules_after(RUN_COMMAND.format(words=words))
    assert not loaded & {*HEAVY, "textual"}


def test_list_imports_no_other_command() -> None:
    loaded = modules_after(RUN_COMMAND.format(words=["list"]))
    own = {name.removeprefix("cnn_explorer.cli.") for name in loaded if name.startswith("cnn_explorer.cli.")}
    assert "list" in own and not own & {"show", "bench", "runs", "train_command", "train_options"}
    assert not loaded & {"rich.console", "numpy", "cnn_explorer.trainer.common.text_safe"}


def test_the_app_begins_without_what_reads_and_draws_runs() -> None:
    loaded = modules_after(IMPORT_ALL.format(names=["cnn_explorer.tui.app"]))
    assert "cnn_explorer.tui.screens.catalogue" in loaded
    readers = {f"cnn_explorer.tui.charts.{name}" for name in ("followers", "reader", "chart", "history")}
    assert not loaded & {*readers, "cnn_explorer.trainer.analysis.curve_summary", "numpy", "plotext"}


@pytest.mark.parametrize("floor", ["models", "trainer"])
def test_lower_floors_never_load_textual(floor: str) -> None:
    loaded = modules_after(IMPORT_ALL.format(names=modules_of(floor)))
    assert "textual" not in loaded
    assert not {name for name in loaded if name.startswith("cnn_explorer.tui")}


@pytest.mark.parametrize(
    "folder",
    [
        "cli",
        "models/catalogue",
        *(f"trainer/{name}" for name in ("analysis", "common", "config", "devices", "export", "launch", "runs")),
        "tui",
    ],
)
def test_importing_a_folder_without_torch_loads_none(folder: str) -> None:
    names = modules_of(folder)
    assert len(names) > 1
    assert not modules_after(IMPORT_ALL.format(names=names)) & HEAVY


def contracts(copy: Path) -> str:
    """What import-linter says of a copy of the package, which stands in the folder of its name."""
    pytest.importorskip("importlinter", reason="import-linter is not installed: pip install -e '.[dev]'")
    environment = os.environ | {"PYTHONPATH": str(copy.parent), "COLUMNS": "200"}
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert ("0 broken" in done.stdout) == (done.returncode == 0), done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the package, to plant imports in."""
    copy = tmp_path / "cnn_explorer"
    copy.mkdir()
    for name in PACKAGES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, copy / name)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


# A module of each folder, and an import that its rule forbids: upwards, or of a library that the folder does without.
PLANTED = {
    "models/lenet.py": "from .anatomy.rows import trace",
    "models/catalogue/notes.py": "from ..anatomy import counting",
    "models/own/own_files.py": "from ..anatomy.rows import trace",
    "models/anatomy/counting.py": "from .rows import trace",
    "models/anatomy/meta/macs.py": "from .. import counting",
    "models/anatomy/forward/outputs.py": "from ..rows import operations",
    "models/anatomy/axes/layout.py": "from ..fields import lines",
    "models/anatomy/fields/lines.py": "from ....trainer.config import recipe",
    "models/anatomy/rows/trace.py": "from ..outside import failure",
    "models/anatomy/words/walk.py": "from ..outside import external",
    "models/anatomy/outside/traced.py": "from ..totals import memory",
    "models/anatomy/totals/compare.py": "from .. import server",
    "models/anatomy/saved_weights/weight_fit.py": "from ..totals import compare",
    "models/anatomy/values/windows.py": "from ..words import walk",
    "trainer/common/files.py": "from ..runs import run",
    "trainer/runs/run.py": "from ..data import split",
    "trainer/data/split.py": "from ..config import recipe",
    "trainer/config/presets.py": "from ..devices import gpus",
    "trainer/devices/gpus.py": "from ..batches import augment",
    "trainer/analysis/curve_findings.py": "import torch",
    "trainer/export/records.py": "from ..optim import build",
    "trainer/batches/augment.py": "from ..weights import checkpoint",
    "trainer/optim/lamb.py": "from ..loop import evaluate",
    "trainer/weights/checkpoint.py": "from ..planning import trial",
    "trainer/loop/evaluate.py": "from ..launch import spawn",
    "trainer/launch/queue.py": "from ..planning import planner",
    "trainer/planning/trial.py": "from ..bench import results",
    "trainer/planning/images.py": "from ..config import request",
    "trainer/bench/results.py": "from ...tui.core import themes",
    "tui/charts/ticks.py": "from textual.widget import Widget",
    "tui/worker/requests.py": "import torch",
    "tui/networks/quiz.py": "from ..runs import watcher",
    "tui/runs/classes.py": "from ..launch import values",
    "tui/launch/values.py": "from ..core import messages",
    "tui/core/themes.py": "from ..widgets import repaint",
    "tui/widgets/repaint.py": "from ..screens import base",
    "tui/screens/base.py": "from ...cli import narrate",
    "settings.py": "from .models import catalogue",
}


def test_every_folder_has_a_planted_import() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for top in ("models", "trainer", "tui")
        for path in (ROOT / top).rglob("*.py")
    }
    assert folders - {Path(name).parent.as_posix() for name in PLANTED} <= {"trainer", "tui"}


def test_the_contracts_hold_and_a_forbidden_import_in_any_folder_breaks_them(house: Path) -> None:
    kept = contracts(house)
    assert " 0 broken" in kept
    for name, line in PLANTED.items():
        path = house / name
        code, mark = path.read_text(encoding="utf-8"), "from __future__ import annotations\n"
        assert mark in code
        path.write_text(code.replace(mark, f"{mark}\n{line}\n", 1), encoding="utf-8")
    told = contracts(house).replace("\n", " ")
    for name in PLANTED:
        module = "cnn_explorer." + name.removesuffix(".py").replace("/", ".")
        assert f"{module} ->" in told, f"{PLANTED[name]!r} in {name} was not seen"


def test_an_unknown_file_or_folder_breaks_the_contracts(house: Path) -> None:
    for name in ("loose.py", "trainer/more/__init__.py", "tui/more/__init__.py", "models/anatomy/more.py"):
        (house / name).parent.mkdir(exist_ok=True)
        (house / name).write_text('"""Nothing."""\n')
    told = contracts(house)
    assert " 4 broken" in told and "loose" in told and "more" in told


def test_few_modules_lie_flat() -> None:
    tops = ("trainer", "tui", "models/anatomy")
    flat = {top: {path.stem for path in (ROOT / top).glob("*.py")} - {"__init__"} for top in tops}
    assert all(len(names) <= 3 for names in flat.values()), flat
    allowed = {"__init__", "__main__", "settings", "errors", "machine", "api"}
    assert {path.stem for path in ROOT.glob("*.py")} <= allowed
    from cnn_explorer.models.catalogue import registry

    architectures = {family.name for family in registry.families()}
    assert {path.stem for path in (ROOT / "models").glob("*.py")} == {"__init__", "layers", *architectures}


def test_a_request_is_opened_in_one_place() -> None:
    """What a request passes through on its way to run.json: those who make one, and few who take it apart."""
    seen = set()
    for top in ("cli", "models", "trainer", "tui"):
        for path in (ROOT / top).rglob("*.py"):
            names = {node.id for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Name)}
            if names & {"TrainRequest", "Asked"}:
                seen.add(path.relative_to(ROOT).as_posix())
    makers = {"cli/train_options.py", "trainer/config/config_file.py", "trainer/bench/run.py", "tui/launch/form.py"}
    passing_on = {"cli/train.py", "cli/train_devices.py"}
    taking_apart = {"trainer/config/request.py", "trainer/planning/asked.py", "trainer/planning/planner.py"}
    assert seen == makers | passing_on | taking_apart


def test_every_folder_is_a_package() -> None:
    """import-linter sees nothing of a folder without ``__init__.py``, so no contract would hold there."""
    folders = {path.parent for top in ("cli", "models", "trainer", "tui") for path in (ROOT / top).rglob("*.py")}
    assert len(folders) > 20
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_folder_says_what_lives_in_it() -> None:
    for top in ("cli", "models", "trainer", "tui"):
        for path in (ROOT / top).rglob("__init__.py"):
            text = path.read_text(encoding="utf-8")
            assert text.startswith('"""') and len(text.split()) > 15, path
            assert "torch" in text, f"{path} does not say whether it may load torch"


def test_the_contracts_see_every_folder() -> None:
    for top in ("cli", "models", "trainer", "tui"):
        blind = {path.parent for path in (ROOT / top).rglob("*.py") if not (path.parent / "__init__.py").is_file()}
        assert blind == set(), "import-linter and the wheel pass over a folder without __init__.py"

"""The script that counts the import graph, on a floor of four modules; and the figures that the design page quotes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "import_graph.py"
FILES = {
    "__init__.py": "",
    "top.py": "from .upper import use\nfrom .lower import tool\n",
    "upper/__init__.py": "",
    "upper/use.py": "def late():\n    from ..lower.tool import hammer\nfrom typing import TYPE_CHECKING\n"
    "if TYPE_CHECKING:\n    from .. import top\n",
    "lower/__init__.py": "",
    "lower/tool.py": "import json\nfrom . import nail\nhammer = 1\n",
    "lower/nail.py": "",
}


def report(*arguments: str) -> list[str]:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_late_imports_count_and_imports_for_types_do_not(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / "cli" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert report("--root", str(tmp_path), "cli") == [
        "cli: 4 modules, 4 arrows between modules; 3 folders and flat modules, 3 arrows between them, 3 floors",
        "   3  top.py 1",
        "   2  upper 1",
        "   1  lower 2",
    ]


def test_a_circle_is_one_floor(tmp_path: Path) -> None:
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "a.py").write_text("from . import b\n")
    (tmp_path / "cli" / "b.py").write_text("def late():\n    from . import a\n")
    lines = report("--root", str(tmp_path), "cli")
    assert lines[0].endswith("2 folders and flat modules, 2 arrows between them, 1 floors")


HEADER = " modules, "


def test_the_design_page_quotes_the_present_floors() -> None:
    """Names and order of the folders; counts of modules may be those of the day when the page was written."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    names = [
        " ".join(part.split()[0] for part in line[4:].split(", "))
        for line in report("trainer", "tui")
        if HEADER not in line
    ]
    quoted = page[page.index("```\ntrainer: ") :].splitlines()[1:]
    quoted = [line for line in quoted[: quoted.index("```")] if HEADER not in line]
    assert [" ".join(part.split()[0] for part in line[4:].split(", ")) for line in quoted] == names

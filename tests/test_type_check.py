"""What the type checker needs: a folder named like the package, with a link to everything that is in it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINKS = ROOT / ".pyright" / "cnn_explorer"


def test_every_module_and_folder_of_the_package_is_linked_for_pyright() -> None:
    inside = {path.name for path in ROOT.glob("*.py")} | {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {link.name: link.resolve() for link in LINKS.iterdir()} == {name: ROOT / name for name in inside}

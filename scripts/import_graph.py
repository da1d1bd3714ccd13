"""Print the import graph of each floor: modules a folder, arrows between folders, and on which floor each folder stands.

Usage: python scripts/import_graph.py [FLOOR ...]     (models, trainer, tui, cli; without a name, all of them)
       python scripts/import_graph.py --root FOLDER ...  (another checkout)

Imports are read from the sources with ``ast``, those inside functions too; imports for types alone do not count. An arrow
is a pair of folders, however many modules import. A folder stands one floor above the highest folder that it imports.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("models", "trainer", "tui", "cli")
Graph = Mapping[str, Set[str]]


def modules(root: Path, floor: str) -> dict[str, Path]:
    """Find the modules of a floor by dotted name; a package is named like its folder."""
    found = {}
    for path in sorted((root / floor).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def for_types(node: ast.AST) -> bool:
    """Tell whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """Yield the relative imports below a node, except those for types alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom) and child.level:
            yield child
        elif not for_types(child):
            yield from statements(child)


def imported(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """Find the modules of the same floor that a module imports."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        start = ".".join(part for part in base if part)
        for alias in node.names:
            found.add(f"{start}.{alias.name}" if f"{start}.{alias.name}" in known else start)
    return {target for target in found if target in known and target != name}


def folder(name: str, known: Mapping[str, Path]) -> str:
    """Name the folder in which a module lies, below its floor; a module that lies flat is a folder of its own."""
    parts = name.split(".")
    if len(parts) > 2 or (name in known and known[name].name == "__init__.py" and len(parts) == 2):
        return parts[1]
    return f"{parts[-1]}.py" if len(parts) == 2 else "__init__.py"


def arrows(graph: Graph) -> int:
    """Count the arrows."""
    return sum(len(targets) for targets in graph.values())


def heights(graph: Graph) -> dict[str, int]:
    """Return the number the floors from 1 upwards; folders that import each other in a circle share a floor."""
    height = dict.fromkeys(graph, 1)
    for _ in graph:
        for name, targets in graph.items():
            above = [height[target] + 1 for target in targets if not reaches(graph, target, name)]
            height[name] = max([height[name], *above])
    return height


def reaches(graph: Graph, start: str, goal: str) -> bool:
    """Tell whether one can follow arrows from ``start`` to ``goal``."""
    seen, waiting = {start}, [start]
    while waiting:
        for target in graph[waiting.pop()] - seen:
            seen.add(target)
            waiting.append(target)
    return goal in seen


def report(root: Path, floor: str) -> str:
    """Write the lines about one floor."""
    known = modules(root, floor)
    between = {name: imported(name, path, known) for name, path in known.items()}
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for name, targets in between.items():
        here = folder(name, known)
        graph[here] |= {there for target in targets if (there := folder(target, known)) != here}
    sizes = Counter(folder(name, known) for name, path in known.items() if path.name != "__init__.py")
    height = heights({name: graph[name] & set(sizes) for name in sizes})
    lines = [
        f"{floor}: {sum(sizes.values())} modules, {arrows(between)} arrows between modules; "
        f"{len(sizes)} folders and flat modules, {arrows(graph)} arrows between them, {max(height.values())} floors"
    ]
    for level in sorted(set(height.values()), reverse=True):
        names = sorted(name for name in sizes if height[name] == level)
        lines.append(f"  {level:>2}  " + ", ".join(f"{name} {sizes[name]}" for name in names))
    return "\n".join(lines)


def main(names: list[str]) -> None:
    """Report on the floors that are named."""
    root = ROOT
    if names[:1] == ["--root"]:
        root, names = Path(names[1]), names[2:]
    for name in names or FLOORS:
        print(report(root, name))


if __name__ == "__main__":
    main(sys.argv[1:])

"""Probes that tell which tests execute a statement: how `mutants.py` finds the tests that may notice a mutant.

A probe stands before the statement that a mutation changes and notes the test that is under way. pytest names it in the
environment, which subprocesses inherit, so their share is noted too. What is executed while a test file is imported has
no test: it belongs to the whole file, which is why each file is run in a process of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from mutations import Mutation, SourceText

MODULE = "mutant_probe_notes"
"""Name of the module that the probes import; it lies beside the package, and the notes lie beside it."""

# The means of the file system are taken before a test replaces them.
CODE = f"""
import os

_open, _write, _close = os.open, os.write, os.close
_notes = os.path.join(os.path.dirname(os.path.abspath(__file__)), {MODULE + ".txt"!r})
_noted = set()


def note(number):
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    if (number, test) not in _noted:
        _noted.add((number, test))
        file = _open(_notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        _write(file, f"{{number}} {{test}}\\n".encode())
        _close(file)
"""


def with_probes(text: str, numbered: Mapping[int, Mutation]) -> str:
    """The source with a probe, which gives the number, before each statement that a mutation changes.

    A default of a function matters when the function is called, so its probe stands at the beginning of the body.
    """
    source = SourceText(text)
    wanted: dict[int, list[int]] = {}
    for number, mutation in numbered.items():
        wanted.setdefault(id(_statement(source, mutation)), []).append(number)
    for node in list(ast.walk(source.tree)):
        for _, body in _bodies(node):
            for statement in list(body):
                numbers = wanted.get(id(statement), [])
                inside = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
                place = statement.body if inside else body
                at = int(ast.get_docstring(statement) is not None) if inside else body.index(statement)
                place[at:at] = map(_probe, numbers)
    return ast.unparse(ast.fix_missing_locations(source.tree))


def _statement(source: SourceText, mutation: Mutation) -> ast.stmt:
    """The innermost statement around a mutation; for a default, its function."""
    around = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.stmt):
            start, stop = source.place(node)
            if start <= mutation.start and mutation.stop <= stop:
                around.append((stop - start, node))
    return min(around, key=lambda found: found[0])[1]


def _bodies(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield name, value


def _probe(number: int) -> ast.stmt:
    return ast.parse(f"__import__({MODULE!r}).note({number})").body[0]


def install(folder: Path) -> None:
    """Put the module that the probes import into the folder beside the package."""
    (folder / f"{MODULE}.py").write_text(CODE)


def take_notes(folder: Path) -> dict[int, list[str]]:
    """The tests noted since the last call, by the number of the probe; "" stands for the import of the test file."""
    path = folder / f"{MODULE}.txt"
    found: dict[int, list[str]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        number, _, test = line.partition(" ")
        if test not in found.setdefault(int(number), []):
            found[int(number)].append(test)
    path.unlink(missing_ok=True)
    return found

"""A model file as coloured lines, and where its classes stand. Pygments is loaded when the first file is shown."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...errors import WorkError
from ...trainer.common.text_safe import clean
from .markdown import TextLine, TextSpan

KINDS = {
    "Keyword": "keyword",
    "String": "string",
    "Comment": "comment",
    "Number": "number",
    "Function": "name",
    "Class": "name",
    "Decorator": "name",
}
LARGEST = 1 << 20


@dataclass(frozen=True)
class SourceFile:
    """A file: its lines, and the first line (from 0) of each class, function and variant at its top level."""

    path: Path
    lines: tuple[TextLine, ...]
    definitions: dict[str, int]
    imported: dict[str, str]
    """Names that come from a sibling module, and that module's name."""

    def line_of(self, name: str) -> int | None:
        """Return where a class or function is defined; None where it is not in this file."""
        return self.definitions.get(name)

    def definition_at(self, line: int) -> str:
        """Return the class or function in which a line stands; "" before the first."""
        above = [(start, name) for name, start in self.definitions.items() if start <= line]
        return max(above)[1] if above else ""


@lru_cache(maxsize=16)
def read(path: Path) -> SourceFile:
    """Read a Python file. WorkError where it cannot be read; a file that is no Python is shown without colours."""
    try:
        if path.stat().st_size > LARGEST:
            raise WorkError(f"{path} is too long to be shown")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise WorkError(f"{path} cannot be read: {error.strerror}") from None
    definitions, imported = _outline(text)
    return SourceFile(path, tuple(_coloured(text)), definitions, imported)


def find(path: Path, name: str) -> tuple[SourceFile, int | None]:
    """Return the file in which class ``name``, used in ``path``, is defined, and its line; siblings are followed."""
    source = read(path)
    seen = {path}
    while source.line_of(name) is None and name in source.imported:
        sibling = path.with_name(f"{source.imported[name]}.py")
        if sibling in seen or not sibling.exists():
            break
        seen.add(sibling)
        source = read(sibling)
    found = source.line_of(name)
    return (source, found) if found is not None else (read(path), None)


def line_with(source: SourceFile, start: int, words: str) -> int:
    """Return the first line with ``words``, not as a part of a longer name, in the class that begins at ``start``; or
    ``start``.
    """
    end = min((line for line in source.definitions.values() if line > start), default=len(source.lines))
    pattern = re.compile(re.escape(words) + r"\b")
    for place in range(start, end):
        if pattern.search("".join(span.text for span in source.lines[place])):
            return place
    return start


def _outline(text: str) -> tuple[dict[str, int], dict[str, str]]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return {}, {}
    definitions: dict[str, int] = {}
    imported: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            definitions[node.name] = first - 1
        elif isinstance(node, ast.Assign) and _is_variant(node):
            definitions |= {target.id: node.lineno - 1 for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            imported |= {alias.asname or alias.name: node.module for alias in node.names}
    return definitions, imported


def _is_variant(node: ast.Assign) -> bool:
    """Return whether a line is the row of a variant: ``resnet18 = variant("resnet18", …)``."""
    called = node.value.func if isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == "variant"


def _coloured(text: str) -> list[TextLine]:
    from pygments.lexers.python import PythonLexer

    lines: list[list[TextSpan]] = [[]]
    for token, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(text):
        kind = next((KINDS[part] for part in reversed(tuple(token)) if part in KINDS), "plain")
        for number, piece in enumerate(value.split("\n")):
            if number:
                lines.append([])
            if piece:
                lines[-1].append(TextSpan(clean(piece.expandtabs(4)), kind))
    return [tuple(line) for line in lines]

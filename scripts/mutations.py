"""Small changes of a program's meaning, found in its syntax tree: what `mutants.py` draws from.

Each change replaces one stretch of the source, so that all other lines stay as they are. Left alone is what changes
nothing when the program runs (annotations, docstrings), decorators, and what stands inside f-strings, whose places
Python 3.11 does not tell.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
}


@dataclass(frozen=True)
class Mutation:
    """The bytes from ``start`` to ``stop`` of the source become ``text``; ``line`` is counted from 1."""

    kind: str
    line: int
    start: int
    stop: int
    text: str

    def apply(self, source: str) -> str:
        """Return the source with the change in it."""
        data = source.encode()
        return (data[: self.start] + self.text.encode() + data[self.stop :]).decode()


class SourceText:
    """A program's text, and where its nodes lie in it."""

    def __init__(self, text: str) -> None:
        self.data = text.encode()
        self.tree = ast.parse(text)
        self._lines = [0]
        for line in self.data.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def place(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Return the first byte of a node and the byte behind it."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._lines[node.lineno - 1] + node.col_offset, self._lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return the source of a node."""
        start, stop = self.place(node)
        return self.data[start:stop].decode()

    def replaced(self, kind: str, node: ast.expr | ast.stmt, text: str) -> Mutation:
        """Return a mutation that puts ``text`` in the place of a node."""
        return Mutation(kind, node.lineno, *self.place(node), text)

    def between(self, kind: str, left: ast.expr, right: ast.expr, before: str, after: str) -> Iterator[Mutation]:
        """Yield a mutation of the operator that stands between two nodes."""
        start, stop = self.place(left)[1], self.place(right)[0]
        gap = self.data[start:stop].decode()
        pattern = rf"\b{before}\b".replace(" ", r"\s+") if before[0].isalpha() else re.escape(before)
        changed, count = re.subn(pattern, after, gap)
        if count == 1:
            yield Mutation(kind, left.end_lineno or left.lineno, start, stop, changed)


def mutations(text: str) -> list[Mutation]:
    """Return all mutations of a source, in its order. A few may be no program, or the same one: see `differs`."""
    source = SourceText(text)
    found = [m for node in _nodes(source.tree) for of_kind in KINDS.values() for m in of_kind(source, node)]
    closer = {(m.start, m.stop) for m in found if m.kind in ("default", "slice")}
    found = [m for m in found if m.kind != "constant" or (m.start, m.stop) not in closer]
    return sorted(set(found), key=lambda m: (m.start, m.stop, m.kind, m.text))


def differs(mutation: Mutation, text: str) -> bool:
    """Return whether the mutation of a source compiles, and to another program."""
    try:
        changed = ast.parse(mutation.apply(text))
        compile(changed, "mutant", "exec")
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(text))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those whose change has no effect, or whose place is not known."""
    yield tree
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr) and not typing_only:
                yield from _nodes(child)


def _comparison(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, sides[1:], strict=False):
            yield from source.between("comparison", left, right, *COMPARISONS[type(operator)])


def _arithmetic(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield from source.between("arithmetic", node.left, node.right, *ARITHMETIC[type(node.op)])
    if isinstance(node, ast.AugAssign) and type(node.op) in ARITHMETIC:
        before, after = ARITHMETIC[type(node.op)]
        yield from source.between("arithmetic", node.target, node.value, f"{before}=", f"{after}=")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield source.replaced("arithmetic", node, f"({source.text(node.operand)})")


def _boolean(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.BoolOp):
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from source.between("boolean", left, right, *words)


def _negated(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp | ast.Assert) else []
    for test in tests + (node.ifs if isinstance(node, ast.comprehension) else []):
        yield source.replaced("negated condition", test, f"not ({source.text(test)})")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield source.replaced("negated condition", node, f"({source.text(node.operand)})")


def _other_value(node: ast.expr) -> str | None:
    """Return another constant: the next number, twice a fraction, the other truth value; None where there is none."""
    if not isinstance(node, ast.Constant):
        return None
    value = node.value
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int):
        return str(value + 1)
    if isinstance(value, float):
        return repr(2 * value if value else 1.0)
    return None


def _constant(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Constant) and (text := _other_value(node)):
        yield source.replaced("constant", node, text)


def _default(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    values: list[ast.expr | None] = []
    if isinstance(node, ast.arguments):
        values = [*node.defaults, *node.kw_defaults]
    if isinstance(node, ast.ClassDef):
        values = [item.value for item in node.body if isinstance(item, ast.AnnAssign)]
    for value in values:
        if value is not None and (text := _other_value(value)):
            yield source.replaced("default", value, text)


def _slice(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if not isinstance(node, ast.Subscript):
        return
    for part in node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]:
        bounds = [part.lower, part.upper] if isinstance(part, ast.Slice) else [part]
        for bound in bounds:
            numeric = isinstance(part, ast.Slice) or isinstance(bound, ast.UnaryOp) or _is_number(bound)
            if bound is not None and numeric:
                yield source.replaced("slice", bound, f"({source.text(bound)}) + 1")


def _is_number(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _removed(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    kept = isinstance(node, ast.Assign) and all(isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets)
    if called or kept or isinstance(node, ast.AugAssign | ast.Raise | ast.Delete | ast.Continue | ast.Break):
        assert isinstance(node, ast.stmt)
        yield source.replaced("removed statement", node, "pass")


def _swapped(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Call) and not any(isinstance(given, ast.Starred) for given in node.args):
        for first, second in zip(node.args, node.args[1:], strict=False):
            (start, stop), (begin, end) = source.place(first), source.place(second)
            gap = source.data[stop:begin].decode()
            yield Mutation(
                "swapped arguments", first.lineno, start, end, source.text(second) + gap + source.text(first)
            )


def _return(source: SourceText, node: ast.AST) -> Iterator[Mutation]:
    if isinstance(node, ast.Return) and node.value is not None:
        yield source.replaced("return value", node, "return None")


KINDS: dict[str, Callable[[SourceText, ast.AST], Iterator[Mutation]]] = {
    "comparison": _comparison,
    "arithmetic": _arithmetic,
    "boolean": _boolean,
    "negated condition": _negated,
    "constant": _constant,
    "default": _default,
    "slice": _slice,
    "removed statement": _removed,
    "swapped arguments": _swapped,
    "return value": _return,
}

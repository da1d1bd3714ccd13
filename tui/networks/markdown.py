"""Markdown as lines of styled text for a given width. No Textual: text in, plain data out, quick enough to do while moving.

Textual's own Markdown widget makes a widget of each paragraph, which takes two tenths of a second for a long note; the list
beside it would stutter. Parsed and laid out like this, the longest note takes about twenty milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ...trainer.common.text_safe import clean, width

INDENT = 2
NARROWEST_CELL = 10
"""A table is not squeezed further; it is then wider than the text, and one scrolls to the right."""


@dataclass(frozen=True)
class TextSpan:
    """A piece of a line. ``kind`` names its style; ``link`` is the number of the link it belongs to, or None."""

    text: str
    kind: str = "plain"
    link: int | None = None


TextLine = tuple[TextSpan, ...]


@dataclass(frozen=True)
class Link:
    """Where a link leads and the first line on which it stands."""

    target: str
    text: str
    line: int


@dataclass(frozen=True)
class Heading:
    """A heading and its line."""

    text: str
    level: int
    line: int


@dataclass(frozen=True)
class Drawing:
    """The lines from ``first`` up to, and without, ``end`` belong together and are not folded: a diagram or a table."""

    first: int
    end: int
    wide: int


@dataclass(frozen=True)
class Document:
    """A text laid out; ``wide`` is the number of cells of its longest line (diagrams are not folded)."""

    lines: tuple[TextLine, ...]
    links: tuple[Link, ...]
    headings: tuple[Heading, ...]
    wide: int
    drawings: tuple[Drawing, ...] = ()


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


@lru_cache(maxsize=32)
def layout(source: str, columns: int) -> Document:
    """Format Markdown in lines of at most ``columns`` cells; code and diagrams keep their own width."""
    maker = _Maker(max(columns, 10))
    maker.blocks(_parser().parse(source), maker.columns)
    lines = maker.lines
    while lines and not lines[-1]:
        lines.pop()
    sizes = [sum(width(span.text) for span in line) for line in lines]
    drawings = tuple(Drawing(first, end, max(sizes[first:end], default=0)) for first, end in maker.drawings)
    return Document(tuple(lines), maker.links, tuple(maker.headings), max(sizes, default=0), drawings)


@dataclass(frozen=True)
class _Run:
    text: str
    kind: str
    link: int | None


class _Maker:
    """Goes through the tokens of a text and collects lines."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[TextLine] = []
        self.headings: list[Heading] = []
        self.drawings: list[tuple[int, int]] = []
        self._targets: list[tuple[str, str]] = []
        self._link_lines: dict[int, int] = {}

    @property
    def links(self) -> tuple[Link, ...]:
        """The links by their numbers."""
        return tuple(Link(*target, self._link_lines.get(number, 0)) for number, target in enumerate(self._targets))

    def blocks(self, tokens: Sequence[Token], columns: int, prefix: TextLine = ()) -> None:
        """Format a sequence of block tokens, each line after ``prefix``."""
        place = 0
        while place < len(tokens):
            token = tokens[place]
            end = _closing(tokens, place)
            inside = tokens[place + 1 : end]
            self._block(token, inside, columns, prefix)
            place = end + 1

    def _block(self, token: Token, inside: Sequence[Token], columns: int, prefix: TextLine) -> None:
        if token.type == "heading_open":
            self._heading(int(token.tag[1]), inside[0], columns, prefix)
        elif token.type == "paragraph_open":
            self._add_wrapped(self._runs(inside[0]), columns, prefix)
            if not token.hidden:
                self._blank(prefix)
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            self._list(token, inside, columns, prefix)
        elif token.type == "blockquote_open":
            self.blocks(inside, columns - INDENT, (*prefix, TextSpan("▏ ", "quote")))
        elif token.type in ("fence", "code_block"):
            self._code(token.content, prefix)
        elif token.type == "table_open":
            self._table(inside, columns, prefix)
        elif token.type == "hr":
            self._add(prefix, [TextSpan("─" * columns, "rule")])
            self._blank(prefix)
        elif token.content:
            self._add_wrapped([_Run(clean(token.content), "plain", None)], columns, prefix)
            self._blank(prefix)

    def _heading(self, level: int, inline: Token, columns: int, prefix: TextLine) -> None:
        kind = f"h{min(level, 3)}"
        runs = [_Run(run.text, kind if run.link is None else run.kind, run.link) for run in self._runs(inline)]
        text = "".join(run.text for run in runs)
        if self.lines and self.lines[-1] and level <= 2:
            self._blank(prefix)
        self.headings.append(Heading(text, level, len(self.lines)))
        mark = (TextSpan("▌ ", kind),) if level == 2 else ()
        self._add_wrapped(runs, columns - 2 * len(mark), (*prefix, *mark))
        self._blank(prefix)

    def _list(self, token: Token, inside: Sequence[Token], columns: int, prefix: TextLine) -> None:
        number = int(token.attrGet("start") or 1) if token.type.startswith("ordered") else None
        place = 0
        while place < len(inside):
            end = _closing(inside, place)
            mark = "• " if number is None else f"{number}. "
            first = len(self.lines)
            below = (*prefix, TextSpan(" " * len(mark)))
            self.blocks(inside[place + 1 : end], columns - len(mark), below)
            if first < len(self.lines):
                # The first line of an item carries the mark in the place of its indentation.
                line = self.lines[first]
                self.lines[first] = (*prefix, TextSpan(mark, "mark"), *line[len(below) :])
            place = end + 1
            number = None if number is None else number + 1
        self._blank(prefix)

    def _code(self, content: str, prefix: TextLine) -> None:
        first = len(self.lines)
        for line in content.rstrip("\n").split("\n"):
            self._add(prefix, [TextSpan("  " + clean(line.expandtabs(4)), "block")])
        self.drawings.append((first, len(self.lines)))
        self._blank(prefix)

    # Lines

    def _add(self, prefix: TextLine, spans: Iterable[TextSpan]) -> None:
        line = (*prefix, *spans)
        for span in line:
            if span.link is not None:
                self._link_lines.setdefault(span.link, len(self.lines))
        self.lines.append(line)

    def _blank(self, prefix: TextLine) -> None:
        if self.lines and self.lines[-1] != prefix and any(span.text.strip() for span in self.lines[-1]):
            self.lines.append(tuple(prefix) if any(span.text.strip() for span in prefix) else ())

    def _add_wrapped(self, runs: Sequence[_Run], columns: int, prefix: TextLine) -> None:
        for line in wrap(runs, max(columns, 8)):
            self._add(prefix, line)

    # Inline text

    def _runs(self, inline: Token) -> list[_Run]:
        runs: list[_Run] = []
        styles: list[str] = []
        link: int | None = None
        for child in inline.children or ():
            if child.type in ("strong_open", "em_open"):
                styles.append(child.type.removesuffix("_open"))
            elif child.type in ("strong_close", "em_close"):
                styles.pop()
            elif child.type == "link_open":
                link = len(self._targets)
                self._targets.append((str(child.attrGet("href") or ""), ""))
            elif child.type == "link_close":
                link = None
            elif child.type == "softbreak":
                runs.append(_Run(" ", "plain", link))
            elif child.type == "hardbreak":
                runs.append(_Run("\n", "plain", link))
            else:
                kind = "code" if child.type == "code_inline" else styles[-1] if styles else "plain"
                text = clean(child.content)
                runs.append(_Run(text, "link" if link is not None else kind, link))
                if link is not None:
                    self._targets[link] = (self._targets[link][0], self._targets[link][1] + text)
        return runs

    # Tables

    def _table(self, inside: Sequence[Token], columns: int, prefix: TextLine) -> None:
        rows: list[list[list[_Run]]] = []
        right: dict[int, bool] = {}
        for token in inside:
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                right[len(rows[-1])] = "right" in str(token.attrGet("style") or "")
            elif token.type == "inline":
                rows[-1].append(self._runs(token))
        if not rows:
            return
        widths = column_widths([[_plain_width(cell) for cell in row] for row in rows], columns)
        first = len(self.lines)
        for number, row in enumerate(rows):
            self._table_row(row, widths, right, prefix, head=number == 0)
            if number == 0:
                self._add(prefix, [TextSpan("─" * (sum(widths) + 2 * (len(widths) - 1)), "rule")])
        self.drawings.append((first, len(self.lines)))
        self._blank(prefix)

    def _table_row(
        self, row: list[list[_Run]], widths: list[int], right: dict[int, bool], prefix: TextLine, *, head: bool
    ) -> None:
        cells = []
        for cell, cell_width in zip(row, widths, strict=False):
            runs = [_Run(run.text, "strong" if head and run.link is None else run.kind, run.link) for run in cell]
            cells.append(wrap(runs, cell_width) or [()])
        for level in range(max(map(len, cells), default=0)):
            spans: list[TextSpan] = []
            for index, cell_width in enumerate(widths):
                lines = cells[index] if index < len(cells) else [()]
                line = lines[level] if level < len(lines) else ()
                blanks = " " * (cell_width - sum(width(span.text) for span in line))
                filled = (TextSpan(blanks), *line) if right.get(index) else (*line, TextSpan(blanks))
                spans += [*filled, TextSpan("  ")] if index < len(widths) - 1 else filled
            self._add(prefix, spans)


def _closing(tokens: Sequence[Token], place: int) -> int:
    """Return the index of the token that closes the one at ``place``: itself where it holds no others."""
    depth = 0
    for index in range(place, len(tokens)):
        depth += tokens[index].nesting
        if depth <= 0:
            return index
    return len(tokens)


def _plain_width(runs: Sequence[_Run]) -> int:
    return sum(width(run.text) for run in runs)


def column_widths(natural: Sequence[Sequence[int]], columns: int, gap: int = 2) -> list[int]:
    """Return the widths of a table's columns: what they need, the widest shortened first where there is not enough room."""
    count = max(map(len, natural))
    widths = [max((row[index] for row in natural if index < len(row)), default=0) or 1 for index in range(count)]
    while sum(widths) + gap * (count - 1) > columns and max(widths) > NARROWEST_CELL:
        widths[widths.index(max(widths))] -= 1
    return widths


def wrap(runs: Sequence[_Run], columns: int) -> list[TextLine]:
    """Fold runs of text into lines of at most ``columns`` cells, at spaces; a word that is too long is cut."""
    lines: list[TextLine] = []
    line: list[_Run] = []
    used = 0
    for word, spaced in _words(runs):
        size = sum(width(run.text) for run in word)
        if word and word[0].text == "\n":
            lines.append(_join(line))
            line, used = [], 0
            continue
        if line and used + spaced + size > columns:
            lines.append(_join(line))
            line, used, spaced = [], 0, 0
        if spaced and line:
            blank_link = line[-1].link if line[-1].link == word[0].link else None
            line.append(_Run(" ", "link" if blank_link is not None else _shared_kind(line[-1], word[0]), blank_link))
            used += 1
        for piece in _cut(word, columns):
            piece_size = width(piece.text)
            if used + piece_size > columns and line:
                lines.append(_join(line))
                line, used = [], 0
            line.append(piece)
            used += piece_size
    if line:
        lines.append(_join(line))
    return lines


def _shared_kind(before: _Run, after: _Run) -> str:
    return before.kind if before.kind == after.kind else "plain"


def _words(runs: Sequence[_Run]) -> Iterable[tuple[list[_Run], int]]:
    """Return the words, each as runs of different styles that stick together, and whether a space stands before them (1
    or 0).
    """
    word: list[_Run] = []
    spaced = 0
    for run in runs:
        if run.text == "\n":
            if word:
                yield word, spaced
            yield [run], 0
            word, spaced = [], 0
            continue
        for index, part in enumerate(run.text.split(" ")):
            if index:
                if word:
                    yield word, spaced
                word, spaced = [], 1
            if part:
                word.append(_Run(part, run.kind, run.link))
    if word:
        yield word, spaced


def _cut(word: list[_Run], columns: int) -> Iterable[_Run]:
    """Return the pieces of a word; a run that is longer than a line is cut."""
    for run in word:
        if width(run.text) <= columns:
            yield run
            continue
        piece = ""
        for character in run.text:
            if width(piece + character) > columns:
                yield _Run(piece, run.kind, run.link)
                piece = ""
            piece += character
        yield _Run(piece, run.kind, run.link)


def _join(runs: Sequence[_Run]) -> TextLine:
    """Return the runs as spans, equal neighbours in one."""
    spans: list[TextSpan] = []
    for run in runs:
        if spans and (spans[-1].kind, spans[-1].link) == (run.kind, run.link):
            spans[-1] = TextSpan(spans[-1].text + run.text, run.kind, run.link)
        else:
            spans.append(TextSpan(run.text, run.kind, run.link))
    return tuple(spans)

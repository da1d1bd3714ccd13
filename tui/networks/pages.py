"""Find and search all texts: the notes, the concept pages and the glossary. No Textual, no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...models.catalogue import registry
from ...models.catalogue.notes import fill
from . import catalogue_list, glossary

CONCEPTS = registry.NOTES.parent / "concepts"
MOST_HITS = 200
LINK = re.compile(r"\[([^\]\n]*)\]\([^)\n]*\)")
MARKS = re.compile(r"\*\*|`|(?<![\w*])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*])")
BEFORE_HIT = 24
"""Characters of a line that are shown before the first word that was found."""


@dataclass(frozen=True)
class Page:
    """A text: ``kind`` is "note" or "concept", ``name`` that of its file."""

    kind: str
    name: str
    title: str

    @property
    def key(self) -> str:
        """One name for both kinds."""
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Hit:
    """A line of a page that has all the words; ``line`` counts the lines of the source."""

    page: Page
    line: int
    text: str


@lru_cache(maxsize=1)
def concepts() -> tuple[Page, ...]:
    """Return the concept pages and the glossary, by title."""
    files = [*CONCEPTS.glob("*.md"), *filter(Path.is_file, [glossary.PATH])]
    found = [Page("concept", path.stem, _title(path)) for path in files]
    return tuple(sorted(found, key=lambda page: page.title.lower()))


def _title(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        first = next((line for line in file if line.startswith("# ")), path.stem)
    return first.removeprefix("# ").strip()


def notes() -> tuple[Page, ...]:
    """Return the notes, oldest first."""
    return tuple(Page("note", family.name, family.title) for family in registry.families())


@lru_cache(maxsize=64)
def text(page: Page) -> str:
    """Return the Markdown of a page; words of its own where a file cannot be read."""
    if page.kind == "note":
        return catalogue_list.note(registry.family(page.name))
    path = glossary.PATH if page.name == glossary.PATH.stem else CONCEPTS / f"{page.name}.md"
    try:
        return fill(path.read_text(encoding="utf-8", errors="replace"), path.name, None)
    except OSError as error:
        return f"# {page.title}\n\nThe file cannot be read: {error.strerror}"


def find(target: str) -> Page | None:
    """Return the page that a link means: `vgg.md`, `../concepts/attention.md#windows`, `../architectures/vit.md`."""
    path = target.partition("#")[0]
    if "://" in path or not path.endswith(".md"):
        return None
    name = path.rpartition("/")[2].removesuffix(".md")
    kinds = (notes(), concepts()) if "concepts/" not in path else (concepts(), notes())
    return next((page for kind in kinds for page in kind if page.name == name), None)


def search(words: str) -> list[Hit]:
    """Return the lines that have all the words, titles first; words may also be spread over a page's title and one of
    its lines.
    """
    wanted = words.lower().split()
    if not wanted:
        return []
    hits = []
    for page in (*concepts(), *notes()):
        for hit in _hits(page, wanted):
            hits.append(hit)
            if len(hits) >= MOST_HITS:
                return sorted(hits, key=_rank)
    return sorted(hits, key=_rank)


def _hits(page: Page, wanted: list[str]) -> Iterator[Hit]:
    title = page.title.lower()
    for number, line in enumerate(plain_text(page).splitlines()):
        low = line.lower()
        if any(word in low for word in wanted) and all(word in low or word in title for word in wanted):
            yield Hit(page, number, line.strip())


def excerpt(hit: Hit, words: str, cells: int) -> str:
    """Return as much of the line as has room in ``cells``, so that the first of the words is in sight."""
    low = hit.text.lower()
    found = [place for word in words.lower().split() if (place := low.find(word)) >= 0]
    start = max(min(found, default=0) - BEFORE_HIT, 0)
    if not start or len(hit.text) <= cells:
        return hit.text
    start = low.rfind(" ", 0, start) + 1 or start
    return f"…{hit.text[start:]}"


@lru_cache(maxsize=256)
def plain_text(page: Page) -> str:
    """Return the text of a page without the marks of links, bold and code; its lines are those of the source."""
    return MARKS.sub("", LINK.sub(r"\1", text(page)))


def _rank(hit: Hit) -> int:
    """Return the headings before other lines."""
    return 0 if hit.text.startswith("# ") else 1 if hit.text.startswith("#") else 2

"""Read the glossary: the terms, signs and column titles of the screens, with a sentence for each. No Textual, no torch.

An entry of ``docs/glossary.md`` is ``- **term** (other, names): sentence``, continued on lines that begin with two spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from ...models.catalogue import registry

PATH = registry.NOTES.parent / "glossary.md"
ENTRY = re.compile(r"- \*\*(?P<term>[^*]+)\*\*(?: \((?P<names>[^)]*)\))?: (?P<text>.+)")


@dataclass(frozen=True)
class Entry:
    """A term with its other names and its sentence."""

    term: str
    names: tuple[str, ...]
    text: str

    @property
    def label(self) -> str:
        """The term behind the signs among its other names: ``○ queued``."""
        signs = (name for name in self.names if len(name) == 1 and not name.isascii())
        return " ".join((*signs, self.term))


def parse(source: str) -> list[Entry]:
    """Read the entries of a glossary in their order; all other lines are skipped."""
    entries = []
    for block in re.split(r"\n(?!  )", source):
        if found := ENTRY.fullmatch(" ".join(block.split())):
            names = tuple(name.strip("` ") for name in (found["names"] or "").split(",") if name.strip())
            entries.append(Entry(found["term"], names, found["text"].replace("`", "")))
    return entries


@lru_cache(maxsize=1)
def entries() -> tuple[Entry, ...]:
    """Return all entries; none where the file cannot be read."""
    try:
        return tuple(parse(PATH.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return ()


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Entry]:
    named: dict[str, Entry] = {}
    for entry in entries():
        for name in entry.names:
            named.setdefault(name, entry)
    return named | {entry.term: entry for entry in entries()}


def find(name: str) -> Entry | None:
    """Look up a term, or one of its other names."""
    return _by_name().get(name)


def legend(names: Iterable[str]) -> list[Entry]:
    """Look up all names, in the order given and each entry once; unknown names are left out."""
    return list(dict.fromkeys(entry for name in names if (entry := find(name)) is not None))

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
class GlossaryEntry:
    """A term with its other names and its sentence; ``section`` is the heading that it stands below."""

    term: str
    names: tuple[str, ...]
    text: str
    section: str = ""

    def label(self, name: str) -> str:
        """The name that a screen uses, behind the signs among all names: ``○ queued``."""
        signs = [other for other in self.names if len(other) == 1 and not other.isascii()]
        return " ".join((*signs, self.term if name in signs else name))


def parse(source: str) -> list[GlossaryEntry]:
    """Read the entries of a glossary in their order; all other lines are skipped."""
    entries, section = [], ""
    for block in re.split(r"\n(?!  )", source):
        if block.startswith("## "):
            section = block.removeprefix("## ").strip()
        if found := ENTRY.fullmatch(" ".join(block.split())):
            names = tuple(name.strip("` ") for name in (found["names"] or "").split(",") if name.strip())
            entries.append(GlossaryEntry(found["term"], names, found["text"].replace("`", ""), section))
    return entries


@lru_cache(maxsize=1)
def entries() -> tuple[GlossaryEntry, ...]:
    """Return all entries; none where the file cannot be read."""
    try:
        return tuple(parse(PATH.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return ()


@lru_cache(maxsize=1)
def _by_name() -> dict[str, GlossaryEntry]:
    named: dict[str, GlossaryEntry] = {}
    for entry in entries():
        for name in entry.names:
            named.setdefault(name, entry)
    return named | {entry.term: entry for entry in entries()}


def find(name: str) -> GlossaryEntry | None:
    """Look up a term, or one of its other names."""
    return _by_name().get(name)


def legend(names: Iterable[str]) -> dict[str, str]:
    """Return a sentence for each name, in the order given; unknown names and second names of an entry are left out."""
    sentences: dict[str, str] = {}
    for name in names:
        entry = find(name)
        if entry is not None and entry.text not in sentences.values():
            sentences[entry.label(name)] = entry.text
    return sentences

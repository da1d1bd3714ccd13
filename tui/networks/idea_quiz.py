"""Questions about the ideas of a page or a note: which term a sentence of the glossary explains. No Textual.

The sentences are those of docs/glossary.md, and a wrong answer is told what it really means.
"""

from __future__ import annotations

import random
import re

from . import glossary
from .glossary import GlossaryEntry
from .quiz import MOST_OPTIONS, Question, among

SECTIONS = ("Networks", "Layers and operations", "Recipe")
"""The sections of the glossary that explain ideas, and not signs, columns or keys."""
SHORTEST = 3
STEM = 5
"""Letters in which words that mean the same agree: normalisation, normalises."""


def about_text(source: str, rng: random.Random) -> Question | None:
    """Return a question about a term that a text uses; None where it uses none that can be asked."""
    known = [entry for entry in glossary.entries() if entry.section in SECTIONS and not _gives_itself_away(entry)]
    low = source.lower()
    used = [entry for entry in known if _is_used(entry, low)]
    if not used:
        return None
    entry = rng.choice(used)
    others = [other for other in known if other.section == entry.section and not _akin(entry, other)]
    rng.shuffle(others)
    # Terms of the same text first: they are the ones that are taken for each other.
    chosen = sorted(others, key=lambda other: other not in used)[: MOST_OPTIONS - 1]
    wrong = [(f"it means something else: {other.text}", other.term) for other in chosen]
    return among(f"Which term is this? “{entry.text}”", entry.term, wrong, f"{entry.term}: {entry.text}", rng)


def _akin(one: GlossaryEntry, other: GlossaryEntry) -> bool:
    """Return whether two terms may both fit: their sentences share a word, or one of them names the other."""
    if one.term == other.term or _words(one.text) & _words(other.text):
        return True
    return bool(_words(one.term) & _words(other.text) or _words(other.term) & _words(one.text))


def _words(text: str) -> set[str]:
    """Return the long words of a text, by their beginning."""
    return {word[:STEM] for word in re.findall(r"\w+", text.lower()) if len(word) >= STEM}


def _is_used(entry: GlossaryEntry, text: str) -> bool:
    names = [name.lower() for name in (entry.term, *entry.names) if len(name) >= SHORTEST]
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _gives_itself_away(entry: GlossaryEntry) -> bool:
    """Return whether the sentence has a word of the term."""
    words = re.findall(r"\w+", " ".join((entry.term, *entry.names)).lower())
    return any(word[:STEM] in entry.text.lower() for word in words if len(word) >= SHORTEST)

"""Where a setting of the form is explained: its concept page, or its entry in the glossary. No Textual, no torch."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import UsageError
from ...models.catalogue import registry
from ..networks import glossary, pages
from ..networks.pages import Page
from .values import definition


def page_of(key: str, networks: Sequence[str]) -> tuple[Page | None, str]:
    """Return the page, and the words to look for in it; of ``networks`` the note of the first that is known."""
    if key == "networks":
        return _note(networks), ""
    defined = definition(key)
    found = pages.find(f"concepts/{defined.page}.md") if defined.page else None
    if found is not None:
        return found, ""
    entry = glossary.find(defined.words)
    return pages.find(f"concepts/{glossary.PATH.name}"), entry.term if entry is not None else defined.words


def _note(networks: Sequence[str]) -> Page | None:
    for name in networks:
        try:
            return next((page for page in pages.notes() if page.name == registry.find(name).family), None)
        except UsageError:
            continue
    return None

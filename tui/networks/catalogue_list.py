"""The catalogue as the list shows it: ordered, filtered, in rows; and the text of a note. No Textual, no torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ...errors import UsageError
from ...models.catalogue import notes, registry
from ...models.catalogue.notes import count_text
from ...models.catalogue.registry import Family, Variant

MARK = "◆"
VIEWS = {"list": "list", "tree": "family tree", "chart": "chart"}


@dataclass(frozen=True)
class Order:
    """``words`` say how, ``key`` sorts, ``group`` names the heading under which a network stands ("": none)."""

    words: str
    key: Callable[[Variant], tuple]
    group: Callable[[Variant], str] = lambda variant: ""


def _family_title(variant: Variant) -> str:
    family = registry.family(variant.family)
    return f"{family.title} ({family.year})"


def _family_key(variant: Variant) -> tuple:
    return (registry.family(variant.family).year, variant.family)


def _first_tag(variant: Variant) -> str:
    return variant.tags[0] if variant.tags else "without a tag"


ORDERS: dict[str, Order] = {
    "year": Order("by year", lambda variant: (variant.year, variant.family)),
    "family": Order("by family", _family_key, _family_title),
    "name": Order("by name", lambda variant: (variant.name,)),
    "params": Order("by parameters", lambda variant: (variant.paper_stem.parameters,)),
    "macs": Order("by MACs", lambda variant: (variant.paper_stem.macs,)),
    "tag": Order("by first tag", lambda variant: (_first_tag(variant), variant.year), _first_tag),
}


@dataclass(frozen=True)
class Entry:
    """One line of the list: ``name`` of the network, or "" for a heading; ``cells`` as in COLUMN_TITLES."""

    name: str
    cells: tuple[str, ...]


COLUMN_TITLES = ("", "year", "network", "params", "MACs", "small stem", "tags")


ORDER_OF_TITLE = {"year": "year", "network": "name", "params": "params", "MACs": "macs", "tags": "tag"}
"""What a click on a column title sorts by."""


def ordered(variants: Sequence[Variant], order: str, turned: bool = False) -> list[Variant]:
    """Return the networks in one of ORDERS, or in it ``turned`` round; equal ones stay in the order of the catalogue."""
    return sorted(variants, key=ORDERS[order].key, reverse=turned)


def following(name: str, names: Collection[str]) -> str:
    """Return the name after this one, going round."""
    known = list(names)
    return known[(known.index(name) + 1) % len(known)] if name in known else known[0]


def matching(variants: Sequence[Variant], text: str) -> list[Variant]:
    """Return the networks that have every word of ``text`` in their name, title, family, year, tags or authors."""
    words = text.lower().split()
    return [variant for variant in variants if all(word in _haystack(variant) for word in words)]


def called(variants: Sequence[Variant], text: str) -> str:
    """Return the network that is called ``text``, else the first whose name begins so; "" where none does."""
    start = text.strip().lower()
    names = sorted((variant.name for variant in variants if variant.name.startswith(start)), key=start.__ne__)
    return names[0] if start and names else ""


def _haystack(variant: Variant) -> str:
    family = registry.family(variant.family)
    parts = [variant.name, variant.title, family.name, family.title, str(variant.year), family.authors, *variant.tags]
    parts += [alias for alias, name in family.aliases.items() if name == variant.name]
    return " ".join(parts).lower()


def entries(variants: Sequence[Variant], order: str, marked: Collection[str] = (), turned: bool = False) -> list[Entry]:
    """Return the lines of the list, with headings where the order has groups."""
    lines: list[Entry] = []
    group: str | None = None
    year: int | None = None
    for variant in ordered(variants, order, turned):
        title = ORDERS[order].group(variant)
        if title and title != group:
            lines.append(Entry("", ("", "", title, "", "", "", "")))
        show_year = order != "year" or variant.year != year
        lines.append(
            Entry(variant.name, cells(variant, variant.name in marked, str(variant.year) if show_year else ""))
        )
        group, year = title, variant.year
    return lines


def cells(variant: Variant, marked: bool, year: str, name: str = "") -> tuple[str, ...]:
    """Mark, year, name, parameters, MACs, those with the small stem, tags."""
    paper, small = variant.paper_stem, variant.small_stem
    return (
        MARK if marked else "",
        year,
        name or variant.name,
        count_text(paper.parameters),
        count_text(paper.macs),
        f"{count_text(small.parameters)} / {count_text(small.macs)}" if small else "",
        " ".join(variant.tags),
    )


def tree_entries(variants: Sequence[Variant], marked: Collection[str] = (), chosen: str = "") -> list[Entry]:
    """Return the family tree: each family under the first parent that its note names, others in brackets.

    A family stands for its canonical network, but for ``chosen`` or else a marked one where it has that, and for its first
    where ``variants`` lack the canonical one; families without a network are left out, their children move up.
    """

    def rank(variant: Variant) -> tuple[bool, bool, bool]:
        canonical = registry.family(variant.family).canonical.name
        return variant.name != chosen, variant.name not in marked, variant.name != canonical

    first: dict[str, Variant] = {}
    for variant in sorted(variants, key=rank):
        first.setdefault(variant.family, variant)
    families = [family for family in registry.families() if family.name in first]
    parent = {family.name: next((name for name in family.builds_on if name in first), "") for family in families}
    lines: list[Entry] = []

    def grow(family: Family, indent: str, mark: str, below: str) -> None:
        more = [name for name in family.builds_on[1:] if name in first]
        title = f"{indent}{mark}{family.title}" + (f" (+ {', '.join(more)})" if more else "")
        variant = first[family.name]
        lines.append(Entry(variant.name, cells(variant, variant.name in marked, str(family.year), title)))
        children = [child for child in families if parent[child.name] == family.name and child is not family]
        for number, child in enumerate(children):
            last = number == len(children) - 1
            grow(child, indent + below, "└ " if last else "├ ", "  " if last else "│ ")

    for family in families:
        if not parent[family.name]:
            grow(family, "", "", "")
    return lines


def note(family: Family) -> str:
    """Return the note as it is read: the citation under its title, the deviations at its end, figures put in.

    A figure that cannot be put in (the user's own note may be wrong) is told at the top, and the text is shown as it is.
    """
    try:
        body, problem = notes.render(family), ""
    except UsageError as error:
        body, problem = family.body, str(error)
    title, _, rest = body.partition("\n")
    arxiv = f"arXiv:{family.arxiv}" if family.arxiv else ""
    paper = f"*{family.paper}*" if family.paper else ""
    citation = ", ".join(part for part in (family.authors, paper, family.venue, arxiv) if part)
    parts = [title, f"**{problem}**" if problem else "", citation, rest.strip()]
    if family.deviations:
        parts.append("## Deviations from the paper\n\n" + "\n".join(f"- {text}" for text in family.deviations))
    return "\n\n".join(part for part in parts if part)

"""The catalogue as the list shows it: ordered, filtered, in rows; and the text of a note. No Textual, no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import UsageError
from ..models import catalogue, notes
from ..models.catalogue import Family, Variant
from ..models.notes import quantity, shape_text

ORDERS: dict[str, tuple[str, Callable[[Variant], tuple]]] = {
    "year": ("by year", lambda variant: (variant.year, variant.family)),
    "name": ("by name", lambda variant: (variant.name,)),
    "params": ("by parameters", lambda variant: (variant.paper_form.parameters,)),
    "macs": ("by multiply-adds", lambda variant: (variant.paper_form.macs,)),
}


def ordered(variants: Sequence[Variant], order: str) -> list[Variant]:
    """The networks in one of ORDERS; equal ones stay in the order of the catalogue."""
    return sorted(variants, key=ORDERS[order][1])


def next_order(order: str) -> str:
    """The order after this one."""
    names = list(ORDERS)
    return names[(names.index(order) + 1) % len(names)]


def matching(variants: Sequence[Variant], text: str) -> list[Variant]:
    """The networks that have every word of ``text`` in their name, title, family, year, tags or authors."""
    words = text.lower().split()
    return [variant for variant in variants if all(word in _haystack(variant) for word in words)]


def _haystack(variant: Variant) -> str:
    family = catalogue.family(variant.family)
    parts = [variant.name, variant.title, family.name, family.title, str(variant.year), family.authors, *variant.tags]
    parts += [alias for alias, name in family.aliases.items() if name == variant.name]
    return " ".join(parts).lower()


def cells(variant: Variant, *, show_year: bool) -> tuple[str, ...]:
    """Year, name, parameters, multiply-adds, the small form's, tags."""
    paper, small = variant.paper_form, variant.small_form
    return (
        str(variant.year) if show_year else "",
        variant.name,
        quantity(paper.parameters),
        quantity(paper.macs),
        f"{quantity(small.parameters)} / {quantity(small.macs)}" if small else "",
        " ".join(variant.tags),
    )


def facts(variant: Variant, form: str) -> str:
    """One line about a network in one of its forms: picture, classes, parameters, multiply-adds."""
    counts = variant.form(form)
    which = f"{form} form" if variant.small_form is not None else "one form"
    return (
        f"{which}: {shape_text(counts.input)} → {counts.classes} classes, "
        f"{quantity(counts.parameters)} parameters, {quantity(counts.macs)} multiply-adds"
    )


def note(family: Family) -> str:
    """The note as it is read: the citation under its title, the deviations at its end, figures put in.

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

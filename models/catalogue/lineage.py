"""The family tree and the timeline, from the notes alone: who builds on whom, and when."""

from __future__ import annotations

from dataclasses import dataclass

from . import registry


@dataclass(frozen=True)
class Relative:
    """One family in the tree. ``parents`` are what it builds on, ``children`` what builds on it, both oldest first."""

    name: str
    title: str
    year: int
    parents: tuple[str, ...]
    children: tuple[str, ...]


def lineage() -> list[Relative]:
    """Return every family with its parents and children, oldest first."""
    families = registry.families()
    known = {family.name for family in families}
    children: dict[str, list[str]] = {family.name: [] for family in families}
    for family in families:
        for parent in family.builds_on:
            if parent in known:
                children[parent].append(family.name)
    return [
        Relative(
            family.name,
            family.title,
            family.year,
            tuple(parent for parent in family.builds_on if parent in known),
            tuple(children[family.name]),
        )
        for family in families
    ]


def timeline() -> dict[int, list[str]]:
    """Return the families by year."""
    years: dict[int, list[str]] = {}
    for relative in lineage():
        years.setdefault(relative.year, []).append(relative.name)
    return years


def tree_lines(ascii_only: bool = False) -> list[str]:
    """Return the tree as text, each family under the first parent that its note names; further parents stand behind it."""
    relatives = {relative.name: relative for relative in lineage()}
    first_children: dict[str, list[str]] = {name: [] for name in relatives}
    roots = []
    for relative in relatives.values():
        if relative.parents:
            first_children[relative.parents[0]].append(relative.name)
        else:
            roots.append(relative.name)
    tee, corner, bar = ("|- ", "`- ", "|  ") if ascii_only else ("├─ ", "└─ ", "│  ")
    lines: list[str] = []

    def grow(name: str, indent: str, mark: str) -> None:
        relative = relatives[name]
        more = f" (+ {', '.join(relative.parents[1:])})" if len(relative.parents) > 1 else ""
        lines.append(f"{relative.year}  {indent}{mark}{relative.title}{more}")
        below = first_children[name]
        indent += {"": "", tee: bar, corner: "   "}[mark]
        for index, child in enumerate(below):
            grow(child, indent, corner if index == len(below) - 1 else tee)

    for root in roots:
        grow(root, "", "")
    return lines

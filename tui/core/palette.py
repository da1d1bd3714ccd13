"""What the palette finds: commands, networks, runs and concept pages, each in one line. No Textual."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...models.catalogue import registry
from ...trainer.runs.run import RunSnapshot
from ...trainer.runs.states import STATES
from ..networks import pages
from .key_bindings import Command

MOST = 200
"""More are not listed: who sees them types another letter."""
NEWEST_RUNS = 30
"""So many runs are listed while nothing is typed."""


@dataclass(frozen=True)
class PaletteEntry:
    """``kind`` is "command", "network", "run" or "concept"; ``key`` names it there; ``more`` stands behind the ``title``.

    ``words`` are found as well, although they are not shown.
    """

    kind: str
    key: str
    title: str
    more: str = ""
    words: str = ""

    @property
    def haystack(self) -> str:
        """All that words are looked for in."""
        return f"{self.title} {self.key} {self.more} {self.words} {self.kind}".lower()


def entries(commands: Iterable[Command], runs: Sequence[RunSnapshot]) -> list[PaletteEntry]:
    """Return everything that can be gone to or done, commands first."""
    found = [
        PaletteEntry("command", command.action, command.help, command.shown_keys)
        for command in commands
        if command.palette
    ]
    for variant in registry.variants().values():
        family = registry.family(variant.family)
        aliases = " ".join(alias for alias, name in family.aliases.items() if name == variant.name)
        found.append(PaletteEntry("network", variant.name, variant.name, variant.title, f"{family.title} {aliases}"))
    found += [PaletteEntry("concept", page.name, page.title) for page in pages.concepts()]
    found += [_run_entry(run) for run in runs]
    return found


def _run_entry(run: RunSnapshot) -> PaletteEntry:
    state = STATES[run.state]
    words = f"{run.dataset} {' '.join(run.notes.tags)} {run.notes.remark}"
    return PaletteEntry("run", run.id, run.id, f"{state.symbol} {run.state}", words)


def matching(found: Sequence[PaletteEntry], text: str) -> list[PaletteEntry]:
    """Return the entries that have every word of ``text``, the best first: a title that is the text, or begins with it."""
    words = text.lower().split()
    if not words:
        runs = [entry for entry in found if entry.kind == "run"][:NEWEST_RUNS]
        return [entry for entry in found if entry.kind == "command"] + runs
    wanted = " ".join(words)

    def rank(entry: PaletteEntry) -> tuple[bool, bool, bool, bool]:
        title = entry.title.lower()
        in_title = all(word in title for word in words)
        return title != wanted, not title.startswith(wanted), f" {wanted}" not in f" {title}", not in_title

    kept = [entry for entry in found if all(word in entry.haystack for word in words)]
    return sorted(kept, key=rank)[:MOST]

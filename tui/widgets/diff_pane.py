"""What changed from one network to another, as a computed table."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static

from ...models.catalogue import registry
from ...models.catalogue.notes import quantity
from ...models.catalogue.share_text import share_text
from ..core import key_bindings, screen_export
from ..core.messages import AskForName
from ..core.screen_export import Export
from ..networks import layer_tree, related
from ..networks.selection import NetworkSelection
from .pane import Pane
from .repaint import TextLines
from .rows import Column, ListRow, RowList
from .sorted_rows import SortedRows

COLUMNS = (
    Column("", 8),
    Column("kind of layer"),
    Column("before", 7, right=True),
    Column("after", 7, right=True),
    Column("params before", 13, right=True, above=60),
    Column("params after", 12, right=True, above=60),
)
SIGNS = {"added": "+ added", "removed": "- gone", "more": "↑ more", "fewer": "↓ fewer", "resized": "~ sized"}
TONES = {"added": "good", "removed": "bad"}


class DiffPane(Pane):
    """The selected network beside its predecessor, or beside another that was chosen."""

    BINDINGS: ClassVar = key_bindings.bindings("diff")
    TERMS: ClassVar = ("verdict", "parameters", "MACs", "depth", "field")

    def __init__(self) -> None:
        super().__init__("diff")
        self._chosen: dict[str, str] = {}
        self._difference: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield Static("", id="diff-heading", markup=False)
        yield DiffList()
        yield TextLines(id="diff-totals")

    @property
    def table(self) -> DiffList:
        """The rows."""
        return self.query_one(DiffList)

    @property
    def target(self) -> Widget:
        return self.table

    @property
    def other(self) -> str:
        """The network that is compared with; "" where there is none."""
        if self.selection is None:
            return ""
        chosen = self._chosen.get(self.selection.network)
        found = related.counterpart(self.selection.variant)
        return chosen or (found.name if found else "")

    def compare_with(self, other: str) -> None:
        """Compare with another network from now on."""
        selection = self.selection
        if selection is not None:
            self._chosen[selection.network] = other
            self.fill(selection)

    def fill(self, selection: NetworkSelection) -> None:
        self.selection = selection
        if not self.other:
            self._head()
            self.wait("its note names no predecessor; `A` chooses a network to compare with")
            return
        older = NetworkSelection(self.other, selection.stem, selection.image_size, selection.channels)
        self._head()
        self.ask("diff", {"older": older.details(), "newer": selection.details()}, lambda value: value)

    def action_other(self) -> None:
        """Choose the network to compare with."""
        near = [variant.name for variant in related.predecessors(self.selection.variant)] if self.selection else []
        names = [*near, *(name for name in registry.variants() if name not in near)]
        self.post_message(AskForName("Compare with", names, self.other, self._picked))

    def _picked(self, name: str | None) -> None:
        if name:
            self.compare_with(name)

    def action_order(self) -> None:
        """Sort by the next column."""
        self.table.sort_by_next()
        self._head()

    @on(RowList.TitlePicked)
    def _head(self) -> None:
        """Say above the table what is compared, and how it is sorted."""
        names = " → ".join(filter(None, (self.other, self.selection.network if self.selection else "")))
        self.query_one("#diff-heading", Static).update(" · ".join(filter(None, (names, self.table.order_words))))

    def wait(self, words: str) -> None:
        self.table.empty = words
        self.table.set_rows(())
        self.table.refresh()
        self.query_one("#diff-totals", TextLines).update("")

    def ready(self, question: str, value: Any) -> None:
        self._difference = {"networks": value["summaries"], "changes": value["changes"]}
        self.table.empty = "the same layers, as often and as big"
        self.table.set_rows(
            ListRow(
                change["kind"],
                (
                    SIGNS.get(change["verdict"], str(change["verdict"])),
                    change["kind"],
                    str(change["before"] or ""),
                    str(change["after"] or ""),
                    quantity(change["parameters_before"]) if change["parameters_before"] else "",
                    quantity(change["parameters_after"]) if change["parameters_after"] else "",
                ),
                tones={0: TONES.get(change["verdict"], "plain")},
            )
            for change in value["changes"]
        )
        self.query_one("#diff-totals", TextLines).update(totals(*value["summaries"]))

    def export(self) -> Export | None:
        if self.selection is None or not self.table.rows:
            return None
        name = f"diff-{self.other}-{self.selection.network}"
        columns = [column.title or "change" for column in COLUMNS]
        return screen_export.table(name, columns, [row.cells for row in self.table.rows], self._difference)


class DiffList(SortedRows):
    """The rows of the table."""

    PLACES: ClassVar = ("diff", "list")
    opens = False

    def __init__(self) -> None:
        super().__init__(COLUMNS, empty="")


def totals(older: dict[str, Any], newer: dict[str, Any]) -> str:
    """Return the parameters, work, depth and receptive field of both, one line each."""
    lines = []
    for key, name in (("parameters", "parameters"), ("macs", "MACs")):
        before, after = older[key], newer[key]
        lines.append(f"{name:<11} {quantity(before)} → {quantity(after)} ({change_text(before, after)})")
        learning = [summary.get("trainable", summary["parameters"]) for summary in (older, newer)]
        if key == "parameters" and learning != [before, after]:
            lines.append(
                f"{'learning':<11} {quantity(learning[0])} → {quantity(learning[1])} ({change_text(*learning)})"
            )
    lines.append(f"{'depth':<11} {older['depth']} → {newer['depth']} layers with weights on the longest path")
    field = f"{layer_tree.receptive_field(older)} → {layer_tree.receptive_field(newer)}"
    lines.append(f"{'field':<11} {field} (pixels a side of the image)")
    return "\n".join(lines)


def change_text(before: float, after: float) -> str:
    """Return a change as a person says it: −92 %, ×3.4, the same."""
    if before == after:
        return "the same"
    if not before:
        return "new"
    ratio = after / before
    return f"×{ratio:.1f}" if ratio >= 2 else share_text(ratio - 1, signed=True).replace("-", "−")

"""Two to four networks side by side: figures, and where in each the parameters and the MACs sit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from ...models.catalogue import registry
from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..networks import layer_tree, network_data, quiz
from ..networks.selection import NetworkSelection
from ..runs import comparison
from ..widgets.repaint import TextLines
from ..widgets.rows import Column, ListRow, RowList
from ..worker.process import HelperState
from ..worker.requests import Reply
from .base import BaseScreen

BATCH = 64
NAME_CELLS = 26


class CompareScreen(BaseScreen):
    """The networks ``names`` with one stem."""

    PLACE = "compare"
    HEADING = "compare"
    BINDINGS: ClassVar = key_bindings.bindings("compare")
    CSS_PATH = "compare.tcss"

    TERMS: ClassVar = (
        "year",
        "image",
        "parameters",
        "MACs",
        "layers with weights",
        "field, pixels a side",
        f"training, batch {BATCH}",
        "published",
        "stem",
    )

    def __init__(self, names: Sequence[str], stem: str) -> None:
        super().__init__()
        self._names, self._stem = list(names), stem
        self._summaries: list[dict[str, Any]] = []
        self._problem = ""
        self._bars = TextLines(id="compare-bars")
        self._bars.styles.height = 2 * len(self._names)
        self._chosen = 0
        self._changes: dict[int, list[dict[str, Any]]] = {}
        """What changed, by the place of the later one of two neighbours."""
        self._tabs: dict[str, str] = {}

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body", classes="framed"):
            yield RowList(self._columns, id="compare-rows", empty="")
            yield self._bars

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()
        self._ask()

    @property
    def table(self) -> RowList:
        """The figures."""
        return self.query_one("#compare-rows", RowList)

    def _ask(self) -> None:
        self._summaries = []
        self._changes = {}
        self.query_one("#body").border_title = " · ".join(self._names)
        self.query_one("#body").border_subtitle = f"{self._stem} stem"
        self._problem = ""
        details = {"networks": [NetworkSelection(name, self._stem).details() for name in self._names], "batch": BATCH}
        listener = partial(self._ready, self._stem)
        if not self.explorer.questions.ask("summaries", details, lambda value: value["summaries"], listener):
            self._rebuild()

    def _ready(self, stem: str, reply: Reply) -> None:
        # The answer about the stem that was left may come later than that about the stem to be seen.
        if self.is_attached and stem == self._stem:
            self._summaries, self._problem = reply.value or [], reply.problem
            self._rebuild()
            if self._summaries:
                self._ask_changes()

    def _ask_changes(self) -> None:
        """Ask for what changed from each network to the next."""
        for place, (older, newer) in enumerate(pairwise(self._names), start=1):
            details = {
                what: NetworkSelection(name, self._stem).details()
                for what, name in (("older", older), ("newer", newer))
            }
            listener = partial(self._changes_ready, self._stem, place)
            self.explorer.questions.ask("diff", details, lambda value: value, listener)

    def _changes_ready(self, stem: str, place: int, reply: Reply) -> None:
        if self.is_attached and stem == self._stem and not reply.problem:
            self._changes[place] = reply.value["changes"]
            self._rebuild()

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        super().runs_changed(runs)
        if self.query("#compare-rows"):
            self._rebuild()

    def helper_changed(self, state: HelperState) -> None:
        super().helper_changed(state)
        if not self._summaries:
            self._rebuild()

    def _rebuild(self) -> None:
        self.table.set_rows(self._rows())
        lines = [] if self._summaries else [self._problem or self.explorer.questions.waiting_words()]
        longest = max((len(summary["name"]) for summary in self._summaries), default=0)
        for summary in self._summaries:
            for place, name in ((1, "parameters"), (2, "MACs")):
                total = sum(part[place] for part in summary["parts"]) or 1
                shares = [(part[0], part[place] / total) for part in summary["parts"] if part[place] / total >= 0.005]
                head = f"{summary['name'][:22]:<{min(longest, 22) + 2}}{name:<11}"
                lines.append(head + layer_tree.bar(shares, max(self.size.width - len(head) - 6, 20)))
        self._bars.update("\n".join(lines))

    def _rows(self) -> list[ListRow]:
        """Return all that is known, and keep which tab tells more of a row."""
        variants = [registry.variants()[name] for name in self._names]
        found = comparison.of_catalogue(variants, self._stem)
        found += comparison.of_helper(self._summaries, BATCH) if self._summaries else []
        found += comparison.of_runs(self._names, self.explorer.runs)
        for place, changes in sorted(self._changes.items()):
            found += comparison.of_diff(place, self._names, changes)
        self._tabs = {row.key: row.tab for row in found}
        return [ListRow(row.key, row.cells, "plain" if row.tab else "head", selectable=bool(row.tab)) for row in found]

    # One of the networks

    @property
    def network(self) -> str:
        """The network that Enter opens."""
        return self._names[self._chosen]

    def action_network(self, by: int) -> None:
        """Choose another of the networks."""
        self._chosen = (self._chosen + by) % len(self._names)
        self.table.show_columns(self._columns)

    @on(RowList.TitlePicked)
    def _title_picked(self, message: RowList.TitlePicked) -> None:
        """Choose the network whose name was clicked; the rows are of different kinds and have no other order."""
        if message.column:
            self.action_network(message.column - 1 - self._chosen)

    @property
    def _columns(self) -> list[Column]:
        """The columns; the sign says which network Enter opens."""
        names = [f"▸{name}" if place == self._chosen else name for place, name in enumerate(self._names)]
        return [Column("", NAME_CELLS), *(Column(name, 0, right=True) for name in names)]

    @on(RowList.Chosen)
    def _opened(self, message: RowList.Chosen) -> None:
        """Go to the tab that tells more of the row, for the chosen network."""
        self.explorer.open_network(self.network, self._tabs.get(message.key) or "note")

    def action_zoom(self) -> None:
        """Give the table the room of the bars, or show them again."""
        self.toggle_class("-zoomed")

    def go_back(self) -> bool:
        zoomed = self.has_class("-zoomed")
        self.remove_class("-zoomed")
        return zoomed

    def action_stem(self) -> None:
        """Show all of them with the other stem."""
        self._stem = "small" if self._stem == "imagenet" else "imagenet"
        self._ask()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        return super().check_action(action, parameters)

    def action_predict(self) -> None:
        """Ask a question about two of them."""
        variants = [registry.variants()[name] for name in self._names]
        self.explorer.ask_person(lambda rng: quiz.about_network(rng.choice(variants), variants, rng))

    def export(self) -> Export:
        known = {summary["name"]: summary for summary in self._summaries}
        variants = [network_data.of_variant(registry.variants()[name]) for name in self._names]
        data = [variant | {"stem": self._stem, "anatomy": known.get(variant["name"])} for variant in variants]
        rows = [row.cells for row in self.table.rows]
        return screen_export.table("compare", ["", *self._names], rows, {"networks": data})

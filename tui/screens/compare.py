"""Two to four networks side by side: figures, and where in each the parameters and the work sit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from ...models.catalogue import registry
from ...models.catalogue.notes import count_text, memory_text, quantity, shape_text
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..networks import layer_tree, network_data, quiz
from ..networks.selection import NetworkSelection
from ..widgets.repaint import TextLines
from ..widgets.rows import Column, Row, RowList
from ..worker.process import HelperState
from ..worker.requests import Reply
from .base import BaseScreen

BATCH = 64


class ComparisonList(RowList):
    """The table; there is nothing behind its rows."""

    opens = False


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
        "multiply-adds",
        "layers with weights",
        "sees, pixels a side",
        f"training, batch {BATCH}",
        "work",
        "stem",
    )

    def __init__(self, names: Sequence[str], stem: str) -> None:
        super().__init__()
        self._names, self._stem = list(names), stem
        self._summaries: list[dict[str, Any]] = []
        self._problem = ""

    def compose_body(self) -> ComposeResult:
        with Vertical(id="body", classes="framed"):
            columns = [Column("", 22), *(Column(name, 0, right=True) for name in self._names)]
            yield ComparisonList(columns, id="compare-rows", empty="")
            yield TextLines(id="compare-bars")

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

    def helper_changed(self, state: HelperState) -> None:
        super().helper_changed(state)
        if not self._summaries:
            self._rebuild()

    def _rebuild(self) -> None:
        self.table.set_rows(self._rows())
        lines = [] if self._summaries else [self._problem or self.explorer.questions.waiting_words()]
        for summary in self._summaries:
            for place, name in ((1, "parameters"), (2, "work")):
                total = sum(part[place] for part in summary["parts"]) or 1
                shares = [(part[0], part[place] / total) for part in summary["parts"] if part[place] / total >= 0.005]
                head = f"{summary['name'][:22]:<23}{name:<11}"
                lines.append(head + layer_tree.bar(shares, max(self.size.width - len(head) - 6, 20)))
        self.query_one("#compare-bars", TextLines).update("\n".join(lines))

    def _rows(self) -> list[Row]:
        variants = [registry.variants()[name] for name in self._names]
        rows = [
            Row("title", ("", *(variant.title for variant in variants))),
            Row("year", ("year", *(str(variant.year) for variant in variants))),
            Row("image", ("image", *(shape_text(variant.counts(self._stem).input) for variant in variants))),
            Row("classes", ("classes", *(str(variant.counts(self._stem).classes) for variant in variants))),
            Row("parameters", ("parameters", *(count_text(v.counts(self._stem).parameters) for v in variants))),
            Row("macs", ("multiply-adds", *(count_text(v.counts(self._stem).macs) for v in variants))),
        ]
        if not self._summaries:
            return rows
        sees = [layer_tree.receptive_field(summary) for summary in self._summaries]
        memory = [memory_text(p["memory_bytes"]) for p in self._summaries]
        if any(p.get("trainable", p["parameters"]) != p["parameters"] for p in self._summaries):
            rows.append(Row("learning", ("of which learn", *(quantity(p["trainable"]) for p in self._summaries))))
        return [
            *rows,
            Row("depth", ("layers with weights", *(str(p["depth"]) for p in self._summaries))),
            Row("sees", ("sees, pixels a side", *sees)),
            Row("memory", (f"training, batch {BATCH}", *memory)),
        ]

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

"""The layer table of a network: a tree that folds, and two bars that say where the parameters and the work sit."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from .. import commands, layertree
from ..layertree import LayerNode
from .rows import Column, Row, RowList

COLUMNS = (
    Column("layer", 24),
    Column("what it is", above=84),
    Column("output", 13),
    Column("params", 7, right=True),
    Column("mult-adds", 9, right=True),
    Column("field", 6, right=True, above=66),
    Column("memory", 8, right=True, above=76),
)
FIRST_DEPTH = 2


class LayerTree(RowList):
    """The rows of the tree, with the keys that open and close them."""

    BINDINGS: ClassVar = commands.bindings("layers")
    PLACES: ClassVar = ("layers", "list")

    def __init__(self) -> None:
        super().__init__(COLUMNS, empty="")
        self.network: LayerNode | None = None
        self.depth = FIRST_DEPTH
        self.only_changes = False
        self._opened: set[str] = set()

    def show_tree(self, tree: LayerNode | None) -> None:
        """Show a tree, opened to the depth that was chosen."""
        self.network = tree
        self._opened = layertree.opened_to(tree, self.depth) if tree else set()
        self._rebuild()

    def _rebuild(self) -> None:
        nodes = layertree.visible(self.network, self._opened, only_changes=self.only_changes) if self.network else []
        self.set_rows(
            Row(node.key, layertree.cells(node, self._opened), "plain" if node.executed else "dim") for node in nodes
        )

    @property
    def node(self) -> LayerNode | None:
        """The row under the cursor."""
        found = (node for node in self.network.walk() if node.key == self.key) if self.network else iter(())
        return next(found, None)

    def action_toggle(self) -> None:
        self._set_open(self.key not in self._opened)

    def action_choose(self) -> None:
        self.action_toggle()

    def action_open(self) -> None:
        self._set_open(True)

    def action_close(self) -> None:
        if self.key in self._opened:
            self._set_open(False)
        elif "." in self.key:
            self.go_to(self.key.rpartition(".")[0])

    def _set_open(self, wanted: bool) -> None:
        node = self.node
        if node is None or not node.children:
            return
        if wanted:
            self._opened.add(node.key)
        else:
            self._opened = {key for key in self._opened if key != node.key and not key.startswith(node.key + ".")}
        self._rebuild()

    def action_depth(self, change: int) -> None:
        """Open or close one level everywhere."""
        if self.network is None:
            return
        deepest = max(node.key.count(".") for node in self.network.walk())
        self.depth = min(max(self.depth + change, 1), max(deepest, 1))
        cursor = self.key
        self._opened = layertree.opened_to(self.network, self.depth)
        while cursor.count(".") > self.depth:
            cursor = cursor.rpartition(".")[0]
        self._rebuild()
        self.go_to(cursor)

    def action_only_changes(self) -> None:
        """Only the rows whose output has another size than their input."""
        self.only_changes = not self.only_changes
        self._rebuild()


class LayersPane(Vertical):
    """The tree, what there is to say of the row under the cursor, and the bars; words where the table is not ready."""

    def __init__(self) -> None:
        super().__init__(id="layers")
        self.words = ""

    def compose(self) -> ComposeResult:
        yield LayerTree()
        yield Static("", id="layers-detail", markup=False)
        yield Static("", id="layers-budget", markup=False)

    @property
    def table(self) -> LayerTree:
        """The tree itself."""
        return self.query_one(LayerTree)

    def show_words(self, words: str) -> None:
        """Say why there is no table: it is being made, or it cannot be."""
        self.words = words
        self.table.empty = words
        self.table.show_tree(None)
        self.table.refresh()
        self._show_budget(None)

    def show_tree(self, tree: LayerNode) -> None:
        """Show the table of a network."""
        self.words = ""
        self.table.show_tree(tree)
        self._show_budget(tree)

    def on_resize(self) -> None:
        self._show_budget(self.table.network)

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        message.stop()
        self._show_detail()

    def _show_detail(self) -> None:
        node = self.table.node
        lines = []
        if node is not None:
            lines.append(f"{node.name or node.type}: {node.phrase}" if node.phrase else node.name)
            lines += [f"{formula.what}: {formula.filled} = {formula.value:,}" for formula in node.formulas[:3]]
        text = Text("\n".join(lines + [""] * (3 - len(lines))), no_wrap=True, overflow="ellipsis")
        self.query_one("#layers-detail", Static).update(text)

    def _show_budget(self, tree: LayerNode | None) -> None:
        lines = []
        for what, name in (("parameters", "parameters "), ("macs", "work       ")):
            if tree is not None:
                lines.append(name + layertree.bar(layertree.budget(tree, what), self.size.width - len(name) - 2))
        self.query_one("#layers-budget", Static).update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

"""The layer table of a network: a tree that folds, and two bars that say where the parameters and the MACs sit."""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from ...errors import with_article
from ...models.catalogue.notes import memory_text
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..networks import layer_quiz, layer_tree, network_data
from ..networks.layer_tree import LayerNode
from ..networks.selection import NetworkSelection
from ..networks.torchinfo_text import parse_torchinfo
from .folding import folded_lines
from .pane import Pane, parse_tree
from .repaint import TextLines
from .rows import Column, ListRow, RowList
from .torchinfo_view import TorchinfoView

COLUMNS = (
    Column("layer", 23),
    Column("what it is", above=84),
    Column("output", 13),
    Column("params", 7, right=True),
    Column("MACs", 7, right=True),
    Column("field", 6, right=True, above=64),
    Column("memory", 8, right=True, above=72),
)
FIRST_DEPTH = 2
DETAIL_LINES = 4
FOOT_LINES, MOST_FOOT_LINES = 3, 5


class LayerTree(RowList):
    """The rows of the tree, with the keys that open and close them."""

    BINDINGS: ClassVar = key_bindings.bindings("layers")
    PLACES: ClassVar = ("layers", "list")

    def __init__(self) -> None:
        super().__init__(COLUMNS, empty="")
        self.network: LayerNode | None = None
        self.depth = FIRST_DEPTH
        self.only_changes = False
        self.without_minor = False
        self._opened: set[str] = set()

    def show_tree(self, tree: LayerNode | None) -> None:
        """Show a tree, opened to the depth that was chosen."""
        self.network = tree
        self._opened = layer_tree.opened_to(tree, self.depth) if tree else set()
        self._rebuild()

    def _rebuild(self) -> None:
        wanted = {"only_changes": self.only_changes, "without_minor": self.without_minor}
        nodes = layer_tree.visible(self.network, self._opened, **wanted) if self.network else []
        self.set_rows(
            ListRow(
                node.key, layer_tree.cells(node, self._opened), "plain" if node.executed and not node.minor else "dim"
            )
            for node in nodes
        )

    @property
    def node(self) -> LayerNode | None:
        """The row under the cursor."""
        found = (node for node in self.network.walk() if node.key == self.key) if self.network else iter(())
        return next(found, None)

    @property
    def path(self) -> tuple[LayerNode, ...]:
        """The rows from the network down to the one under the cursor."""
        if self.network is None:
            return ()
        return tuple(node for node in self.network.walk() if f"{self.key}.".startswith(f"{node.key}."))

    def reveal(self, wanted: LayerNode) -> None:
        """Open what is above a row and put the cursor on it."""
        self.only_changes = self.without_minor = False
        parts = wanted.key.split(".")
        self._opened |= {".".join(parts[:length]) for length in range(1, len(parts))}
        self._rebuild()
        self.go_to(wanted.key)

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
        self._opened = layer_tree.opened_to(self.network, self.depth)
        while cursor.count(".") > self.depth:
            cursor = cursor.rpartition(".")[0]
        self._rebuild()
        self.go_to(cursor)

    def action_only_changes(self) -> None:
        """Show only the rows whose output has another size than their input."""
        self.only_changes = not self.only_changes
        self._rebuild()

    def action_without_minor(self) -> None:
        """Leave out the operations that only change the layout or bend values, or show them again."""
        self.without_minor = not self.without_minor
        self._rebuild()


class LayersPane(Pane):
    """The tree, what there is to say of the row under the cursor, and the bars; words where the table is not ready.

    torchinfo's own summary takes their place while it is wanted; the helper process is asked for it only then.
    """

    BINDINGS: ClassVar = key_bindings.bindings(
        "layers", [command for command in key_bindings.COMMANDS if command.action in ("predict", "torchinfo")]
    )
    TERMS: ClassVar = ("▸", "▾", "×N", "+", "×", "concat", "g", "training only", "training memory")

    def __init__(self) -> None:
        super().__init__("layers")
        self.words = ""
        self._memory = ""
        self._torchinfo_pending = False
        self._sought: str | None = None

    def compose(self) -> ComposeResult:
        yield LayerTree()
        yield TextLines(id="layers-detail")
        yield TextLines(id="layers-budget")
        yield TorchinfoView()

    @property
    def table(self) -> LayerTree:
        """The tree itself."""
        return self.query_one(LayerTree)

    @property
    def torchinfo(self) -> TorchinfoView:
        """torchinfo's own summary."""
        return self.query_one(TorchinfoView)

    @property
    def shows_torchinfo(self) -> bool:
        """Whether torchinfo's own summary stands in the place of the tree."""
        return self.has_class("-torchinfo")

    @property
    def target(self) -> Widget:
        return self.torchinfo.table if self.shows_torchinfo else self.table

    def fill(self, selection: NetworkSelection) -> None:
        self._memory = ""
        if self.shows_torchinfo:
            self._show_torchinfo()
        self.ask("layers", selection.details(), parse_tree)

    def wait(self, words: str) -> None:
        if self.table.network is not None or self.table.empty != words:
            self.words = words
            self.table.empty = words
            self.table.show_tree(None)
            self.table.refresh()
            self._show_foot()

    def ready(self, question: str, value: Any) -> None:
        if question == "memory":
            self._memory = value
            self._show_foot()
            return
        if question == "torchinfo":
            self._torchinfo_pending = False
            self.torchinfo.show(self._network, value)
            return
        self.words = ""
        self.table.show_tree(value)
        self._show_detail()
        self._show_foot()
        if self._sought is not None:
            self.reveal(self._sought)
        if self.selection is not None and not value.problem:
            details = {**self.selection.details(), "batch": self.selection.batch}
            self.ask("memory", details, memory_line, beside=True)

    def reveal(self, name: str) -> None:
        """Put the cursor on the first layer of the class ``name``; on the network for the name of the network itself.

        Where the table is not there yet, as soon as it is.
        """
        tree = self.table.network
        self._sought = name if tree is None else None
        if tree is None or self.selection is None:
            return
        found = next((node for node in tree.walk() if node.type == name), None)
        if found is not None or name == self.selection.network:
            self.table.reveal(found or tree)
        elif name:
            self.explorer.show_message(f"no layer of {self.selection.network} is {with_article(name)}")
        else:
            self.explorer.show_message("the cursor was above the first class of the file; ] goes to the next one")

    def failed(self, question: str, problem: str) -> None:
        # A network that cannot be trained for want of a formula still has a table.
        if question == "layers":
            self.wait(problem)
        elif question == "torchinfo":
            self._torchinfo_pending = False
            self.torchinfo.wait(self._network, problem)

    def on_resize(self) -> None:
        self._show_detail()
        self._show_foot()

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        message.stop()
        self._show_detail()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and (self.shows_torchinfo or not self.explorer.asks_questions):
            return False
        return super().check_action(action, parameters)

    def action_predict(self) -> None:
        """Ask a question about the layer under the cursor."""
        node = self.table.node
        if node is not None:
            self.explorer.ask_person(lambda rng: layer_quiz.about_layer(node, rng))

    # torchinfo's own summary

    def action_torchinfo(self) -> None:
        """Show torchinfo's own summary, or the tree again."""
        focused = self.screen.focused
        inside = focused is not None and self in focused.ancestors
        self.toggle_class("-torchinfo")
        if inside:
            self.target.focus()
        if self.shows_torchinfo:
            self._show_torchinfo()

    def go_back(self) -> bool:
        if self.shows_torchinfo:
            self.action_torchinfo()
            return True
        return False

    def on_torchinfo_view_changed(self, message: TorchinfoView.Changed) -> None:
        message.stop()
        self._ask_torchinfo()

    @property
    def _network(self) -> str:
        return "" if self.selection is None else self.selection.network

    def _show_torchinfo(self) -> None:
        self.torchinfo.wait(self._network, "")
        self._ask_torchinfo()
        self._show_torchinfo_waiting()

    def _ask_torchinfo(self) -> None:
        if self.selection is not None:
            self._torchinfo_pending = True
            details = {**self.selection.details(), **self.torchinfo.details()}
            self.ask("torchinfo", details, parse_torchinfo, beside=True)

    def helper_changed(self) -> None:
        super().helper_changed()
        self._show_torchinfo_waiting()

    def _show_torchinfo_waiting(self) -> None:
        """Show words where there is no table yet; one that is about to change stays until then."""
        if self._torchinfo_pending and self.torchinfo.shown is None:
            self.torchinfo.wait(self._network, self.explorer.questions.waiting_words())

    def _show_detail(self) -> None:
        node = self.table.node
        lines = []
        if self._problem:
            lines += self._problem
        elif node is not None:
            lines.append(f"{node.name or node.type}: {node.phrase}" if node.phrase else node.name)
            if node.frozen or node.shared:
                lines.append(node.parameters_text)
            lines += layer_tree.formula_lines(node)
            if node.field_unknown:
                lines.append(f"field unknown: {node.field_unknown}")
            if node.global_along:
                lines.append(f"global along the {node.global_along}, beside the field of {node.receptive_field} pixels")
        self.query_one("#layers-detail", TextLines).update(
            "\n".join(folded_lines(lines, self.size.width - 1, DETAIL_LINES))
        )

    @property
    def _problem(self) -> list[str]:
        """Why the run of the network broke off, in lines as wide as the pane."""
        tree = self.table.network
        return textwrap.wrap(tree.problem, max(20, self.size.width - 2)) if tree is not None else []

    def _show_foot(self) -> None:
        tree, lines = self.table.network, []
        if self._problem:
            lines += self._problem[DETAIL_LINES:]
        elif tree is not None:
            for what, name in (("parameters", "parameters "), ("macs", "MACs       ")):
                lines.append(name + layer_tree.bar(layer_tree.budget(tree, what), self.size.width - len(name) - 2))
            last = "; ".join(filter(None, (self._memory, *tree.remarks)))
            lines += textwrap.wrap(last, max(20, self.size.width - 2), subsequent_indent=" " * len("training   "))
        foot = self.query_one("#layers-budget", TextLines)
        foot.styles.height = min(max(len(lines), FOOT_LINES), MOST_FOOT_LINES)
        foot.update("\n".join(lines))

    def export(self) -> Export | None:
        if self.shows_torchinfo:
            text = self.torchinfo.shown
            return None if text is None else Export(f"torchinfo-{self._network}", text.text)
        tree = self.table.network
        if tree is None or self.selection is None:
            return None
        nodes = list(tree.walk())
        rows = [layer_tree.cells(node, {node.key for node in nodes}) for node in nodes]
        data = [network_data.of_layer(node, node.key.count(".")) for node in nodes]
        columns = [column.title for column in COLUMNS]
        return screen_export.table(f"layers-{self.selection.network}", columns, rows, data)


def memory_line(value: dict[str, Any]) -> str:
    """Return the answer to "memory" in one line."""
    parts, unknown = [], ""
    for row in value["memory"]:
        fits = f" ({row['fits']:,} fit here)" if row.get("fits") is not None else ""
        unknown = row.get("fits_unknown") or unknown
        parts.append(f"{memory_text(row['peak'])} in {row['precision']}{fits}")
    line = f"training   batch {value['memory'][0]['batch']}: " + ", ".join(parts)
    return f"{line}; how many fit is not known: {unknown}" if unknown else line

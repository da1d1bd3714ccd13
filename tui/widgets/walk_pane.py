"""Step by step through a network: what goes in, what happens, what comes out; into blocks, down to one output value."""

from __future__ import annotations

import functools
import textwrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from ...models.catalogue.notes import quantity, shape_text
from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..networks import digits, layer_quiz, layer_tree, network_data
from ..networks.layer_tree import LayerNode
from ..networks.selection import NetworkSelection
from ..runs import weights
from .folding import folded
from .pane import Pane, parse_tree
from .pixel_view import INITIAL, PixelView, moved, parse_pixel
from .repaint import TextLines
from .rows import LEAST, Column, ListRow, RowList

BAR_CELLS = 12
DETAIL_LINES = 8
COLUMNS = (
    Column("step", 18),
    Column("what happens"),
    Column("output", 13),
    Column("space", BAR_CELLS, above=88),
    Column("channels", BAR_CELLS, above=100),
    Column("field", 6, right=True, above=60),
)
SENTENCE = 1
"""The column that says what happens."""
HIDDEN = "?"


class WalkList(RowList):
    """The steps of one level. With prediction on, what comes out stays hidden until one comes to it."""

    PLACES: ClassVar = ("walk", "list")

    class Resized(Message):
        """There is more or less room for what happens."""

    def __init__(self) -> None:
        super().__init__(COLUMNS, empty="")

    def on_resize(self) -> None:
        self.post_message(self.Resized())


class WalkPane(Pane):
    """``levels`` are the rows one has gone into, from the network down."""

    BINDINGS: ClassVar = key_bindings.bindings("walk")
    TERMS: ClassVar = ("▸", "×N", "+", "×", "concat", "g", "?")

    def __init__(self) -> None:
        super().__init__("walk")
        self.levels: list[LayerNode] = []
        self.predicting = False
        self._position = [0, 0, 0]
        self._pixel_of: LayerNode | None = None
        self._run: RunSnapshot | None = None
        self._rows: list[ListRow] = []

    def compose(self) -> ComposeResult:
        yield TextLines(id="walk-path")
        yield WalkList()
        yield PixelView()
        yield TextLines(id="walk-detail")

    def on_mount(self) -> None:
        self.query_one(PixelView).display = False

    @property
    def table(self) -> WalkList:
        """The steps."""
        return self.query_one(WalkList)

    @property
    def target(self) -> Widget:
        return self.query_one(PixelView) if self._pixel_of is not None else self.table

    @property
    def steps(self) -> list[LayerNode]:
        """The steps of the level one is in."""
        return layer_tree.steps(self.levels[-1]) if self.levels else []

    @property
    def step(self) -> LayerNode | None:
        """The step under the cursor."""
        return next((node for node in self.steps if node.key == self.table.key), None)

    def fill(self, selection: NetworkSelection) -> None:
        self._run = None
        self._close_pixel()
        self.ask("layers", selection.details(), parse_tree)

    def wait(self, words: str) -> None:
        self.levels = []
        self.table.empty = words
        self._rebuild()

    def ready(self, question: str, value: Any) -> None:
        if question == "pixel":
            self.query_one(PixelView).show(value, f"weights of the run {self._run.id}" if self._run else INITIAL)
            return
        if value.problem:
            self.wait(value.problem)
            return
        self.levels = [value]
        self._rebuild()

    def failed(self, question: str, problem: str) -> None:
        if question == "pixel":
            self.query_one(PixelView).show_text(problem)
        else:
            self.wait(problem)

    def _rebuild(self, cursor: str = "") -> None:
        nodes = self.steps
        here = cursor or self.table.key
        at = next((place for place, node in enumerate(nodes) if node.key == here), 0)
        sizes = [layer_tree.extent(node.layout) for node in nodes]
        known = [size for size in sizes if size is not None] or [(1.0, 1)]
        largest = max(space for space, _ in known), max(channels for _, channels in known)
        self._rows = [
            self._row(node, size, largest, self.predicting and place > at)
            for place, (node, size) in enumerate(zip(nodes, sizes, strict=False))
        ]
        self.table.set_rows(self._folded(), cursor or None)
        self._show_path()
        self._show_detail()

    def _folded(self) -> list[ListRow]:
        """Return the rows with their sentences in full, where there are blank lines for them."""
        table = self.table
        return folded(self._rows, SENTENCE, table.column_cells(SENTENCE), table.lines)

    def on_walk_list_resized(self, message: WalkList.Resized) -> None:
        message.stop()
        self.table.set_rows(self._folded())
        self._show_detail()

    def _row(
        self, node: LayerNode, size: tuple[float, int] | None, largest: tuple[float, float], hidden: bool
    ) -> ListRow:
        times = f" ×{node.times}" if node.times > 1 else ""
        mark = "▸ " if node.children else "  "
        comes_out = HIDDEN if hidden else layer_tree.output_text(node)
        space, channels = "", ""
        if size is not None and not hidden:
            space, channels = (layer_tree.size_bar(size[i], largest[i], BAR_CELLS) for i in (0, 1))
        field = "" if hidden else layer_tree.field_text(node)
        phrase = "" if hidden else node.phrase
        cells = (mark + node.label + times, phrase, comes_out, space, channels, field)
        return ListRow(node.key, cells, "dim" if node.minor else "plain")

    def _show_path(self) -> None:
        names = [self.levels[0].type if self.levels else "", *(node.label for node in self.levels[1:])]
        image = shape_text(self.levels[-1].inputs[0]) if self.levels and self.levels[-1].inputs else ""
        path = " › ".join(name for name in names if name)
        self.query_one("#walk-path", TextLines).update(f"{path}   goes in: {image}" if image else path)

    def _show_detail(self) -> None:
        node = self.step
        lines = []
        if node is not None:
            inputs = " and ".join(shape_text(shape) for shape in node.inputs)
            figures = [node.parameters_text] if node.parameters else []
            figures += [f"{quantity(node.macs)} MACs"] if node.macs else []
            # In full: the column may have room for its beginning alone.
            lines += textwrap.wrap(node.phrase, max(self.size.width - 1, LEAST), break_on_hyphens=False)
            lines.append("  ".join([f"{inputs} → {layer_tree.output_text(node)}", *figures]))
            lines += self._bars(node)
            lines += layer_tree.formula_lines(node)
        self.query_one("#walk-detail", TextLines).update("\n".join(lines[:DETAIL_LINES]))

    def _bars(self, node: LayerNode) -> list[str]:
        """Draw side and channels before and after, as bars: the side shrinks, channels grow."""
        before, after = layer_tree.extent(node.layout_in), layer_tree.extent(node.layout)
        if before is None or after is None:
            return []
        lines = []
        for place, name in enumerate(("side", "channels")):
            largest = max(before[place], after[place], 2)
            bars = [layer_tree.size_bar(value[place], largest, BAR_CELLS) for value in (before, after)]
            lines.append(f"{name:<9}{before[place]:>6.0f} {bars[0]:<{BAR_CELLS}} → {after[place]:>6.0f} {bars[1]}")
        lines[0] += "  (log bars)"
        return lines

    # Going in and out

    def on_row_list_moved(self, message: RowList.Moved) -> None:
        message.stop()
        if self.predicting:
            self._rebuild(message.key)
        self._show_detail()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        message.stop()
        self.action_into()

    def action_into(self) -> None:
        """Enter the step under the cursor: the layers of a block, one output value of a layer."""
        node = self.step
        if node is None:
            return
        if layer_tree.steps(node):
            self.levels.append(node)
            self.table.set_rows(())
            self._rebuild()
        elif node.opens:
            self._open_pixel(node)

    def go_back(self) -> bool:
        if self._pixel_of is not None:
            self._close_pixel()
            self.table.focus()
            return True
        if len(self.levels) > 1:
            left = self.levels.pop()
            self._rebuild(left.key)
            return True
        return False

    def action_out(self) -> None:
        """Go to the level above."""
        self.go_back()

    def action_hide(self) -> None:
        """Hide what comes out of the steps to come, or show it again."""
        self.predicting = not self.predicting
        self._rebuild(self.table.key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        return super().check_action(action, parameters)

    def action_predict(self) -> None:
        """Ask a question about the step under the cursor."""
        node = self.step
        if node is not None:
            self.explorer.ask_person(lambda rng: layer_quiz.about_layer(node, rng))

    # One output value

    def _open_pixel(self, node: LayerNode) -> None:
        self._pixel_of = node
        # A quarter down the middle there is a stroke in most digits.
        share = {"rows": 4, "columns": 2, "tokens": 3, "windows": 2}
        axes = (*node.axes, *("",) * len(node.output))
        self._position = [
            size // share[axis] if axis in share else 0 for axis, size in zip(axes, node.output, strict=False)
        ]
        self._show_pixel(True)
        self.query_one(PixelView).show_text(self.explorer.questions.waiting_words())
        self.query_one(PixelView).focus()
        self._ask_pixel()

    def _close_pixel(self) -> None:
        self._pixel_of = None
        self._show_pixel(False)

    def _show_pixel(self, wanted: bool) -> None:
        """Show the arithmetic in the room of the list and of what stands below it."""
        self.query_one(PixelView).display = wanted
        self.table.display = not wanted
        self.query_one("#walk-detail").display = not wanted

    def on_pixel_view_moved(self, message: PixelView.Moved) -> None:
        message.stop()
        node = self._pixel_of
        if node is not None:
            self._position = moved(self._position, message.by, node.output, node.axes)
            self._ask_pixel()

    def on_pixel_view_other_weights(self, message: PixelView.OtherWeights) -> None:
        message.stop()
        if self._run is not None or self.selection is None:
            self._run = None
        else:
            self._run = weights.trained(self.explorer.runs, self.selection)
            if self._run is None:
                self.explorer.show_message(weights.why_not(self.explorer.runs, self.selection), "warning")
        self._ask_pixel()

    def _ask_pixel(self) -> None:
        node = self._pixel_of
        if node is not None and self.selection is not None:
            image = digits.image(self.explorer.saved_state.digit)
            layer = node.id if node.id >= 0 else node.name
            position = list(self._position)
            details = {"layer": layer, "position": position, "batch_axis": node.batch_axis, "image": image}
            if self._run is not None:
                details |= weights.details(self._run)
            parse = functools.partial(parse_pixel, axes=node.axes)
            self.ask("pixel", {**self.selection.details(), **details}, parse, beside=True)

    def export(self) -> Export | None:
        if not self.levels or self.selection is None:
            return None
        rows = [row.cells for row in self._rows]
        hidden = {row.key for row in self._rows if HIDDEN in row.cells}
        data = [network_data.of_step(node, hidden=node.key in hidden) for node in self.steps]
        columns = [column.title for column in COLUMNS]
        return screen_export.table(f"walk-{self.selection.network}", columns, rows, data)

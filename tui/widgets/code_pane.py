"""The model file of a network, coloured, at the class of the selected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from ...errors import WorkError
from ...models.catalogue import registry
from ...trainer.common.text_safe import width
from ..core import key_bindings
from ..core.screen_export import Export
from ..networks import source_code
from ..networks.layer_tree import LayerNode
from ..networks.selection import NetworkSelection
from ..networks.source_code import SourceFile
from .edges import SIDE_STEP, window
from .pane import Pane
from .repaint import LineDrawn

NUMBER_CELLS = 5
KINDS = ("keyword", "string", "comment", "number", "name")


class CodeView(ScrollView, LineDrawn, can_focus=True):
    """A file with line numbers and a cursor line."""

    BINDINGS: ClassVar = key_bindings.bindings("code")
    PLACES: ClassVar = ("code",)
    COMPONENT_CLASSES: ClassVar = {f"code--{kind}" for kind in (*KINDS, "line-number", "cursor")}

    @dataclass
    class Picked(Message):
        """Enter was pressed; ``name`` is the class or function in which the cursor is."""

        name: str

    def __init__(self) -> None:
        super().__init__()
        self.source: SourceFile | None = None
        self.cursor = 0

    def show(self, shown: SourceFile, line: int) -> None:
        """Show a file with the cursor on a line, in the upper part of the view."""
        self.source = shown
        widest = max((sum(width(span.text) for span in spans) for spans in shown.lines), default=0)
        self.virtual_size = Size(widest + NUMBER_CELLS + 2, len(shown.lines))
        self.cursor = line
        # Forced: a view that was empty until now has no scroll bar yet, without which Textual would not scroll.
        self.scroll_to(0, max(line - 2, 0), animate=False, force=True)
        self.refresh()

    @property
    def definition(self) -> str:
        """The class or function under the cursor."""
        return self.source.definition_at(self.cursor) if self.source else ""

    def _move(self, line: int, *, at_top: bool = False) -> None:
        if self.source is None:
            return
        line = min(max(line, 0), len(self.source.lines) - 1)
        before, self.cursor = self.cursor, line
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if at_top:
            self.scroll_to(y=max(line - 2, 0), animate=False)
        elif not top <= line < top + height:
            self.scroll_to(y=min(line, top) if line < top else line - height + 1, animate=False)
        for changed in (before, line):
            self.refresh(Region(0, changed - self.scroll_offset.y, self.size.width, 1))

    def action_move(self, by: int) -> None:
        self._move(self.cursor + by)

    def action_page(self, way: int) -> None:
        self._move(self.cursor + way * max(self.size.height - 2, 1))

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        self._move(len(self.source.lines) - 1 if self.source else 0)

    def action_definition(self, way: int) -> None:
        """Go to the next class or function, or the one before."""
        starts = sorted(self.source.definitions.values()) if self.source else []
        ahead = [start for start in starts if (start > self.cursor if way > 0 else start < self.cursor)]
        if ahead:
            self._move(ahead[0] if way > 0 else ahead[-1], at_top=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.max_scroll_x > 0 if action == "side" else super().check_action(action, parameters)

    def action_side(self, way: int) -> None:
        self.scroll_relative(x=way * SIDE_STEP, animate=False)

    def action_pick(self) -> None:
        self.post_message(self.Picked(self.definition))

    def render_line(self, y: int) -> Strip:
        base, columns = self.base_style, self.size.width
        place = y + self.scroll_offset.y
        if self.source is None or place >= len(self.source.lines):
            return Strip.blank(columns, base)
        on_cursor = place == self.cursor
        if on_cursor:
            base += self.get_component_rich_style("code--cursor")
        mark = "▶" if on_cursor else " "
        number = Segment(
            f"{place + 1:>{NUMBER_CELLS - 1}}{mark}", base + self.get_component_rich_style("code--line-number")
        )
        text = [
            Segment(
                span.text, base if span.kind == "plain" else base + self.get_component_rich_style(f"code--{span.kind}")
            )
            for span in self.source.lines[place]
        ]
        cells = max(self.scrollable_content_region.width - NUMBER_CELLS, 0)
        strip = window(text, self.scroll_offset.x, cells, base).adjust_cell_length(max(columns - NUMBER_CELLS, 0), base)
        return Strip.join([Strip([number]), strip.simplify()])


class CodePane(Pane):
    """The file's name and the file; Enter on a class leads to its layers."""

    def __init__(self) -> None:
        super().__init__("code")

    def compose(self) -> ComposeResult:
        yield Static("", id="code-path", markup=False)
        yield CodeView()

    @property
    def view(self) -> CodeView:
        """The file itself."""
        return self.query_one(CodeView)

    @property
    def target(self) -> Widget:
        return self.view

    def fill(self, selection: NetworkSelection) -> None:
        family = registry.family(selection.variant.family)
        try:
            shown, line = source_code.find(family.code_path, selection.network)
        except WorkError as error:
            self.query_one("#code-path", Static).update(str(error))
            return
        self._put(shown, line or 0)

    def show_layer(self, path: Sequence[LayerNode]) -> None:
        """Show the class of the last of ``path``, the rows of the layer tree from the network down to a layer.

        Of a layer that torch brings along, the line in which the class around it makes or calls it.
        """
        if self.selection is None:
            return
        code = registry.family(self.selection.variant.family).code_path
        below = ""
        for node in reversed(path):
            try:
                shown, line = source_code.find(code, node.type)
            except WorkError:
                return
            if line is not None:
                self._put(shown, source_code.line_with(shown, line, f"self.{below}") if below else line)
                return
            below = node.name.rpartition(".")[2] or below

    def _put(self, shown: SourceFile, line: int) -> None:
        self.query_one("#code-path", Static).update(self._place(shown))
        self.view.show(shown, line)

    def _place(self, shown: SourceFile) -> str:
        package = registry.NOTES.parent.parent
        inside = shown.path.is_relative_to(package)
        return str(shown.path.relative_to(package)) if inside else str(shown.path)

    def export(self) -> Export | None:
        shown = self.view.source
        if shown is None:
            return None
        text = "\n".join("".join(span.text for span in line) for line in shown.lines)
        return Export(shown.path.name, text)

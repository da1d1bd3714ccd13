"""The concept pages, and any other page that a link leads to: a list on the left, the text on the right."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer

from ..core import key_bindings
from ..core.pane_widths import PaneWidths
from ..core.screen_export import Export
from ..networks import idea_quiz, pages
from ..networks.pages import Page
from ..widgets.rows import Column, ListRow, RowList
from ..widgets.split import Split
from ..widgets.text_view import TextView
from .two_panes import TwoPanes

DELAY_S = 0.08


class PageScreen(TwoPanes):
    """All concept pages; ``page`` is the one to begin with, at the first place of ``words``."""

    PLACE = "pages"
    PLACES: ClassVar = ("two-panes",)
    WIDTHS = PaneWidths(share=0.25, least=30, widest=44, panes=80)
    LEADS_HERE = "show_concepts"
    HEADING = "concepts"
    BINDINGS: ClassVar = key_bindings.bindings("pages")
    CSS_PATH = "page.tcss"

    def __init__(self, page: Page | None = None, words: str = "") -> None:
        super().__init__()
        self._first, self._words = page, words
        self._trail: list[str] = []
        self._timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        rows = [ListRow(page.key, (page.title,)) for page in pages.concepts()]
        if self._first is not None and self._first.key not in {row.key for row in rows}:
            rows.insert(0, ListRow(self._first.key, (self._first.title,)))
        with Split():
            with Vertical(id="list-pane", classes="framed"):
                cursor = self._first.key if self._first else ""
                yield RowList((Column("concept"),), rows, cursor=cursor, titles=False, empty="there are no pages")
            with Vertical(id="panes", classes="framed"):
                yield TextView()

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#list-pane").border_title = "Concepts"
        if self._first is None:
            self.table.focus()
        else:
            self.add_class("-reading")
            self.view.focus()
        self.call_after_refresh(self._show)

    @property
    def table(self) -> RowList:
        """The list of pages."""
        return self.query_one("#list-pane RowList", RowList)

    @property
    def view(self) -> TextView:
        """The text."""
        return self.query_one(TextView)

    @property
    def page(self) -> Page | None:
        """The page under the cursor."""
        return next((page for page in (*pages.concepts(), *pages.notes()) if page.key == self.table.key), None)

    def _show(self) -> None:
        page = self.page
        if page is not None and self.is_mounted:
            self.query_one("#panes").border_title = page.title
            self.view.show(pages.text(page))
            if self._words:
                self.view.find(self._words)
                self._words = ""

    def open(self, page: Page, words: str = "") -> None:
        """Show a page."""
        self._words = words
        if not self.table.go_to(page.key):
            self.table.set_rows([ListRow(page.key, (page.title,)), *self.table.rows], page.key)
        self._show()
        self.add_class("-reading")
        self.view.focus()

    @on(RowList.Moved)
    def _moved(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DELAY_S, self._show)

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.add_class("-reading")
        self.view.focus()

    @on(TextView.LinkFollowed)
    def _follow(self, message: TextView.LinkFollowed) -> None:
        found = pages.find(message.link.target)
        if found is None or found.kind == "note":
            self.explorer.open_page(message.link.target)
            return
        self._trail.append(self.table.key)
        self.open(found)

    def go_back(self) -> bool:
        if self._trail:
            self.table.go_to(self._trail.pop())
            self._show()
            return True
        if super().go_back():
            return True
        if self.focused is not self.table and self._first is None:
            self.remove_class("-reading")
            self.table.focus()
            return True
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        return super().check_action(action, parameters)

    def action_predict(self) -> None:
        """Ask a question about a term of the page under the cursor."""
        page = self.page
        if page is not None:
            self.explorer.ask_person(lambda rng: idea_quiz.about_text(pages.plain_text(page), rng))

    def export(self) -> Export | None:
        page = self.page
        return Export(page.name, self.view.source) if page else None

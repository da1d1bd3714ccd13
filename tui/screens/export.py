"""Writing what is shown to a file: as text, as JSON, or the whole screen as an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...errors import UsageError, WorkError
from ...settings import typed_path
from ..core import screen_export
from ..core.screen_export import Export
from ..widgets.rows import Column, ListRow, RowList
from .dialog import Dialog

FORMATS = {"txt": "text", "json": "JSON", "svg": "the whole screen as an SVG image"}


class ExportScreen(Dialog[str]):
    """Ends with words about the file that was written."""

    HEADING = "Export"

    def __init__(self, shown: Export | None, screenshot: str, folder: Path) -> None:
        super().__init__()
        self._name = shown.name if shown else "screen"
        self._folder = folder
        self._formats: dict[str, tuple[str, Callable[[], str]]] = {}
        if shown is not None:
            self._formats = {
                "txt": (FORMATS["txt"], lambda: shown.text),
                "json": (FORMATS["json"], shown.json),
                **shown.more,
            }
        self._formats["svg"] = (FORMATS["svg"], lambda: screenshot)

    def compose_dialog(self) -> ComposeResult:
        rows = [ListRow(key, (text,)) for key, (text, _) in self._formats.items()]
        table = RowList((Column(""),), rows, titles=False, id="formats")
        table.styles.height = len(rows)
        yield table
        yield Static("into the folder", markup=False)
        yield Input(str(self._folder), id="export-folder", compact=True)
        yield Static("", id="export-problem", classes="problem", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(RowList).focus()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_submit()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    def action_submit(self) -> None:
        suffix = self.query_one(RowList).key
        try:
            folder = typed_path(self.query_one("#export-folder", Input).value, "folder")
        except UsageError as error:
            self._ended("", str(error))
        else:
            self._write(suffix, folder)

    @work(thread=True, exclusive=True, group="export", exit_on_error=False, description="writes a file")
    def _write(self, suffix: str, folder: Path) -> None:
        try:
            path = screen_export.write(folder, self._name, suffix, self._formats[suffix][1]())
        except WorkError as error:
            self.app.call_from_thread(self._ended, "", str(error))
        else:
            self.app.call_from_thread(self._ended, f"written: {path}", "")

    def _ended(self, words: str, problem: str) -> None:
        if not self.is_current:  # closed meanwhile
            self.app.notify(words or problem, markup=False)
        elif words:
            self.dismiss(words)
        else:
            self.query_one("#export-problem", Static).update(problem)

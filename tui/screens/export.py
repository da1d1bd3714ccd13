"""Writing what is shown to a file: as text, as JSON, or the whole screen as a picture."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...errors import WorkError
from .. import export
from ..export import Export
from ..widgets.rows import Column, Row, RowList
from .dialog import Dialog

FORMATS = {"txt": "text", "json": "JSON", "svg": "the whole screen as an SVG picture"}


class ExportScreen(Dialog[str]):
    """Ends with words about the file that was written."""

    HEADING = "Export"

    def __init__(self, shown: Export | None, screenshot: str, folder: Path) -> None:
        super().__init__()
        self._shown, self._screenshot, self._folder = shown, screenshot, folder

    def compose_dialog(self) -> ComposeResult:
        rows = [Row(key, (text,)) for key, text in FORMATS.items() if key == "svg" or self._shown is not None]
        yield RowList((Column(""),), rows, titles=False, id="formats")
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
        name = self._shown.name if self._shown else "screen"
        contents = self._screenshot
        if self._shown is not None and suffix != "svg":
            contents = self._shown.text if suffix == "txt" else self._shown.json()
        folder = Path(self.query_one("#export-folder", Input).value).expanduser()
        try:
            self.dismiss(f"written: {export.write(folder, name, suffix, contents)}")
        except WorkError as error:
            self.query_one("#export-problem", Static).update(str(error))
